package deadletter

import (
	"context"
	"encoding/json"
	"errors"
	"math/rand/v2"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/spillwayhq/spillway/shared/message"
	"github.com/spillwayhq/spillway/shared/sqsclient"
)

// runRedrive sends from one fake queue to another.
func runRedrive(t *testing.T, from, to *fakeSQS, c RedriveOptions) (RedriveResult, error) {
	t.Helper()
	r, err := New(from, "dead").Redrive(t.Context(), sqsclient.New(to, "live"), c)
	want(t, "invisible", from.invisible(), 0)
	return r, err
}

func TestRedriveSendsAtItsRate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, c := range []struct {
			deadLetters, events int // in each
			rate                float64
		}{{100, 1, 10}, {12, 40, 100}, {40, 100, 1}} {
			dead, live := filled(t, c.deadLetters, func(_ int, l *message.DeadLetter) {
				for range c.events - 1 {
					l.Events = append(l.Events, l.Events[0])
				}
			}), newFake("live")
			start := time.Now()
			r, err := runRedrive(t, dead, live, RedriveOptions{Rate: c.rate})
			want(t, "error", err, error(nil))
			want(t, "events", r.Events, c.deadLetters*c.events)
			want(t, "left", len(dead.messages), 0)
			want(t, "sent", len(live.messages), c.deadLetters)
			// There is no wait after the last ones, nor for the first second's worth.
			least := time.Duration(float64(c.deadLetters*c.events)/c.rate*float64(time.Second)) - max(time.Second,
				time.Duration(float64(c.events)/c.rate*float64(time.Second)))
			if took := time.Since(start); took < least || took > least+5*time.Minute {
				t.Errorf("%d events at %v/s took %v, not %v", r.Events, c.rate, took, least)
			}
			receives := 0
			for _, m := range live.messages {
				receives += m.receives
			}
			if dead.calls["receive"] > c.deadLetters/10+10 {
				t.Errorf("%d receives of %d dead letters: some were received again while they waited", dead.calls["receive"],
					c.deadLetters)
			}
		}
	})
}

func TestADeadLetterWithInvalidAttributesDoesNotDelayOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dead, live := filled(t, 30, func(int, *message.DeadLetter) {}), newFake("live")
		for _, seen := range []string{"9999-12-31T23:59:59-10:00", "0000-01-01T00:00:00+10:00", "0001-01-01T00:00:00+10:00"} {
			dead.put(message.Message{Body: "no JSON", Attributes: map[string]message.Attribute{
				message.AttrEventCount: message.StringAttribute("1000000000"),
				message.AttrReceives:   message.StringAttribute("9223372036854775807"),
				message.AttrFirstSeen:  message.StringAttribute(seen), message.AttrLastSeen: message.StringAttribute(seen),
			}}, "")
		}
		q := New(dead, "dead")
		listing, err := q.List(t.Context(), Filter{}, 0, strings.ToUpper)
		want(t, "error", err, error(nil))
		_, err = json.Marshal(listing)
		want(t, "error of JSON", err, error(nil))
		copied, err := q.Export(t.Context(), Filter{}, func([]byte) error { return nil })
		want(t, "error", err, error(nil))
		want(t, "exported", copied.DeadLetters, 33)
		start := time.Now()
		r, err := runRedrive(t, dead, live, RedriveOptions{})
		want(t, "error", err, error(nil))
		want(t, "sent", r.DeadLetters, 33)
		if took := time.Since(start); took > time.Minute {
			t.Errorf("it took %v", took)
		}
	})
}

func TestADeadLetterThatSQSRefusesDoesNotDelayOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		// As long as a message may be, so that there is no room for the attributes of a
		// dead letter, and it does not compress.
		body := make([]byte, message.MaxBytes)
		for i := range body {
			body[i] = byte('!' + rand.IntN('~'-'!'))
		}
		dead, live := newFake("dead"), newFake("live")
		dead.put(message.Message{Body: string(body)}, "arn:aws:sqs:x:y:live")
		for _, m := range filled(t, 30, func(int, *message.DeadLetter) {}).messages {
			dead.put(m.Message, "")
		}
		r, err := runRedrive(t, dead, live, RedriveOptions{Rate: 1}) // one a call
		want(t, "error", err, error(nil))
		want(t, "sent", r.DeadLetters, 30)
		want(t, "failed", r.Failed, 1)
		want(t, "left", len(dead.messages), 1)
	})
}

func TestRedriveSkipsPermanentReasonsUnlessTheFilterNamesThem(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		reasons := append(PermanentReasons(), "rejected", "expired")
		dead, live := filled(t, 60, func(i int, l *message.DeadLetter) { l.Reason = reasons[i%6] }), newFake("live")
		dead.put(message.Message{Body: "no JSON, and no reason yet"}, "arn:aws:sqs:x:y:live")
		dead.put(message.Message{Body: "a piece of JSON",
			Attributes: map[string]message.Attribute{message.AttrReason: message.StringAttribute("expired")}}, "")
		r, err := runRedrive(t, dead, live, RedriveOptions{DryRun: true})
		want(t, "error", err, error(nil))
		want(t, "dry run", r.DeadLetters, 21)
		want(t, "nothing was sent", len(live.messages)+live.calls["send"]+dead.calls["delete"], 0)
		r, err = runRedrive(t, dead, live, RedriveOptions{})
		want(t, "error", err, error(nil))
		want(t, "sent", r.DeadLetters, 21)
		want(t, "left", r.Skipped,
			map[string]int{"undecodable": 10, "too_large": 10, "invalid": 10, "panic": 10, "expired": 1})
		want(t, "seen", r.InQueue["rejected"], 10)
		r, err = runRedrive(t, dead, live, RedriveOptions{Filter: Filter{Reasons: []string{"invalid", "expired"}}})
		want(t, "error", err, error(nil))
		want(t, "asked for", r.DeadLetters, 11)
		want(t, "skipped", r.Skipped, map[string]int{})
	})
}

func TestRedriveStopsWhenSegmentBeginsToFail(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dead, live := filled(t, 600, nil), newFake("live")
		start := time.Now()
		check := func(context.Context) error {
			if time.Since(start) > 2*time.Minute {
				return ErrFailing
			}
			return nil
		}
		r, err := runRedrive(t, dead, live, RedriveOptions{Rate: 1, Check: check})
		if !errors.Is(err, ErrFailing) {
			t.Errorf("error %v", err)
		}
		if r.DeadLetters < 100 || r.DeadLetters > 200 || len(dead.messages) != 600-r.DeadLetters {
			t.Errorf("%d dead letters were sent, %d are left", r.DeadLetters, len(dead.messages))
		}
		dead.calls["receive"] = 0
		if r, err = runRedrive(t, dead, live, RedriveOptions{Check: check}); !errors.Is(err, ErrFailing) ||
			r.DeadLetters != 0 ||
			dead.calls["receive"] != 0 {
			t.Errorf("once it fails: %+v, %v", r, err)
		}
	})
}

func TestRedriveCountsWhatIsOlderThanSegmentsDeduplication(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dead := filled(t, 9, func(i int,
			l *message.DeadLetter) {
			l.FirstSeen = time.Now().Add(-time.Duration(20+i) * time.Hour)
		})
		r, err := runRedrive(t, dead, newFake("live"), RedriveOptions{})
		want(t, "error", err, error(nil))
		want(t, "old", r.Old, 4)
	})
}

func TestTheLargestDeadLetterIsSentAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dead, live := newFake("dead"), newFake("live")
		event := `{"type":"track","event":"Run","userId":"u","properties":{"fill":"` + strings.Repeat("x", 20_000) + `"}}`
		body := `{"batch":[` + event + strings.Repeat(","+event, 51)
		body += strings.Repeat(" ", message.MaxBytes-len(body)-2) + `]}`
		dead.put(message.Message{Body: body}, "arn:aws:sqs:x:y:live")
		noise := make([]byte, message.MaxBytes)
		rng := rand.New(rand.NewPCG(1, 1))
		for i := range noise {
			noise[i] = byte('!' + rng.IntN(90))
		}
		dead.put(message.Message{Body: string(noise)}, "arn:aws:sqs:x:y:live")
		r, err := runRedrive(t, dead, live, RedriveOptions{})
		want(t, "error", err, error(nil))
		want(t, "sent", r.DeadLetters, 1)
		want(t, "what does not fit", r.Failed, 1)
		want(t, "still there", len(dead.messages), 1)
		reader, err := NewReader()
		if err != nil {
			t.Fatal(err)
		}
		defer reader.Close()
		m, err := reader.Read(&Received{DeadLetter: message.DeadLetter{Body: []byte(live.messages[0].Body)}})
		if err != nil || string(m.Events[51].Raw) != event || live.messages[0].Size() > message.MaxBytes {
			t.Errorf("sent as %d bytes: %v", live.messages[0].Size(), err)
		}
		if _, zstd := live.messages[0].Attributes[message.AttrContentEncoding]; !zstd {
			t.Error("it does not say that it is compressed")
		}
	})
}

func TestAnInterruptedRedriveCanBeContinued(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dead, live := filled(t, 100, nil), newFake("live")
		ctx, cancel := context.WithCancelCause(t.Context())
		time.AfterFunc(30*time.Second, func() { cancel(errStop) })
		r, err := New(dead, "dead").Redrive(ctx, sqsclient.New(live, "live"), RedriveOptions{Rate: 1})
		if !errors.Is(err, errStop) || r.DeadLetters == 0 || r.DeadLetters+len(dead.messages) != 100 ||
			len(live.messages) != r.DeadLetters {
			t.Errorf("%+v, %d are left, %d were sent: %v", r, len(dead.messages), len(live.messages), err)
		}
		want(t, "invisible", dead.invisible(), 0)
		if r, err = runRedrive(t, dead, live, RedriveOptions{}); err != nil || len(live.messages) != 100 {
			t.Errorf("%+v: %v", r, err)
		}
	})
}

func TestRedriveEndsWhenTheQueueFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dead := filled(t, 100, nil)
		var sends atomic.Int32
		r, err := New(dead, "dead").Redrive(t.Context(), sender(func() error { sends.Add(1); return errReset }),
			RedriveOptions{Rate: 5})
		if !errors.Is(err, errReset) || sends.Load() > workers || r.Failed == 0 || len(dead.messages) != 100 {
			t.Errorf("%+v after %d calls: %v", r, sends.Load(), err)
		}
		want(t, "invisible", dead.invisible(), 0)
	})
}

type sender func() error

func (s sender) Send(context.Context, []message.Message) error { return s() }

func TestARedrivenMessageHasTheGroupOfItsWriteKey(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dead, live := filled(t, 6, func(i int, l *message.DeadLetter) {
			l.Header.WriteKey = []string{"a", "b", ""}[i%3]
			if i == 5 {
				l.Events, l.Body, l.Reason = nil, []byte("no JSON"), message.ReasonMovedBySQS
			}
		}), newFake("live")
		if _, err := runRedrive(t, dead, live, RedriveOptions{Rate: 1e6, Filter: Filter{}}); err != nil {
			t.Fatal(err)
		}
		groups := map[string]int{}
		for _, m := range live.messages {
			groups[m.Group]++
		}
		want(t, "groups", groups, map[string]int{message.GroupID("a"): 2, message.GroupID("b"): 2, message.GroupID(""): 1, "": 1})
	})
}

func TestARedrivenMessageNamesTheReplayThatSentIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dead, live := filled(t, 2, func(i int, l *message.DeadLetter) { l.Replay = []string{"r-7", ""}[i] }), newFake("live")
		if _, err := runRedrive(t, dead, live, RedriveOptions{Rate: 1e6}); err != nil {
			t.Fatal(err)
		}
		replays := map[string]int{}
		for _, m := range live.messages {
			replays[m.Attributes[message.AttrReplayID].Text]++
		}
		want(t, "replays", replays, map[string]int{"r-7": 1, "": 1})
	})
}
