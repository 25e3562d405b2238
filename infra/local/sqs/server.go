package sqs

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/spillwayhq/spillway/infra/local/sqs/store"
)

// Options configure a Server. Only Dir is required.
type Options struct {
	// Dir is the data directory. Open makes it if it does not exist, and locks it: one process at a
	// time can use it.
	Dir string
	// FS is the file system of Dir; nil is the disk. Tests use a store.Mem.
	FS store.FS
	// Region and AccountID are parts of ARNs: us-east-1 and 000000000000 if empty.
	Region, AccountID string
	// CountAttribute is the name of the message attribute, of type Number, with the number of events
	// in a message ("Event-Count"). Stats adds it up. A message without it, or with anything but a
	// whole number from 1 to 1,000,000, counts 1.
	CountAttribute string
	// Fairness is how messages with different MessageGroupIds are handed out.
	Fairness Fairness
	// Logger gets no message content. Nil means slog.Default.
	Logger *slog.Logger

	// For tests. 0 and nil: minFreeBytes, ballastBytes, maxInFlight, and the free space of Dir.
	minFree, ballast uint64
	inFlightLimit    int
	freeSpace        func() (uint64, error)
}

// Server is the SQS emulator: it has queues, and answers SQS clients as an http.Handler. It is safe
// for concurrent use.
type Server struct {
	store          *store.Log
	disk           *disk
	log            *slog.Logger
	account        string
	arnPrefix      string
	countAttribute string
	inFlightLimit  int
	fairness       Fairness
	actions        map[string]action
	buffers        bufferPool

	opened int64 // when, Unix milliseconds

	seq atomic.Uint64 // the last one used; unique across restarts

	queues queueTable
	tasks  moveTasks

	requests  sync.WaitGroup // those that use the store
	lifecycle sync.RWMutex   // guards closed
	closed    bool
	closing   chan struct{} // closed by Close
	stop      context.CancelFunc
	ctx       context.Context
	work      sync.WaitGroup
}

// Open opens the queues in o.Dir, for which it reads the whole store, about 1 GB in a second from
// memory. Every message that was in flight is visible again. What is damaged is logged, counted
// (Health) and left out. An error says what is wrong with the directory.
func Open(o Options) (*Server, error) {
	if o.Dir == "" {
		return nil, errors.New("open the SQS emulator: Options.Dir is required")
	}
	if o.FS == nil {
		o.FS = store.Disk{}
		abs, err := filepath.Abs(o.Dir)
		if err != nil {
			return nil, fmt.Errorf("open the SQS emulator in %s: %w", o.Dir, err)
		}
		o.Dir = abs
	}
	o.setDefaults()
	if err := o.FS.MkdirAll(o.Dir); err != nil {
		return nil, errDirectory("make the data directory", o.Dir, err)
	}
	d := newDisk(o)
	st, err := store.Open(store.Options{Dir: o.Dir, FS: o.FS, Logger: o.Logger, OnFull: d.onFull, Group: storedGroup})
	if err != nil {
		return nil, errOpen(o.Dir, err)
	}
	s := &Server{
		store: st, disk: d, log: o.Logger, account: o.AccountID,
		arnPrefix:      "arn:aws:sqs:" + o.Region + ":" + o.AccountID + ":",
		countAttribute: o.CountAttribute,
		inFlightLimit:  o.inFlightLimit,
		fairness:       o.Fairness,
		actions:        actionTable(),
		opened:         time.Now().UnixMilli(),
		closing:        make(chan struct{}),
	}
	s.queues = queueTable{s: s, byName: map[string]*Queue{}, orphans: map[uint32][]*store.Message{}}
	s.tasks = moveTasks{s: s, records: map[string]*taskRecord{}, cancels: map[string]context.CancelFunc{}}
	s.seq.Store(uint64(time.Now().UnixNano()))
	if err := s.queues.load(st.State()); err != nil {
		return nil, errors.Join(fmt.Errorf("read the queues in %s: %w", o.Dir, err), st.Close())
	}
	s.reportDamage()
	_ = d.room() // makes the ballast file, or finds that there is no room for it
	s.ctx, s.stop = context.WithCancel(context.Background())
	s.work.Go(func() { s.sweeper(s.ctx) })
	s.work.Go(func() { s.keeper(s.ctx) })
	if err := s.tasks.resume(st.State()); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

func (o *Options) setDefaults() {
	o.Region = orDefault(o.Region, "us-east-1")
	o.AccountID = orDefault(o.AccountID, "000000000000")
	o.Logger = orDefault(o.Logger, slog.Default())
	o.minFree = orDefault(o.minFree, minFreeBytes)
	o.ballast = orDefault(o.ballast, ballastBytes)
	o.inFlightLimit = orDefault(o.inFlightLimit, maxInFlight)
	if o.freeSpace == nil {
		o.freeSpace = freeSpace(o.FS, o.Dir)
	}
}

func orDefault[T comparable](v, otherwise T) T {
	var zero T
	if v == zero {
		return otherwise
	}
	return v
}

// Close ends long polls and move tasks, waits for the requests under way, and closes the store. It
// stores the receive counts of messages in flight. A move task continues when the server is opened
// again. A second Close does nothing.
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
	for _, q := range s.queues.list("") {
		q.returnAll()
	}
	return s.store.Close()
}

func errClosed() error { return errUnavailable("the server is shutting down") }

// enter begins a use of the store. The caller must call exit after it, unless there is an error.
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

// Queues returns all queues, by name.
func (s *Server) Queues() []*Queue { return s.queues.list("") }

// Queue returns the queue of that name.
func (s *Server) Queue(name string) (*Queue, bool) { return s.queues.get(name) }

// CreateQueue creates a standard queue and returns when it is on disk. If the queue exists, it gets
// the attributes, so that what a program declares at its start applies; the action CreateQueue fails
// instead if they differ. The attributes are those of SQS's SetQueueAttributes.
func (s *Server) CreateQueue(name string, attributes map[string]string) (*Queue, error) {
	if err := s.enter(); err != nil {
		return nil, err
	}
	defer s.exit()
	q, created, err := s.queues.createQueue(name, attributes, nil)
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

var _ http.Handler = (*Server)(nil)
