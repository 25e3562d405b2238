package deliver

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/spillwayhq/spillway/shared/event"
	"github.com/spillwayhq/spillway/shared/message"
	"github.com/spillwayhq/spillway/shared/segment"
	"github.com/spillwayhq/spillway/shared/sqsclient"
)

// hang waits for the end of the context, as a call to a server that never answers does.
func hang(ctx context.Context) error {
	<-ctx.Done()
	return &segment.Error{Class: segment.Transient, Err: ctx.Err()}
}

func TestWhenSegmentHangsTheHandlerAnswersInTimeAndReportsEverythingElse(t *testing.T) {
	for _, limit := range []time.Duration{60 * time.Second, 8 * time.Second, time.Second, time.Millisecond, 0,
		-time.Second} {
		t.Run(limit.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t, func(ctx context.Context, b *event.Batch) error {
					if b.WriteKey == keyB {
						return nil
					}
					return hang(ctx)
				})
				ctx, cancel := context.WithTimeout(t.Context(), limit)
				defer cancel()
				var messages []in
				for i := range 3 * DefaultConcurrencyLimit { // more batches than may be under way
					messages = append(messages, in{id: strconv.Itoa(i), body: body(keyA+strconv.Itoa(i), track("e", 300))})
				}
				messages = slices.Insert(messages, 0, in{id: "good", body: body(keyB, tracks("g", 3000, 155)...)})
				retained := r.invoke(ctx, messages...)
				if limit > 0 {
					if ctx.Err() != nil {
						t.Error("the handler answered too late")
					}
					want(t, "the delivered message is retained", slices.Contains(retained, "good"), false)
					want(t, "delivered", r.last.Delivered, 3000)
					want(t, "retained", len(retained), len(messages)-1)
				} else {
					want(t, "retained", len(retained), len(messages))
				}
				want(t, "visibility changes", len(r.queue.timeouts), len(retained))
			})
		})
	}
}

func TestInvokeAnswersInTimeThoughSQSHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, func(ctx context.Context, b *event.Batch) error {
			if b.WriteKey == keyB {
				return hang(ctx)
			}
			return refusing(track("p", 300))(ctx, b)
		})
		r.queue.send = func(ctx context.Context, _ []message.Message) error { <-ctx.Done(); return ctx.Err() }
		r.queue.changeVisibility = func(ctx context.Context,
			_ []sqsclient.VisibilityChange) error {
			<-ctx.Done()
			return ctx.Err()
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		retained := r.invoke(ctx, in{id: "a", body: body(keyA, track("p", 300))},
			in{id: "b", body: body(keyB, track("b", 300))})
		want(t, "retained", retained, []string{"a", "b"})
		want(t, "dead-letter errors and visibility errors", []int{r.last.DeadLetterErrors, r.last.VisibilityErrors},
			[]int{1, 1})
		if ctx.Err() != nil {
			t.Error("the handler answered too late")
		}
	})
}

func TestMarginIsFiveSecondsButNeverMoreThanAQuarter(t *testing.T) {
	for remaining, expected := range map[time.Duration]time.Duration{
		time.Minute: 5 * time.Second, 20 * time.Second: 5 * time.Second, 4 * time.Second: time.Second, 0: 0, -time.Second: 0,
	} {
		want(t, remaining.String(), margin(remaining, 5*time.Second), expected)
	}
}

func TestAMessageExpiresAfterTenDaysWithTheLastError(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		events := tracks("e", 600, 1000) // two batches: the first is delivered
		r := newRig(t, func(_ context.Context, b *event.Batch) error {
			if b.WriteKey == keyA && !slices.ContainsFunc(b.Events, func(e []byte) bool { return string(e) == events[599] }) {
				return nil
			}
			return status(503)
		})
		old, young := time.Now().Add(-MaxAge-time.Second), time.Now().Add(-MaxAge+time.Minute)
		retained := r.invoke(t.Context(),
			in{id: "old", body: zipped(t, body(keyA, events...)), sent: old, receives: 900},
			in{id: "young", body: body(keyB, track("y", 300)), sent: young, receives: 900},
			in{id: "ageless", body: body(keyB, track("z", 300))})
		want(t, "retained", retained, []string{"ageless", "young"})
		l := r.queue.deadLetters[0]
		dead := deadLetterEvents(t, l)
		want(t, "dead letters", r.last.DeadLettered, map[string]int{"expired": len(dead)})
		want(t, "delivered", r.last.Delivered, 600-len(dead))
		if taken := r.segment.delivered(); len(taken)+len(dead) != 600 || slices.Contains(taken, dead[0]) {
			t.Errorf("%d events delivered and %d dead letters, want 600 together", len(taken), len(dead))
		}
		if id := attr(l, message.AttrDeadLetterID); !strings.HasPrefix(id, "old/expired/") {
			t.Errorf("the dead letter has the id %s", id)
		}
		want(t, "receives", attr(l, message.AttrReceives), "900")
		want(t, "first seen", attr(l, message.AttrFirstSeen), old.UTC().Format(event.TimeFormat))
		if d := attr(l, message.AttrDetail); !strings.Contains(d, "503") || !strings.Contains(d, marker) {
			t.Errorf("the dead letter does not quote the last error: %q", d)
		}
	})
}

func TestExpiredDeadLettersWithTheSameIDHoldTheSameEvents(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		events := tracks("e", 600, 1000) // two batches
		fails := 599
		r := newRig(t, func(_ context.Context, b *event.Batch) error {
			if !slices.ContainsFunc(b.Events, func(e []byte) bool { return fails < 0 || string(e) == events[fails] }) {
				return nil
			}
			return status(503)
		})
		// The response of the first two invocations is lost; Segment fails for other parts of the
		// message each time.
		for _, fails = range []int{599, 599, 0, -1} {
			r.invoke(t.Context(), in{id: "m", body: zipped(t, body(keyA, events...)),
				sent: time.Now().Add(-MaxAge - time.Second), receives: 9})
			time.Sleep(2 * maxProbe)
		}
		bodies := map[string]string{}
		for _, l := range r.queue.deadLetters {
			id := attr(l, message.AttrDeadLetterID)
			if before, ok := bodies[id]; ok && before != l.Body {
				t.Errorf("two dead letters have the id %s and differ", id)
			}
			bodies[id] = l.Body
		}
		want(t, "ids", len(bodies), 3)
	})
}

func TestARejectedEventDoesNotExpireAsWell(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		events := tracks("e", 700, 1000) // two batches: one with the rejected event, one that fails
		refuse := refusing(events[3])
		r := newRig(t, func(ctx context.Context, b *event.Batch) error {
			if slices.ContainsFunc(b.Events, func(e []byte) bool { return string(e) == events[699] }) {
				return status(503)
			}
			return refuse(ctx, b)
		})
		r.invoke(t.Context(), in{id: "m", body: zipped(t, body(keyA, events...)), sent: time.Now().Add(-MaxAge - time.Hour)})
		times := map[string]int{}
		for _, e := range r.segment.delivered() {
			times[e]++
		}
		for _, l := range r.queue.deadLetters {
			for _, e := range deadLetterEvents(t, l) {
				times[e]++
			}
		}
		for _, e := range events {
			if times[e] != 1 {
				t.Errorf("%.100s has %d dispositions", e, times[e])
			}
		}
		want(t, "rejected", r.last.DeadLettered["rejected"], 1)
	})
}

func TestAMessageOfAPausedKeyExpiresWithTheAnswerThatPausedIt(t *testing.T) {
	r := newRig(t, func(context.Context, *event.Batch) error { return status(401) })
	old := time.Now().Add(-MaxAge - time.Hour)
	r.invoke(t.Context(), in{id: "a", body: body(keyA, track("a", 300))})
	want(t, "retained", r.invoke(t.Context(), in{id: "b", body: body(keyA, track("b", 300)), sent: old}), []string{})
	want(t, "attempts", len(r.segment.attempts), 1)
	if d := attr(r.queue.deadLetters[0], message.AttrDetail); !strings.Contains(d, "401") {
		t.Errorf("detail %q", d)
	}
}

func TestAMessageWithoutAnyWriteKeyExpiresAsItCame(t *testing.T) {
	r := newRig(t, nil)
	r.Handler = r.handler(Config{Segment: r.segment})
	text := `{"batch":[` + track("a", 300) + `,` + track("b", 300) + `]}`
	want(t, "retained", r.invoke(t.Context(), in{id: "m", body: text, sent: time.Now().Add(-MaxAge - time.Hour)}),
		[]string{})
	want(t, "dead letters", r.last.DeadLettered, map[string]int{"expired": 2})
	want(t, "body", r.queue.deadLetters[0].Body, text)
	deadLetterEvents(t, r.queue.deadLetters[0])
}

func TestAMessageThatWasNotTriedForLackOfTimeDoesNotExpire(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil)
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		old := time.Now().Add(-2 * MaxAge)
		want(t, "retained", r.invoke(ctx, in{id: "m", body: body(keyA, track("a", 300)), sent: old}), []string{"m"})
		want(t, "dead letters", len(r.queue.deadLetters), 0)
		want(t, "retried", r.last.Retried, map[string]int{"transient": 1})
	})
}

func TestAMessageOfWhichAPartWasNotTriedDoesNotExpire(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, func(ctx context.Context, b *event.Batch) error { return hang(ctx) })
		r.Handler = r.handler(Config{Segment: r.segment, ConcurrencyLimit: 1})
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		m := in{id: "m", body: zipped(t, body(keyA, tracks("e", 900, 1000)...)), sent: time.Now().Add(-2 * MaxAge)}
		want(t, "retained", r.invoke(ctx, m), []string{"m"})
		want(t, "dead letters", len(r.queue.deadLetters), 0)
	})
}

func TestTheLastErrorIsReportedWhenTimeEndsBeforeTheNextTry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil)
		ctx, cancel := context.WithCancel(t.Context())
		r.segment.answer = func(context.Context, *event.Batch) error { cancel(); return status(503) }
		want(t, "retained", r.invoke(ctx, in{id: "m", body: body(keyA, track("a", 300)), sent: time.Now().Add(-2 * MaxAge)}),
			[]string{})
		want(t, "dead letters", r.last.DeadLettered, map[string]int{"expired": 1})
	})
}

func TestAMessageIsRetainedWhenItsDeadLetterCanNotBeWritten(t *testing.T) {
	r := newRig(t, refusing(track("p", 300), track("q", 300)))
	messages := []in{{id: "p", body: track("p", 300)}, {id: "good", body: body(keyB, track("g", 300))},
		{id: "bad", body: "no JSON"}}
	r.queue.send = func(context.Context, []message.Message) error { return errors.New("no such queue") }
	want(t, "retained", r.invoke(t.Context(), messages...), []string{"bad", "p"})
	want(t, "dead-letter errors", r.last.DeadLetterErrors, 1)
	want(t, "retried", r.last.Retried, map[string]int{"transient": 2})
	want(t, "dead letters", r.last.DeadLettered, map[string]int{})
	r.queue.send = nil
	want(t, "retained", r.invoke(t.Context(), messages...), []string{})
	want(t, "dead letters", len(r.queue.deadLetters), 2)
}

func TestOnlyMessagesWhoseDeadLettersFailAreRetained(t *testing.T) {
	r := newRig(t, nil)
	r.queue.send = func(_ context.Context, m []message.Message) error {
		failed := map[int]error{}
		for i := range m {
			if strings.HasPrefix(attr(m[i], message.AttrDeadLetterID), "bad-1") ||
				attr(m[i], message.AttrDeadLetterID) == "two/1" {
				failed[i] = errors.New("InternalError")
			}
		}
		return &sqsclient.SendError{URL: "https://sqs/dead-letters", Failed: failed}
	}
	// "two" has two dead letters, of which one can't be written.
	two := body(keyA, track("good", 300), `{"type":"tick","userId":"u"}`, `{"type":"track","userId":"u"}`)
	messages := []in{{id: "bad-0", body: "x"}, {id: "bad-1", body: "x"}, {id: "two", body: two, sent: time.Now()}}
	want(t, "retained", r.invoke(t.Context(), messages...), []string{"bad-1", "two"})
	want(t, "retried", r.last.Retried, map[string]int{"transient": 4})
	want(t, "dead letters", r.last.DeadLettered, map[string]int{"undecodable": 1})
	first := len(r.queue.deadLetters)
	r.queue.send = nil
	want(t, "retained", r.invoke(t.Context(), messages[1:]...), []string{})
	// What was written before is written again under the same id, with the same content.
	byID := map[string]string{}
	for i, l := range r.queue.deadLetters {
		id := attr(l, message.AttrDeadLetterID)
		if before, ok := byID[id]; ok && (before != l.Body || i < first) {
			t.Errorf("dead letter %s is first %s and then %s", id, before, l.Body)
		}
		byID[id] = l.Body
	}
	want(t, "different dead letters", len(byID), 4)
	want(t, "dead letters", len(r.queue.deadLetters), 5)
}
