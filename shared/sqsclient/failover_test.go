package sqsclient

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/spillwayhq/spillway/shared/message"
)

// scripted is a queue that fails as a test says.
type scripted struct {
	send  func(ctx context.Context, messages []message.Message) error // nil: it takes all
	calls int
	got   []string
}

func (s *scripted) Send(ctx context.Context, messages []message.Message) error {
	s.calls++
	var err error
	if s.send != nil {
		err = s.send(ctx, messages)
	}
	failed := Failures(err, len(messages))
	for i, m := range messages {
		if failed[i] == nil {
			s.got = append(s.got, m.Body)
		}
	}
	return err
}

var errAway = errors.New("away")

func away(context.Context, []message.Message) error { return errAway }

func hangs(ctx context.Context, _ []message.Message) error { <-ctx.Done(); return ctx.Err() }

func odd(_ context.Context, messages []message.Message) error {
	failed := map[int]error{}
	for i := 1; i < len(messages); i += 2 {
		failed[i] = errAway
	}
	return &SendError{Failed: failed}
}

func bodies(texts ...string) (messages []message.Message) {
	for _, text := range texts {
		messages = append(messages, message.Message{Body: text})
	}
	return messages
}

func newFailover(log *bytes.Buffer, onDown func(), queues ...*scripted) *Failover {
	var targets []Target
	for i, q := range queues {
		targets = append(targets, Target{URL: fmt.Sprintf("queue%d", i), Sender: q})
	}
	return NewFailover(slog.New(slog.NewTextHandler(log, nil)), onDown, targets...)
}

func TestEachMessageGoesToTheFirstQueueThatTakesIt(t *testing.T) {
	var log bytes.Buffer
	first, second, third := &scripted{send: odd}, &scripted{send: odd}, &scripted{}
	f := newFailover(&log, nil, first, second, third)
	if err := f.Send(t.Context(), bodies("a", "b", "c", "d")); err != nil {
		t.Error(err)
	}
	if got := fmt.Sprint(first.got, second.got, third.got); got != "[a c] [b] [d]" {
		t.Error(got)
	}
	third.send = away
	err := f.Send(t.Context(), bodies("a", "b", "c", "d"))
	if failed := Failures(err, 4); len(failed) != 1 || failed[3] != errAway {
		t.Errorf("%v", err)
	}
	if log.Len() > 0 || f.FirstUp() != "queue0" {
		t.Errorf("a queue that takes some messages counts as away: %s", log.String())
	}
}

func TestAQueueThatIsAwayIsNotCalledUntilAProbeSucceeds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		down := 0
		first, second := &scripted{send: away}, &scripted{}
		f := newFailover(&log, func() { down++ }, first, second)
		for range 10 {
			if err := f.Send(t.Context(), bodies("a")); err != nil {
				t.Error(err)
			}
		}
		if first.calls != breakAfter || second.calls != 10 || f.FirstUp() != "queue1" || down != 1 {
			t.Errorf("%d and %d calls, %s is up, %d told", first.calls, second.calls, f.FirstUp(), down)
		}
		second.send = away
		for range breakAfter {
			if err := f.Send(t.Context(), bodies("a")); !errors.Is(err, errAway) {
				t.Errorf("%v", err)
			}
		}
		start := time.Now()
		if err := f.Send(t.Context(), bodies("a", "b")); !errors.Is(err, ErrNoQueue) || len(Failures(err, 2)) != 2 {
			t.Errorf("%v", err)
		}
		if !f.Refusing(time.Now()) || f.FirstUp() != "" || time.Since(start) > 0 {
			t.Error("it does not refuse")
		}
		time.Sleep(OpenFor)
		first.send = nil
		if err := f.Send(t.Context(), bodies("a")); err != nil || f.FirstUp() != "queue0" || f.Refusing(time.Now()) {
			t.Errorf("after the probe: %v", err)
		}
		if n := strings.Count(log.String(), "takes no events"); n != 2 || !strings.Contains(log.String(), "takes events again") {
			t.Errorf("log:\n%s", log.String())
		}
	})
}

func TestQueuesThatHangShareTheTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		first, second, third := &scripted{send: hangs}, &scripted{send: hangs}, &scripted{}
		f := newFailover(&log, nil, first, second, third)
		ctx, cancel := context.WithTimeout(t.Context(), 6*time.Second)
		defer cancel()
		start := time.Now()
		if err := f.Send(ctx, bodies("a")); err != nil || time.Since(start) != 4*time.Second {
			t.Errorf("after %v: %v", time.Since(start), err)
		}
		if !f.queues[1].breaker.Refusing(time.Now()) { // one hang is enough
			t.Error("the second is called again at once")
		}
		time.Sleep(OpenFor)
		start = time.Now()
		if err := f.Send(t.Context(), bodies("a")); err != nil || time.Since(start) != 2*CallTimeout {
			t.Errorf("without a deadline, after %v: %v", time.Since(start), err)
		}
	})
}

func TestAShortDeadlineOfTheCallerSaysNothingAboutTheQueue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		f := newFailover(&log, nil, &scripted{send: hangs})
		for _, end := range []time.Duration{100 * time.Millisecond, hangsAfter - 1} {
			ctx, cancel := context.WithTimeout(t.Context(), end)
			if err := f.Send(ctx, bodies("a")); err == nil || f.Refusing(time.Now()) {
				t.Errorf("%v", err)
			}
			cancel()
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if called := f.Try(ctx, bodies("a"), func(int, error) { t.Error("there is a result") }); called {
			t.Error("a queue is called after the end")
		}
	})
}

func TestAQueueWhoseCallPanicsIsTriedAgain(t *testing.T) {
	var log bytes.Buffer
	q := &scripted{send: func(context.Context, []message.Message) error { panic("boom") }}
	f := newFailover(&log, nil, q)
	for range breakAfter - 1 {
		func() {
			defer func() { _ = recover() }()
			_ = f.Send(t.Context(), bodies("a"))
		}()
	}
	q.send = nil
	if err := f.Send(t.Context(), bodies("a")); err != nil {
		t.Error(err)
	}
}
