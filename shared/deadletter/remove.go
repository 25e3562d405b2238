package deadletter

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/spillwayhq/spillway/shared/message"
	"github.com/spillwayhq/spillway/shared/sqsclient"
)

// detailRemoved is the detail in place of one that quoted what is removed.
const detailRemoved = "the detail quoted an event that was removed"

// RemoveOptions say which events [Queue.RemoveEvents] removes. Its functions are called
// sequentially.
type RemoveOptions struct {
	// Selects reports whether an event is removed.
	Selects func(event []byte) bool
	// Mentions reports whether a text names what is removed. A body that can't be read is kept, and
	// counted if it does; a detail that does is replaced where other events of the dead letter
	// remain.
	Mentions func(text []byte) bool
	// Found is called with each event, before its dead letter is changed. Its error ends the run.
	Found func(Removed) error
	// Unreadable selects dead letters whose bodies can't be read, and that Mentions selects, too.
	Unreadable bool
	DryRun     bool // only call Found, and count
}

// Removed is an event that is removed from a dead letter.
type Removed struct {
	DeadLetterID, Reason string
	MessageID            string // with which it would have been sent again; empty: the body can't be read
	Event                []byte // valid during the call; of an unreadable dead letter its body
	FirstSeen            time.Time
}

// RemoveResult is the result of a [Queue.RemoveEvents].
type RemoveResult struct {
	Events    int // removed, or in a dry run to be removed
	Deleted   int // dead letters in which nothing else was
	Rewritten int // dead letters that hold other events, too
	NotDone   int // dead letters that could not be changed, and are in the queue as they were
	// Unreadable are those whose body can't be read and mentions what is removed. They are kept,
	// unless the options select them.
	Unreadable int
	// ArchiveOnly are archive-only messages, whose records may be of anybody. They are kept.
	ArchiveOnly int
	InQueue     ReasonCounts // all dead letters that were in the queue
	PutBack     int          // see the package comment
}

// RemoveEvents removes single events from the queue for good. A dead letter without other events is
// deleted. One with others is replaced by a copy that has only those: their bytes, messageIds and
// the dead letter's ID remain. The copy is sent before the original is deleted, so that an
// interruption loses none; where it leaves both, the next run removes the events from the original
// again, and two equal copies count as one. The retention period of a copy begins anew.
func (q *Queue) RemoveEvents(ctx context.Context, o RemoveOptions) (RemoveResult, error) {
	c, err := message.NewCompressor()
	if err != nil {
		return RemoveResult{}, err
	}
	r := &remover{RemoveOptions: o, compressor: c, result: RemoveResult{InQueue: ReasonCounts{}}}
	putBack, err := q.scan(ctx, workers, r.handle)
	r.result.PutBack = putBack
	return r.result, err
}

// remover is one run. mu guards result and the calls of the options' functions.
type remover struct {
	RemoveOptions
	compressor *message.Compressor
	mu         sync.Mutex
	result     RemoveResult
}

// A replacement is what takes the place of a dead letter.
type replacement struct {
	of       *Received
	messages []message.Message // none: it is deleted
	removed  int
}

// handle removes events from the dead letters of one receive.
func (r *remover) handle(ctx context.Context, s *scan, received []*Received) error {
	reader, err := NewReader()
	if err != nil {
		return err
	}
	defer reader.Close()
	replace, err := r.plan(ctx, received, reader)
	if err != nil || r.DryRun {
		return err
	}
	var sent []replacement
	var originals []*Received
	var failure error
	for _, p := range replace {
		if err := r.send(ctx, s, p.messages); err != nil {
			failure = err
			r.count(func(n *RemoveResult) { n.NotDone++ })
			continue
		}
		sent, originals = append(sent, p), append(originals, p.of)
	}
	notDeleted, err := s.delete(ctx, originals)
	for _, p := range sent {
		if slices.Contains(notDeleted, p.of) {
			r.count(func(n *RemoveResult) { n.NotDone++ })
			continue
		}
		r.count(func(n *RemoveResult) { n.add(p) })
	}
	return cmp.Or(err, failure)
}

func (r *remover) count(f func(*RemoveResult)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	f(&r.result)
}

// add counts a dead letter that was replaced.
func (n *RemoveResult) add(p replacement) {
	n.Events += p.removed
	if len(p.messages) == 0 {
		n.Deleted++
	} else {
		n.Rewritten++
	}
}

// plan finds the events to remove, tells Found of them, and returns what to replace.
func (r *remover) plan(ctx context.Context, received []*Received, reader *Reader) ([]replacement, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if ctx.Err() != nil { // it ended while this waited for its turn
		return nil, context.Cause(ctx)
	}
	var all []replacement
	for _, l := range received {
		r.result.InQueue[l.Reason]++
		p, err := r.planOne(l, reader)
		if err != nil {
			return nil, err
		}
		if p.removed == 0 {
			continue
		}
		all = append(all, p)
		if r.DryRun {
			r.result.add(p)
		}
	}
	return all, nil
}

// planOne is plan for one dead letter.
func (r *remover) planOne(l *Received, reader *Reader) (replacement, error) {
	p := replacement{of: l}
	m, err := reader.Read(l)
	if reader.message.ArchiveFrame != nil {
		r.result.ArchiveOnly++
		return p, nil
	}
	if err != nil {
		return r.planUnreadable(l)
	}
	var rest [][]byte
	for i := range m.Events {
		e := &m.Events[i]
		id := string(l.EventID(e, i))
		if !r.Selects(e.Raw) {
			// Its ID, if it has none of its own, comes from its place, which changes now.
			identified, _ := e.AppendIdentified(nil, id, l.FirstSeen)
			rest = append(rest, identified)
			continue
		}
		p.removed++
		if err := r.Found(Removed{DeadLetterID: l.ID, Reason: l.Reason, MessageID: id, Event: e.Raw,
			FirstSeen: l.FirstSeen}); err != nil {
			return p, fmt.Errorf("write down what is removed from dead letter %s: %w", l.ID, err)
		}
	}
	if p.removed > 0 && len(rest) > 0 {
		p.messages = r.without(l, m, rest)
	}
	return p, nil
}

func (r *remover) planUnreadable(l *Received) (replacement, error) {
	p := replacement{of: l}
	if !r.Mentions(l.Body) {
		return p, nil
	}
	r.result.Unreadable++
	if !r.Unreadable {
		return p, nil
	}
	p.removed = 1
	err := r.Found(Removed{DeadLetterID: l.ID, Reason: l.Reason, Event: l.Body, FirstSeen: l.FirstSeen})
	if err != nil {
		err = fmt.Errorf("write down what is removed from dead letter %s: %w", l.ID, err)
	}
	return p, err
}

// without returns the messages of a dead letter with the rest of its events.
func (r *remover) without(l *Received, m *message.Content, rest [][]byte) []message.Message {
	copied := l.DeadLetter
	copied.Header, copied.Events, copied.Body = m.Header, rest, nil
	if r.Mentions([]byte(copied.Detail)) {
		copied.Detail = detailRemoved
	}
	messages := copied.Messages(r.compressor)
	for i := range messages {
		has := &messages[i]
		for name, value := range l.Attributes { // those of other versions
			if _, written := has.Attributes[name]; written || name == message.AttrContentEncoding ||
				len(has.Attributes) == maxAttributes || has.Size()+len(name)+len(value.Type)+len(value.Text) > message.MaxBytes {
				continue
			}
			has.Attributes[name] = value
		}
	}
	return messages
}

// send sends the messages that replace a dead letter. It is not interrupted: otherwise it is
// unknown whether SQS has them.
func (r *remover) send(ctx context.Context, s *scan, messages []message.Message) error {
	if len(messages) == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), callTimeout)
	defer cancel()
	for len(messages) > 0 {
		n := min(len(messages), sqsclient.MaxEntries)
		if err := s.q.own.Send(ctx, messages[:n]); err != nil {
			return fmt.Errorf("send the rest of a dead letter to %s: %w", s.q.url, err)
		}
		messages = messages[n:]
	}
	return nil
}
