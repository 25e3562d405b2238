package sqs

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
)

// Options configure a Server. The zero value lacks only Dir.
type Options struct {
	// Dir holds the data. It is made if need be, and locked: one process at a
	// time.
	Dir string
	// FS is the file system of Dir; nil is the disk. vfs.NewMem is for tests.
	FS vfs.FS
	// Region and AccountID are part of ARNs: us-east-1 and 000000000000 where
	// empty.
	Region, AccountID string
	// CountAttribute names the message attribute, of type Number, that says
	// how many events a message carries ("Event-Count"). Stats sums it up. A
	// message without it, or with no whole number from 1 to 1,000,000, counts 1.
	CountAttribute string
	// FreeSpace returns the bytes that are free for Dir; nil asks its file
	// system. It is called at most every 100 ms.
	freeSpace func() (uint64, error)
	// Logger is slog.Default where nil. No message content is logged.
	Logger *slog.Logger

	minFree, ballast uint64 // 0: minFreeBytes, ballastBytes
	inFlightLimit    int    // 0: maxInFlight
}

// Server holds queues and answers the requests of SQS clients as an
// http.Handler. It may be used by many goroutines at once.
type Server struct {
	store          *store
	log            *slog.Logger
	account        string
	region         string
	arnPrefix      string
	countAttribute string
	inFlightLimit  int
	actions        map[string]action

	seq atomic.Uint64 // the last one used; unique over restarts

	mu     sync.RWMutex // guards queues; may be taken while a Queue.mu is held, not the other way round
	queues map[string]*Queue
	lastID uint32
	create sync.Mutex // one CreateQueue or DeleteQueue at a time

	tasks tasks

	requests  sync.WaitGroup // of those that use the store
	lifecycle sync.RWMutex
	closed    bool
	closing   chan struct{}
	stop      context.CancelFunc
	ctx       context.Context
	work      sync.WaitGroup
}

// Open opens the queues in o.Dir and counts their messages, for which it reads
// one small key of each. Every message that was in flight is visible again.
func Open(o Options) (*Server, error) {
	if o.Dir == "" {
		return nil, errors.New("open the SQS endpoint: Options.Dir is empty; name a directory for the data")
	}
	if o.FS == nil {
		o.FS = vfs.Default
		abs, err := filepath.Abs(o.Dir)
		if err != nil {
			return nil, fmt.Errorf("open the SQS endpoint in %s: %w", o.Dir, err)
		}
		o.Dir = abs
	}
	o.Region = orDefault(o.Region, "us-east-1")
	o.AccountID = orDefault(o.AccountID, "000000000000")
	o.Logger = orDefault(o.Logger, slog.Default())
	o.minFree = orDefault(o.minFree, minFreeBytes)
	o.ballast = orDefault(o.ballast, ballastBytes)
	if err := o.FS.MkdirAll(o.Dir, 0o755); err != nil {
		return nil, errDirectory("make the data directory", o.Dir, err)
	}
	if o.freeSpace == nil {
		o.freeSpace = freeSpace(o.FS, o.Dir)
	}
	d := &disk{
		fs: o.FS, dir: o.Dir, path: o.FS.PathJoin(o.Dir, ballastName), free: o.freeSpace,
		minFree: o.minFree, ballast: o.ballast, log: o.Logger,
	}
	if _, err := o.FS.Stat(d.path); err == nil {
		d.held = true
	}
	st, err := openStore(o.Dir, o.FS, d, o.Logger)
	if err != nil {
		return nil, err
	}
	s := &Server{
		store: st, log: o.Logger, account: o.AccountID, region: o.Region,
		arnPrefix:      "arn:aws:sqs:" + o.Region + ":" + o.AccountID + ":",
		countAttribute: o.CountAttribute,
		inFlightLimit:  orDefault(o.inFlightLimit, maxInFlight),
		queues:         map[string]*Queue{},
		closing:        make(chan struct{}),
	}
	s.actions = s.actionTable()
	s.seq.Store(uint64(time.Now().UnixNano()))
	if err := s.loadQueues(); err != nil {
		return nil, errors.Join(fmt.Errorf("read the queues in %s: %w", o.Dir, err), st.close())
	}
	_ = d.room() // makes the ballast file, or finds that there is no room for it
	s.ctx, s.stop = context.WithCancel(context.Background())
	s.work.Go(func() { s.sweeper(s.ctx) })
	s.work.Go(func() { st.syncer(s.ctx) })
	s.work.Go(func() { st.reclaimer(s.ctx) })
	if err := s.resumeTasks(); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

func orDefault[T comparable](v, otherwise T) T {
	var zero T
	if v == zero {
		return otherwise
	}
	return v
}

// Close ends long polls and move tasks, waits for what is under way, and
// closes the store. Receive counts of messages in flight are kept; a move task
// goes on when the server is opened again. A second Close does nothing.
func (s *Server) Close() error {
	s.lifecycle.Lock()
	if s.closed {
		s.lifecycle.Unlock()
		return nil
	}
	s.closed = true
	close(s.closing)
	s.lifecycle.Unlock()
	s.stop()
	s.work.Wait()
	s.requests.Wait()
	var errs []error
	for _, q := range s.queueList("") {
		errs = append(errs, q.land())
	}
	return errors.Join(append(errs, s.store.close())...)
}

// land makes everything in flight visible, with its count.
func (q *Queue) land() error {
	q.mu.Lock()
	defer q.mu.Unlock()
	now := time.Now().UnixMilli()
	for q.flights.len() > 0 && q.s.store.failure() == nil {
		if err := q.returnFirst(min(q.flights.len(), returnChunk), now); err != nil {
			return err
		}
	}
	return nil
}

func errClosed() error { return errUnavailable("the server is shutting down") }

// enter notes a use of the store; exit must be called after it, unless there
// is an error.
func (s *Server) enter() error {
	s.lifecycle.RLock()
	defer s.lifecycle.RUnlock()
	if s.closed {
		return errClosed()
	}
	s.requests.Add(1)
	return nil
}

func (s *Server) exit() { s.requests.Done() }

// Queue returns the queue of that name.
func (s *Server) Queue(name string) (*Queue, bool) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	q, ok := s.queues[name]
	return q, ok
}

// queueList returns the queues whose names begin with prefix, by name.
func (s *Server) queueList(prefix string) []*Queue {
	s.mu.RLock()
	defer s.mu.RUnlock()
	var qs []*Queue
	for name, q := range s.queues {
		if strings.HasPrefix(name, prefix) {
			qs = append(qs, q)
		}
	}
	slices.SortFunc(qs, func(a, b *Queue) int { return strings.Compare(a.name, b.name) })
	return qs
}

// CreateQueue makes a standard queue, durably. Where it exists already it gets
// the attributes, in contrast to the action of that name, which then refuses
// others than the queue has: what a program declares at its start holds.
// Attributes are those of SQS's SetQueueAttributes.
func (s *Server) CreateQueue(name string, attributes map[string]string) (*Queue, error) {
	if err := s.enter(); err != nil {
		return nil, err
	}
	defer s.exit()
	q, created, err := s.createQueue(name, attributes, nil)
	if err != nil {
		return nil, fmt.Errorf("create queue %q: %w", name, err)
	}
	if !created && len(attributes) > 0 {
		if err := q.setAttributes(attributes); err != nil {
			return nil, fmt.Errorf("create queue %q: %w", name, err)
		}
	}
	return q, nil
}

func (s *Server) createQueue(name string, attributes, tags map[string]string) (*Queue, bool, error) {
	if strings.HasSuffix(name, ".fifo") {
		return nil, false, errFIFO()
	}
	if !legalQueueName(name) {
		return nil, false, errInvalidParameter("Can only include alphanumeric characters, hyphens, or underscores. 1 to "+
			"%d in length", maxQueueName)
	}
	st, err := (*settings)(nil).apply(attributes)
	if err != nil {
		return nil, false, err
	}
	s.create.Lock()
	defer s.create.Unlock()
	if q, ok := s.Queue(name); ok {
		return q, false, nil
	}
	if err := s.checkRedriveTarget(name, st); err != nil {
		return nil, false, err
	}
	now := time.Now().Unix()
	r := queueRecord{ID: s.lastID + 1, Name: name, Created: now, Modified: now, Attributes: st.raw, Tags: tags}
	if err := s.saveQueue(r); err != nil {
		return nil, false, err
	}
	s.lastID++
	q := s.newQueue(r, st)
	s.mu.Lock()
	s.queues[name] = q
	s.mu.Unlock()
	return q, true, nil
}

func (s *Server) newQueue(r queueRecord, st *settings) *Queue {
	q := &Queue{s: s, id: r.ID, name: r.Name, created: r.Created, modified: r.Modified, tags: maps.Clone(r.Tags),
		due: never}
	q.settings.Store(st)
	return q
}

// checkRedriveTarget refuses a dead-letter queue that isn't there.
func (s *Server) checkRedriveTarget(name string, st *settings) error {
	if st.redrive == nil {
		return nil
	}
	target := arnName(st.redrive.target)
	if d, ok := s.Queue(target); !ok || d.ARN() != st.redrive.target || target == name {
		return errInvalidParameter("Value %s for parameter RedrivePolicy is invalid. Reason: Dead letter target does not "+
			"exist or is the queue itself.", st.raw["RedrivePolicy"])
	}
	return nil
}

func (s *Server) deleteQueue(q *Queue) error {
	s.create.Lock()
	defer s.create.Unlock()
	q.adding.Lock()
	defer q.adding.Unlock()
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.gone {
		return errNoSuchQueue()
	}
	err := q.clear(func(b *pebble.Batch) error { return b.Delete(queueKey(q.name), nil) })
	if err != nil {
		return fmt.Errorf("delete queue %s: %w", q.name, err)
	}
	q.gone = true
	q.wake(len(q.waiters))
	s.mu.Lock()
	delete(s.queues, q.name)
	s.mu.Unlock()
	return nil
}

func queueKey(name string) []byte { return append([]byte{kindQueue}, name...) }

func (s *Server) saveQueue(r queueRecord) error {
	v, err := json.Marshal(r)
	if err != nil {
		return err
	}
	b := s.store.db.NewBatch()
	if err := b.Set(queueKey(r.Name), v, nil); err != nil {
		return err
	}
	return s.store.commit(b, pebble.Sync)
}

var _ http.Handler = (*Server)(nil)
