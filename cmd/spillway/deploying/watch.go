package deploying

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/spillwayhq/spillway/cmd/spillway/deployed"
	"github.com/spillwayhq/spillway/cmd/spillway/terminal"
)

const (
	// pollEvery is how often AWS is asked while it deploys, and changeSetEvery while it compares.
	pollEvery, changeSetEvery = 3 * time.Second, time.Second
	// patience is how long AWS may be unreachable while it deploys, before the command ends. AWS goes
	// on all the same.
	patience = 15 * time.Minute
	// settled is how often in a row a final status must be read that no event confirms, and unheard how
	// often if there was no event of the stack at all: what CloudFormation says of a stack may be some
	// seconds old, and then is about the deployment before.
	settled, unheard = 5, 20
)

// wait waits, and returns false if ctx has ended.
func wait(ctx context.Context, d time.Duration) bool {
	select {
	case <-ctx.Done():
		return false
	case <-time.After(d):
		return true
	}
}

// A watcher follows one deployment of a stack.
type watcher struct {
	stacks   *stacks
	id       string // of the stack
	pipeline string
	out      io.Writer
	line     *terminal.Line
	began    time.Time

	final  *stack
	seen   map[string]bool
	events []Event // of this deployment, the oldest first
	tally  tally
	blind  bool // events can't be read
}

func (d *Deployment) watcher(id string) *watcher {
	return &watcher{stacks: d.stacks, id: id, pipeline: d.Pipeline, out: d.Out, line: terminal.NewLine(d.Out),
		began: time.Now(), seen: map[string]bool{}}
}

// skip takes what has happened to the stack until now for known. It is called before the deployment
// begins.
func (w *watcher) skip(ctx context.Context) error {
	_, err := w.stacks.events(ctx, w.id, func(e Event) bool {
		w.seen[e.ID] = true
		return true // the newest one is enough: reading ends there
	})
	if deployed.Denied(err) {
		return nil // which the deployment says
	}
	return err
}

// run shows what happens until the deployment has ended. A lost connection does not end it; an error
// says why it can't go on.
func (w *watcher) run(ctx context.Context) error {
	defer w.line.Clear()
	var lost time.Time // since when AWS is not reached; zero: it is
	for finals := 0; ; {
		ended, confirmed, err := w.poll(ctx)
		switch {
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case err != nil && (deployed.Denied(err) || hasExpired(err)):
			return err
		case err != nil && lost.IsZero():
			lost = time.Now()
			w.say("  " + terminal.OneLine(err.Error()) + ". Asking again; AWS goes on meanwhile.")
		case err != nil && time.Since(lost) > patience:
			return err
		case err == nil:
			lost = time.Time{}
		}
		if finals++; !ended || err != nil {
			finals = 0
		}
		enough := unheard
		if w.last() != nil {
			enough = settled
		}
		if ended && err == nil && (confirmed || finals >= enough) {
			return nil
		}
		if !wait(ctx, pollEvery) {
			return context.Cause(ctx)
		}
	}
}

// hasExpired reports whether an error says that the credentials have ended, which no waiting mends.
func hasExpired(err error) bool {
	code, _ := codeOf(err)
	return strings.HasPrefix(code, "ExpiredToken") || strings.Contains(err.Error(), "credentials")
}

func (w *watcher) say(text string) {
	w.line.Clear()
	fmt.Fprintln(w.out, text)
}

// poll reads the status, then the events, and shows what is new. confirmed: the last event is that of
// a final status.
func (w *watcher) poll(ctx context.Context) (ended, confirmed bool, err error) {
	s, err := w.stacks.describe(ctx, w.id)
	if err != nil {
		return false, false, err
	}
	if s == nil {
		return false, false, fmt.Errorf("the stack %s does not exist any more", nameOf(w.id))
	}
	w.final = s
	ended = !strings.HasSuffix(s.Status, "_IN_PROGRESS")
	if !w.blind {
		if err := w.readEvents(ctx); deployed.Denied(err) {
			w.blind = true
			w.say("  " + terminal.OneLine(err.Error()) + ". What happens to each resource is not shown.")
		} else if err != nil {
			return ended, false, err
		}
	}
	w.line.Set("  " + w.tally.text(time.Since(w.began)))
	if last := w.last(); last != nil {
		confirmed = last.Status == s.Status
	}
	return ended, confirmed, nil
}

// last is the newest event of the stack itself.
func (w *watcher) last() *Event {
	for i := len(w.events) - 1; i >= 0; i-- {
		if w.events[i].ofStack() {
			return &w.events[i]
		}
	}
	return nil
}

// readEvents shows the events that are new. Those before the deployment are left out.
func (w *watcher) readEvents(ctx context.Context) error {
	begun := false
	news, err := w.stacks.events(ctx, w.id, func(e Event) bool {
		old := w.seen[e.ID] || begun
		begun = begun || e.begins() // the deployment's first event: nothing before it is of interest
		return old
	})
	if err != nil {
		return err
	}
	slices.Reverse(news)
	for _, e := range news {
		w.seen[e.ID] = true
		w.events = append(w.events, e)
		w.tally.add(e)
		if line := e.line(); line != "" {
			w.say(line)
		}
	}
	return nil
}

// result says how the deployment has ended.
func (w *watcher) result(region string) error {
	s := w.final
	took := terminal.Age(time.Since(w.began))
	switch s.Status {
	case "CREATE_COMPLETE", "UPDATE_COMPLETE", "IMPORT_COMPLETE":
		fmt.Fprintf(w.out, "The stack %s is deployed (%s, %s).\n", s.Name, s.Status, took)
		printOutputs(w.out, s)
		return nil
	case "DELETE_COMPLETE":
		return fmt.Errorf("the stack %s was deleted", s.Name)
	}
	text := fmt.Sprintf("the deployment of the stack %s failed (%s): ", s.Name, s.Status)
	if first := cause(w.events); first != nil {
		text += fmt.Sprintf("%s %s: %s", first.Type, first.LogicalID, terminal.OneLine(first.Reason))
		if strings.HasPrefix(first.Type, "AWS::Lambda::Alias") {
			text += ". CodeDeploy or the check of the new version has refused it: see the section \"A deployment went " +
				"back\" of docs/runbook.md"
		}
	} else {
		text += terminal.OneLine(s.Reason)
	}
	switch s.Status {
	case "UPDATE_ROLLBACK_COMPLETE":
		text += ". All is undone: the pipeline works as before"
	case "ROLLBACK_COMPLETE":
		text += ". All is undone. The next deployment deletes the empty stack and makes it anew; wait a minute before " +
			"it, because SQS does not reuse the name of a deleted queue sooner"
	default:
		if _, err := decide(s, region, w.pipeline); err != nil {
			text += ". " + err.Error()
		}
	}
	if names := left(w.events); len(names) > 0 {
		text += "\nThese are left outside of the stack:\n  " + strings.Join(names, "\n  ")
	}
	return errors.New(text)
}

// Watch shows the deployment of a pipeline's stack that is under way, until it has ended. It changes
// nothing.
func (d *Deployment) Watch(ctx context.Context) error {
	if _, _, err := identity(ctx, d.Config); err != nil {
		return err
	}
	d.stacks = newStacks(d.Config)
	s, err := d.stacks.describe(ctx, d.Stack)
	switch {
	case err != nil:
		return err
	case s == nil:
		return fmt.Errorf("there is no stack %s in %s: deploy it first", d.Stack, d.Config.Region)
	case !strings.HasSuffix(s.Status, "_IN_PROGRESS"), s.Status == "REVIEW_IN_PROGRESS":
		fmt.Fprintf(d.Out, "No deployment of the stack %s is under way (%s).\n", s.Name, s.Status)
		if s.Status != "REVIEW_IN_PROGRESS" {
			printOutputs(d.Out, s)
		}
		return nil
	}
	fmt.Fprintf(d.Out, "The stack %s: %s\n", s.Name, s.Status)
	w := d.watcher(s.ID)
	if err := w.run(ctx); err != nil {
		return fmt.Errorf("%w: AWS goes on, whether it is watched or not", err)
	}
	return w.result(d.Config.Region)
}
