package console

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/spillwayhq/spillway/cmd/spillway/dlq"
	"github.com/spillwayhq/spillway/cmd/spillway/terminal"
	"github.com/spillwayhq/spillway/shared/deadletter"
)

// The verbs of actions, as the command line has them.
const (
	verbRedrive = "redrive"
	verbDrop    = "drop"
	verbExport  = "export"
)

// A deadAction is a redrive, a drop or an export of dead letters, under way or ended.
type deadAction struct {
	Verb           string
	Selection      dlq.Selection
	Started, Ended time.Time // Ended is zero while it runs
	Done, Of       int       // dead letters of a redrive, else events
	Says           []string  // what it has done, in sentences
	Err            string    // why it ended early, and what to do
	Failing        bool      // it ended because Segment fails
	Stopping       bool
}

// Running reports whether it is under way.
func (a *deadAction) Running() bool { return a.Ended.IsZero() }

// Unit is what Done and Of count.
func (a *deadAction) Unit() string {
	if a.Verb == verbRedrive {
		return "dead letters"
	}
	return "events"
}

var (
	errStoppedByHand = errors.New("it was stopped")
	errEnding        = errors.New("the program ended")
)

// deadActions runs one action at a time. An action goes on when its browser leaves; its result is
// kept until the next one. An action that is killed with the process loses nothing, as the command
// of the same name: package deadletter deletes only what was sent or written. The zero value is
// ready.
type deadActions struct {
	mu      sync.Mutex
	last    *deadAction
	stop    context.CancelCauseFunc // of the one under way
	closed  bool
	running sync.WaitGroup
}

// state returns a copy of the last action; nil: there was none.
func (d *deadActions) state() *deadAction {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.last == nil {
		return nil
	}
	a := *d.last
	a.Says = slices.Clone(a.Says)
	return &a
}

// begin makes an action the one under way. end is to be called when it has ended.
func (d *deadActions) begin(ctx context.Context, verb string, s dlq.Selection, of int) (context.Context,
	*deadAction, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed {
		return nil, nil, errEnding
	}
	if d.last != nil && d.last.Running() {
		return nil, nil, fmt.Errorf("%s runs since %s: wait for its end, or stop it", anAction(d.last.Verb),
			d.last.Started.UTC().Format("15:04:05 UTC"))
	}
	d.last = &deadAction{Verb: verb, Selection: s, Started: time.Now(), Of: of}
	ctx, d.stop = context.WithCancelCause(ctx)
	d.running.Add(1)
	return ctx, d.last, nil
}

func anAction(verb string) string {
	switch verb {
	case verbRedrive:
		return "a redrive"
	case verbDrop:
		return "a drop"
	}
	return "an export"
}

// end notes what an action has done.
func (d *deadActions) end(a *deadAction, says []string, err error) {
	d.mu.Lock()
	a.Says, a.Failing = says, errors.Is(err, deadletter.ErrFailing)
	if err != nil {
		a.Err = err.Error()
	}
	a.Ended = time.Now()
	d.stop(nil)
	d.mu.Unlock()
	d.running.Done()
}

// progress notes how far an action is.
func (d *deadActions) progress(a *deadAction, done int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	a.Done = done
	a.Of = max(a.Of, done)
}

// stopLast ends the action under way, which finishes its calls to SQS first.
func (d *deadActions) stopLast() {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.last != nil && d.last.Running() {
		d.last.Stopping = true
		d.stop(errStoppedByHand)
	}
}

// close ends the action under way, and waits for its end.
func (d *deadActions) close() {
	d.mu.Lock()
	d.closed = true
	if d.stop != nil {
		d.stop(errEnding)
	}
	d.mu.Unlock()
	d.running.Wait()
}

// redrive starts to send dead letters again.
func (d *deadActions) redrive(q DeadLetters, s dlq.Selection, rate float64, force bool, of int) error {
	f, err := s.Filter(q.KeyName)
	if err != nil {
		return err
	}
	if err := dlq.CheckRate(rate); err != nil {
		return err
	}
	ctx, a, err := d.begin(context.Background(), verbRedrive, s, of)
	if err != nil {
		return err
	}
	go func() {
		result, err := q.Redrive(ctx, deadletter.RedriveOptions{Filter: f, Rate: rate,
			Progress: func(r deadletter.RedriveResult) { d.progress(a, r.DeadLetters) }}, force)
		says, err := redriven(result, time.Since(a.Started), err)
		if err == nil {
			err = s.CheckReasons(result.InQueue)
		}
		d.end(a, says, err)
	}()
	return nil
}

// redriven says what a redrive has done.
func redriven(r deadletter.RedriveResult, took time.Duration, err error) ([]string, error) {
	says := []string{fmt.Sprintf("%s with %s sent again in %.1f s.", terminal.Plural(r.DeadLetters, "dead letter"),
		terminal.Plural(r.Events, "event"), took.Seconds())}
	if r.Old > 0 {
		says = append(says, fmt.Sprintf("%s of them came in more than %.0f h ago: Segment counts their events twice if it "+
			"already has them.", terminal.Number(r.Old), deadletter.DedupePeriod.Hours()))
	}
	for _, reason := range slices.Sorted(maps.Keys(r.Skipped)) {
		says = append(says, fmt.Sprintf("%s with the reason %s skipped: they would become dead letters again. To send "+
			"them all "+
			"the same, select this reason.", terminal.Plural(r.Skipped[reason], "dead letter"), short(reason)))
	}
	if r.NotDeleted > 0 {
		says = append(says, fmt.Sprintf("%s of those that were sent could not be deleted. Sent again they are the "+
			"same events.",
			terminal.Number(r.NotDeleted)))
	}
	switch {
	case errors.Is(err, deadletter.ErrFailing):
		err = fmt.Errorf("%w: the dead letters are still in the queue. Try again when Segment takes events, or send them "+
			"now all the same", err)
	case errors.Is(err, errStoppedByHand), errors.Is(err, errEnding):
		err = fmt.Errorf("%w: what was not sent is still in the queue; start it again to continue", err)
	case err == nil && r.Failed > 0:
		err = fmt.Errorf("%s could not be sent, and are still in the queue: start it again to retry",
			terminal.Plural(r.Failed, "dead letter"))
	}
	return says, err
}

// drop starts to delete dead letters, those that were sent to the queue until then. of is how many
// events they have.
func (d *deadActions) drop(q DeadLetters, s dlq.Selection, until time.Time, of int) error {
	f, err := s.Filter(q.KeyName)
	if err != nil {
		return err
	}
	f.SentUntil = until
	ctx, a, err := d.begin(context.Background(), verbDrop, s, of)
	if err != nil {
		return err
	}
	go func() {
		says, err := d.dropInto(ctx, q, f, a)
		d.end(a, says, err)
	}()
	return nil
}

func (d *deadActions) dropInto(ctx context.Context, q DeadLetters, f deadletter.Filter, a *deadAction) ([]string,
	error) {
	file, err := dlq.NewFileIn(q.DropDir(), a.Started)
	if err != nil {
		return nil, fmt.Errorf("%w. Nothing was deleted", err)
	}
	done := 0
	result, err := q.Drop(ctx, f, func(lines []byte) error {
		err := file.Append(lines)
		done += bytes.Count(lines, []byte{'\n'})
		d.progress(a, done)
		return err
	})
	path, absErr := filepath.Abs(file.Name())
	if absErr != nil {
		path = file.Name()
	}
	err = errors.Join(err, file.Close())
	if err == nil {
		err = a.Selection.CheckReasons(result.InQueue)
	}
	if errors.Is(err, errStoppedByHand) || errors.Is(err, errEnding) {
		err = fmt.Errorf("%w: what was not deleted is still in the queue; start it again to continue", err)
	}
	if result.DeadLetters == 0 {
		return []string{"Nothing was deleted: no dead letter that is selected is visible."}, err
	}
	deleted := terminal.Plural(result.DeadLetters-result.NotDeleted, "dead letter")
	return []string{fmt.Sprintf("%s with %s deleted; all are in %s.", deleted,
		terminal.Plural(result.Events, "event"), path)}, err
}

// export copies dead letters to write, which belongs to a request: it ends with that.
func (d *deadActions) export(ctx context.Context, q DeadLetters, s dlq.Selection, write func([]byte) error) error {
	f, err := s.Filter(q.KeyName)
	if err != nil {
		return err
	}
	ctx, a, err := d.begin(ctx, verbExport, s, 0)
	if err != nil {
		return err
	}
	done := 0
	result, err := q.Export(ctx, f, func(lines []byte) error {
		err := write(lines)
		done += bytes.Count(lines, []byte{'\n'})
		d.progress(a, done)
		return err
	})
	if err == nil {
		err = s.CheckReasons(result.InQueue)
	}
	d.end(a, []string{fmt.Sprintf("%s of %s copied.", terminal.Plural(result.Events, "event"),
		terminal.Plural(result.DeadLetters, "dead letter"))}, err)
	return err
}
