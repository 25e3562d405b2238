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
	// DefaultRate is how many events a second are sent again: half of what Segment takes of a
	// workspace before it queues or answers 429, so that a redrive leaves room for what comes in
	// meanwhile.
	DefaultRate = 500
	// DedupeWindow is how long Segment remembers a messageId at least (Segment documentation,
	// "Segment's deduplication"): of an event that is older it may count a second one.
	DedupePeriod = 24 * time.Hour
	// checkEvery is how often it is asked whether Segment still takes events.
	checkEvery = time.Minute
)

// ComeBack are the reasons whose letters would only come back, because it is their bytes that are
// wrong and nobody has mended them: they are sent again only when a filter names their reason, say
// after an upgrade that reads them.
func PermanentReasons() []string {
	return []string{message.ReasonUndecodable, message.ReasonTooLarge, message.ReasonInvalid, message.ReasonPanic}
}

// Sender is the events queue; *sqsclient.Queue is one. The error is nil or, if only some failed, a
// *sqsclient.SendError.
type Sender interface {
	Send(context.Context, []message.Message) error
}

// Redrive says which letters are sent again and how.
type RedriveOptions struct {
	Filter Filter
	DryRun bool    // nothing is sent, only counted
	Rate   float64 // events a second; DefaultRate when 0
	// Check is asked before the first letter and then once a minute; its error ends the redrive.
	// nil: nobody is asked.
	Check func(context.Context) error
	// Progress is called after each call to SQS, one call after the other. nil: nobody looks.
	Progress func(RedriveResult)
}

// Redriven is what became of the letters that the filter is about, and Left and Seen of the others.
type RedriveResult struct {
	DeadLetters, Events int            // sent again, and deleted but for NotDeleted
	NotDeleted          int            // letters that were sent and are still there: sent again they are the same events
	Failed              int            // letters that could not be sent, and are still there
	Skipped             map[string]int // letters that would only come back, by reason
	Old                 int            // of Letters, those with events that came in longer ago than DedupeWindow
	InQueue             ReasonCounts   // all letters that were there
}

// redriving is one redrive. mu guards result and the pace.
type redriving struct {
	RedriveOptions
	to         Sender
	compressor *message.Compressor

	mu      sync.Mutex
	result  RedriveResult
	next    time.Time // when the next events may be sent
	checked time.Time
}

// Redrive sends letters to the events queue again, each before it is deleted. When ctx ends, what
// is under way is finished, which takes a minute at most; the rest is where it was. The result is
// true also when there is an error.
func (q *Queue) Redrive(ctx context.Context, to Sender, c RedriveOptions) (RedriveResult, error) {
	if c.Rate == 0 {
		c.Rate = DefaultRate
	}
	if c.Rate < 0 {
		return RedriveResult{}, fmt.Errorf("%v events/s can't be sent: write more than 0", c.Rate)
	}
	compressor, err := message.NewCompressor()
	if err != nil {
		return RedriveResult{}, err
	}
	r := &redriving{RedriveOptions: c, to: to, compressor: compressor, result: RedriveResult{Skipped: map[string]int{}, InQueue: ReasonCounts{}}}
	if err := r.check(ctx); err != nil {
		return r.result, err
	}
	err = q.scan(ctx, r.each)
	return r.result, err
}

// each sends the letters of one receive.
func (r *redriving) each(ctx context.Context, w *scan, letters []*Received) error {
	reader, err := NewReader()
	if err != nil {
		return err
	}
	defer reader.Close()
	var wanted []*Received
	for _, l := range letters {
		switch {
		case !r.wants(l, w.began, reader):
		case r.DryRun:
			r.count([]*Received{l}, l.Count, w.began)
		default:
			wanted = append(wanted, l)
		}
	}
	hidden := time.Now()
	for len(wanted) > 0 {
		n, events := 1, wanted[0].Count
		for n < len(wanted) && float64(events+wanted[n].Count) <= r.Rate { // no more than a second's worth together
			events += wanted[n].Count
			n++
		}
		err := r.pace(ctx, events, func() {
			if time.Since(hidden) >= VisibilityTimeout/2 {
				w.keep(ctx, wanted)
				hidden = time.Now()
			}
		})
		if err == nil {
			err = r.send(ctx, w, wanted[:n])
		}
		if err != nil {
			return err
		}
		wanted = wanted[n:]
	}
	return nil
}

// wants says whether the letter is to be sent, and sets its Count.
func (r *redriving) wants(l *Received, now time.Time, reader *Reader) bool {
	match := r.Filter.Match(l, now)
	comesBack := slices.Contains(PermanentReasons(), l.Reason)
	if match {
		m, err := reader.Read(l)
		if err == nil {
			l.Count = len(m.Events)
		}
		// What SQS moved unread is still to get its reason from the function; what has one, like a
		// piece of a body that one message could not hold, has been through that.
		comesBack = comesBack || err != nil && l.Reason != message.ReasonMovedBySQS && l.Reason != message.ReasonNotGiven
		l.Count = max(1, l.Count)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.result.InQueue[l.Reason]++
	if match && comesBack && len(r.Filter.Reasons) == 0 {
		r.result.Skipped[l.Reason]++
		return false
	}
	return match
}

// send sends and then deletes.
func (r *redriving) send(ctx context.Context, w *scan, letters []*Received) error {
	if err := r.check(ctx); err != nil {
		return err
	}
	messages := make([]message.Message, len(letters))
	for i, l := range letters {
		messages[i] = r.message(l)
	}
	// What was begun is finished: a call that is cut off leaves open whether SQS has it.
	sending, cancel := context.WithTimeout(context.WithoutCancel(ctx), callTime)
	defer cancel()
	err := r.to.Send(sending, messages)
	failed := sqsclient.Failures(err, len(letters))
	var sent []*Received
	events, away := 0, false
	for i, l := range letters {
		if failed[i] == nil {
			sent = append(sent, l)
			events += l.Count
		}
		away = away || failed[i] != nil && !ofItsOwn(failed[i])
	}
	left, undeleted := w.remove(ctx, sent)
	r.mu.Lock()
	r.result.Failed += len(failed)
	r.result.NotDeleted += len(left)
	r.mu.Unlock()
	r.count(sent, events, w.began)
	switch {
	case len(sent) == 0 && away: // the queue is, and would be for the others
		return err
	case undeleted != nil:
		return fmt.Errorf("letters were sent and are still there, sent again they are the same events to Segment for %v: %w",
			DedupePeriod, undeleted)
	}
	return nil
}

// ofItsOwn says whether a letter could not be sent for what it is itself.
func ofItsOwn(err error) bool {
	var refused *sqsclient.RefusedError
	return errors.Is(err, sqsclient.ErrTooLarge) || errors.As(err, &refused) && refused.SenderFault
}

func (r *redriving) count(letters []*Received, events int, now time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.result.DeadLetters += len(letters)
	r.result.Events += events
	for _, l := range letters {
		if l.Age(now) > DedupePeriod {
			r.result.Old++
		}
	}
	if r.Progress != nil {
		r.Progress(r.result)
	}
}

// pace waits until so many events may be sent, and keeps the letters that wait hidden meanwhile.
func (r *redriving) pace(ctx context.Context, events int, keep func()) error {
	r.mu.Lock()
	at := r.next
	if now := time.Now(); at.Before(now) {
		at = now
	}
	r.next = at.Add(time.Duration(float64(events) / r.Rate * float64(time.Second)))
	r.mu.Unlock()
	for {
		keep()
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

// check asks whether Segment takes events, once a minute.
func (r *redriving) check(ctx context.Context) error {
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

// message is the letter for the events queue: its body, and of its attributes those that say how to
// read it and who it is.
func (r *redriving) message(l *Received) message.Message {
	m := message.Message{Body: string(l.Body), Attributes: map[string]message.Attribute{
		message.AttrDeadLetterID: message.StringAttribute(message.LegalText(l.ID)),
		message.AttrFirstSeen:    message.StringAttribute(l.FirstSeen.UTC().Format(event.TimeFormat)),
	}}
	for _, name := range []string{message.AttrContentEncoding, message.AttrEventCount, message.AttrOrigin} {
		if text := l.Attributes[name].Text; text != "" {
			m.Attributes[name] = l.Attributes[name]
		}
	}
	if m.Size() > message.MaxBytes { // one that SQS moved has had fewer attributes
		m.Body = r.compressor.Compress(l.Body)
		m.Attributes[message.AttrContentEncoding] = message.StringAttribute(message.EncodingZstd)
	}
	return m
}
