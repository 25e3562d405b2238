package deadletter

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/spillwayhq/spillway/shared/event"
	"github.com/spillwayhq/spillway/shared/message"
	"github.com/spillwayhq/spillway/shared/sqsclient"
)

const (
	// DefaultRate is how many events a second a redrive sends: half of what Segment takes of a
	// workspace before it queues or answers 429, so that fresh events have room.
	DefaultRate = 500
	// DedupePeriod is how long Segment remembers a messageId at least (Segment documentation,
	// "Segment's deduplication"). After that it may count an event that it already received.
	DedupePeriod = 24 * time.Hour
	// checkEvery is how often a redrive checks that Segment takes events.
	checkEvery = time.Minute
)

// PermanentReasons returns the reasons that mean that the message's bytes are wrong: sent again, it
// would become a dead letter again. A redrive sends such dead letters only when its filter names
// the reason, for example after an upgrade that can read them.
func PermanentReasons() []string {
	return []string{message.ReasonUndecodable, message.ReasonTooLarge, message.ReasonInvalid, message.ReasonPanic}
}

// IsPermanent reports whether a redrive skips dead letters with a reason that its filter does not
// name. An unreadable body without a reason of its own gets one from deliver. One that has a
// reason, such as a part of a body that was too large, was with deliver already.
func IsPermanent(reason string, readable bool) bool {
	hasReason := reason != message.ReasonMovedBySQS && reason != message.ReasonNotGiven
	return slices.Contains(PermanentReasons(), reason) || !readable && hasReason
}

// A Sender sends to the events queue; *sqsclient.Queue is one. The error is nil or, if only some
// messages failed, a *sqsclient.SendError.
type Sender interface {
	Send(context.Context, []message.Message) error
}

// RedriveOptions configure a redrive. The zero value sends every dead letter without a permanent
// reason.
type RedriveOptions struct {
	Filter Filter
	DryRun bool    // only count
	Rate   float64 // events a second, more than 0; DefaultRate when 0
	// Check is called before the first dead letter and then once a minute; its error ends the
	// redrive. nil: no check.
	Check func(context.Context) error
	// Progress is called after each call to SQS, never concurrently. It may be nil.
	Progress func(RedriveResult)
}

// RedriveResult is the result of a [Queue.Redrive].
type RedriveResult struct {
	DeadLetters, Events int            // sent, and deleted except for NotDeleted
	NotDeleted          int            // of DeadLetters, those still in the queue; sent again they are the same events
	Failed              int            // dead letters that could not be sent, and are still in the queue
	Skipped             map[string]int // dead letters with a permanent reason that were not sent, by reason
	Old                 int            // of DeadLetters, those whose events came in longer ago than DedupePeriod
	InQueue             ReasonCounts   // all dead letters that were in the queue, also those outside the filter
}

// Redrive sends dead letters to the events queue again, and deletes each after it was sent. When
// ctx ends, Redrive finishes the calls under way, which takes at most a minute, and leaves the rest
// in the queue. After an error the result says what was sent.
func (q *Queue) Redrive(ctx context.Context, to Sender, o RedriveOptions) (RedriveResult, error) {
	if o.Rate == 0 {
		o.Rate = DefaultRate
	}
	if o.Rate < 0 {
		return RedriveResult{}, fmt.Errorf("the rate must be more than 0 events a second, is %v", o.Rate)
	}
	compressor, err := message.NewCompressor()
	if err != nil {
		return RedriveResult{}, err
	}
	r := &redrive{RedriveOptions: o, to: to, compressor: compressor,
		result: RedriveResult{Skipped: map[string]int{}, InQueue: ReasonCounts{}}}
	if err := r.check(ctx); err != nil {
		return r.result, err
	}
	_, err = q.scan(ctx, workers, r.handle)
	return r.result, err
}

// redrive is one redrive. mu guards result, next and checked.
type redrive struct {
	RedriveOptions
	to         Sender
	compressor *message.Compressor

	mu      sync.Mutex
	result  RedriveResult
	next    time.Time // when the next events may be sent
	checked time.Time
}

// handle sends the dead letters of one receive.
func (r *redrive) handle(ctx context.Context, s *scan, received []*Received) error {
	selected, err := r.selectFrom(received, s.began)
	if err != nil {
		return err
	}
	extended := time.Now()
	for len(selected) > 0 {
		n, events := 1, selected[0].Count
		// No more than a second's worth in one call.
		for n < len(selected) && float64(events+selected[n].Count) <= r.Rate {
			events += selected[n].Count
			n++
		}
		err := r.pace(ctx, events, func() {
			if time.Since(extended) >= VisibilityTimeout/2 {
				s.extend(ctx, selected)
				extended = time.Now()
			}
		})
		if err == nil {
			err = r.send(ctx, s, selected[:n])
		}
		if err != nil {
			return err
		}
		selected = selected[n:]
	}
	return nil
}

// selectFrom returns the dead letters to send, with their Count set. In a dry run it only counts
// them.
func (r *redrive) selectFrom(received []*Received, now time.Time) ([]*Received, error) {
	reader, err := NewReader()
	if err != nil {
		return nil, err
	}
	defer reader.Close()
	var selected []*Received
	for _, l := range received {
		switch {
		case !r.selects(l, now, reader):
		case r.DryRun:
			r.count([]*Received{l}, l.Count, now)
		default:
			selected = append(selected, l)
		}
	}
	return selected, nil
}

// selects reports whether to send the dead letter, and sets its Count.
func (r *redrive) selects(l *Received, now time.Time, reader *Reader) bool {
	match := r.Filter.Match(l, now, reader)
	permanent := false
	if match {
		m, err := reader.Read(l)
		if err == nil {
			l.Count, l.group = len(m.Events), message.GroupID(m.WriteKey)
		}
		permanent = IsPermanent(l.Reason, err == nil)
		l.Count = max(1, l.Count)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.result.InQueue[l.Reason]++
	if match && permanent && len(r.Filter.Reasons) == 0 {
		r.result.Skipped[l.Reason]++
		return false
	}
	return match
}

// send sends dead letters and then deletes them.
func (r *redrive) send(ctx context.Context, s *scan, received []*Received) error {
	if err := r.check(ctx); err != nil {
		return err
	}
	messages := make([]message.Message, len(received))
	for i, l := range received {
		messages[i] = r.message(l)
	}
	// A send is not interrupted: otherwise it is unknown whether SQS has the messages.
	sending, cancel := context.WithTimeout(context.WithoutCancel(ctx), callTimeout)
	defer cancel()
	err := r.to.Send(sending, messages)
	failed := sqsclient.Failures(err, len(received))
	var sent []*Received
	events, queueFails := 0, false
	for i, l := range received {
		if failed[i] == nil {
			sent = append(sent, l)
			events += l.Count
		}
		queueFails = queueFails || failed[i] != nil && !isMessageFault(failed[i])
	}
	notDeleted, deleteErr := s.delete(ctx, sent)
	r.mu.Lock()
	r.result.Failed += len(failed)
	r.result.NotDeleted += len(notDeleted)
	r.mu.Unlock()
	r.count(sent, events, s.began)
	switch {
	case len(sent) == 0 && queueFails: // the others would fail too
		return err
	case deleteErr != nil:
		return fmt.Errorf("some dead letters were sent but not deleted; if they are sent again within %v, Segment "+
			"drops the duplicates: %w", DedupePeriod, deleteErr)
	}
	return nil
}

// isMessageFault reports whether SQS refused the message for what it is, so that others may
// succeed.
func isMessageFault(err error) bool {
	var refused *sqsclient.RefusedError
	return errors.Is(err, sqsclient.ErrTooLarge) || errors.As(err, &refused) && refused.SenderFault
}

func (r *redrive) count(received []*Received, events int, now time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.result.DeadLetters += len(received)
	r.result.Events += events
	for _, l := range received {
		if l.age(now) > DedupePeriod {
			r.result.Old++
		}
	}
	if r.Progress != nil {
		r.Progress(r.result)
	}
}

// pace waits until so many events may be sent. It calls extend while it waits.
func (r *redrive) pace(ctx context.Context, events int, extend func()) error {
	r.mu.Lock()
	at := r.next
	if now := time.Now(); at.Before(now) {
		at = now
	}
	r.next = at.Add(time.Duration(float64(events) / r.Rate * float64(time.Second)))
	r.mu.Unlock()
	for {
		extend()
		wait := time.Until(at)
		if wait <= 0 || ctx.Err() != nil {
			return ctx.Err()
		}
		timer := time.NewTimer(min(wait, VisibilityTimeout/2))
		select {
		case <-timer.C:
		case <-ctx.Done():
		}
		timer.Stop()
	}
}

// check calls Check if the last call was over a minute ago.
func (r *redrive) check(ctx context.Context) error {
	r.mu.Lock()
	due := r.Check != nil && time.Since(r.checked) >= checkEvery
	if due {
		r.checked = time.Now()
	}
	r.mu.Unlock()
	if !due {
		return nil
	}
	return r.Check(ctx)
}

// message returns the dead letter as a message of the events queue: its body, and those attributes
// that say how to read it and which dead letter it was.
func (r *redrive) message(l *Received) message.Message {
	m := message.Message{Body: string(l.Body), Group: l.group, Attributes: map[string]message.Attribute{
		message.AttrDeadLetterID: message.StringAttribute(message.LegalText(l.ID)),
		message.AttrFirstSeen:    message.StringAttribute(l.FirstSeen.UTC().Format(event.TimeFormat)),
	}}
	for _, name := range []string{message.AttrContentEncoding, message.AttrEventCount, message.AttrOrigin,
		message.AttrReplayID} {
		if text := l.Attributes[name].Text; text != "" {
			m.Attributes[name] = l.Attributes[name]
		}
	}
	if m.Size() > message.MaxBytes { // one that SQS moved had fewer attributes
		m.Body = r.compressor.Compress(l.Body)
		m.Attributes[message.AttrContentEncoding] = message.StringAttribute(message.EncodingZstd)
	}
	return m
}
