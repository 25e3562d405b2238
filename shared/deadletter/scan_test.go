package deadletter

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/sqs"

	"github.com/spillwayhq/spillway/shared/message"
)

func keys(writeKey string) string { return "<" + writeKey + ">" }

// filled has dead letters with one event each.
func filled(t *testing.T, n int, change func(i int, l *message.DeadLetter)) *fakeSQS {
	t.Helper()
	compressor, err := message.NewCompressor()
	if err != nil {
		t.Fatal(err)
	}
	f := newFake("dead")
	for i := range n {
		id := strconv.Itoa(i)
		l := message.DeadLetter{ID: "m" + id + "/0", Reason: "rejected", Header: message.Header{WriteKey: "WK"},
			FirstSeen: time.Now(), LastSeen: time.Now(),
			Events: [][]byte{[]byte(`{"type":"track","event":"Run","userId":"u","messageId":"` + id +
				`","timestamp":"2026-01-01T00:00:00Z"}`)}}
		if change != nil {
			change(i, &l)
		}
		for _, m := range l.Messages(compressor) {
			f.put(m, "")
		}
	}
	return f
}

func TestAScanReceivesEachDeadLetterOnceAndLeavesNoneInvisible(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := filled(t, 137, func(i int, l *message.DeadLetter) {
			if i%2 == 1 {
				l.Reason, l.Header.WriteKey = "expired", ""
			}
		})
		f.put(f.messages[0].Message, "") // written twice
		f.put(message.Message{Body: "{}"}, "arn:aws:sqs:x:y:live")
		f.put(message.Message{Body: "<html>"}, "")
		list, err := New(f, "dead").List(t.Context(), Filter{}, 0, keys)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, g := range list.Groups {
			got = append(got, g.Reason+" "+g.WriteKey+" "+strconv.Itoa(g.DeadLetters))
		}
		want(t, "groups", got, []string{"rejected <WK> 69", "expired <> 68", "moved by SQS <> 1", "not given unreadable 1"})
		want(t, "entries", len(list.Entries), 139)
		want(t, "copies", list.Duplicates, 1)
		want(t, "invisible", f.invisible(), 0)
	})
}

func TestAScanLongerThanTheVisibilityTimeoutEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := filled(t, 400, nil)
		f.before = func(call string) {
			if call == "receive" {
				time.Sleep(VisibilityTimeout / 4)
			}
		}
		list, err := New(f, "dead").List(t.Context(), Filter{}, 0, keys)
		want(t, "error", err, error(nil))
		if len(list.Entries) > 400 || len(list.Entries) < 160 {
			t.Errorf("%d dead letters of 400 were seen", len(list.Entries))
		}
		want(t, "copies", list.Duplicates, 0)
	})
}

func TestAnInterruptedOrFailedScanLeavesNoneInvisible(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := filled(t, 300, nil)
		ctx, cancel := context.WithCancelCause(t.Context())
		var received atomic.Int32
		f.before = func(call string) {
			if call == "receive" && received.Add(1) == 5 {
				cancel(errStop)
			}
		}
		_, err := New(f, "dead").List(ctx, Filter{}, 0, keys)
		if !errors.Is(err, errStop) {
			t.Errorf("error %v", err)
		}
		want(t, "invisible", f.invisible(), 0)

		f.before = nil
		var handled atomic.Int32
		_, err = New(f, "dead").scan(t.Context(), workers,
			func(context.Context, *scan, []*Received) error { handled.Add(1); return errReset })
		if !errors.Is(err, errReset) || handled.Load() == 0 {
			t.Errorf("error %v", err)
		}
		want(t, "invisible", f.invisible(), 0)
	})
}

func TestAScanIgnoresWhatIsSentAfterItBegan(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := filled(t, 30, nil)
		m := f.messages[0].Message
		f.before = func(call string) {
			time.Sleep(time.Second)
			for range 20 {
				f.put(m, "")
			}
		}
		list, err := New(f, "dead").List(t.Context(), Filter{}, 0, keys)
		want(t, "error", err, error(nil))
		want(t, "dead letters", len(list.Entries), 30)
	})
}

func TestFindStopsAtTheDeadLetter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := filled(t, 2000, nil)
		f.before = func(string) { time.Sleep(time.Millisecond) }
		q := New(f, "dead")
		for _, id := range []string{"m3/0", "dead-4"} { // a Letter-Id, and SQS's
			l, err := q.Find(t.Context(), id)
			if err != nil || l == nil || l.ID != "m3/0" {
				t.Errorf("%s: %+v, %v", id, l, err)
			}
		}
		// Each reader may have begun another receive when the dead letter is found. To read all
		// takes 200.
		if f.calls["receive"] > 2*2*readers {
			t.Errorf("%d receives", f.calls["receive"])
		}
		l, err := q.Find(t.Context(), "none")
		if err != nil || l != nil {
			t.Errorf("none: %+v, %v", l, err)
		}
		want(t, "invisible", f.invisible(), 0)
	})
}

func TestMissingAttributesOfADeadLetterAreTakenFromSQS(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := filled(t, 1, func(_ int, l *message.DeadLetter) {
			l.FirstSeen, l.Receives, l.Detail = time.Now().Add(-time.Hour), 7, "400: no"
		})
		f.put(message.Message{Body: "{}", Attributes: map[string]message.Attribute{ // one that was sent again and then moved
			message.AttrDeadLetterID: message.StringAttribute("m9/1"), message.AttrReason: message.StringAttribute("rejected"),
			message.AttrFirstSeen: message.StringAttribute("yesterday"),
			message.AttrReceives:  message.StringAttribute("-3"), message.AttrEventCount: message.StringAttribute("many"),
		}}, "arn:aws:sqs:x:y:live")
		q := New(f, "dead")
		own, err := q.Find(t.Context(), "m0/0")
		want(t, "error", err, error(nil))
		now := time.Now()
		want(t, "reason", own.Reason+" "+own.Detail, "rejected 400: no")
		want(t, "receives", own.Receives, 7)
		want(t, "age", own.age(now).Round(time.Minute), time.Hour)
		want(t, "count", own.Count, 1)
		moved, err := q.Find(t.Context(), "m9/1")
		want(t, "error", err, error(nil))
		want(t, "reason", moved.Reason, message.ReasonMovedBySQS)
		want(t, "came in", moved.FirstSeen, moved.Sent)
		want(t, "count", moved.Count, 0)
	})
}

func TestAFilterSelectsByReasonAndAge(t *testing.T) {
	now := time.Now()
	l := &Received{DeadLetter: message.DeadLetter{Reason: "rejected", FirstSeen: now.Add(-2 * time.Hour)}}
	for _, c := range []struct {
		filter Filter
		want   bool
	}{
		{Filter{}, true},
		{Filter{Reasons: []string{"expired"}}, false},
		{Filter{Reasons: []string{"expired", "rejected"}}, true},
		{Filter{OlderThan: time.Hour}, true},
		{Filter{OlderThan: 2 * time.Hour}, false},
		{Filter{NewerThan: 2 * time.Hour}, false},
		{Filter{NewerThan: 3 * time.Hour, OlderThan: time.Hour}, true},
	} {
		if got := c.filter.Match(l, now, nil); got != c.want {
			t.Errorf("%+v: %v", c.filter, got)
		}
	}
}

func TestAFilterSelectsByWriteKey(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := filled(t, 30, func(i int, l *message.DeadLetter) { l.Header.WriteKey = "WK" + strconv.Itoa(i%3) })
		f.put(message.Message{Body: "<html>"}, "")
		filter := Filter{WriteKey: func(writeKey string) bool { return writeKey == "WK1" }}
		list, err := New(f, "dead").List(t.Context(), filter, 0, keys)
		want(t, "error", err, error(nil))
		want(t, "dead letters", list.Total, 10)
		want(t, "groups", len(list.Groups), 1)
		dropped, err := New(f, "dead").Drop(t.Context(), filter, func([]byte) error { return nil })
		want(t, "error", err, error(nil))
		want(t, "dropped", dropped.DeadLetters, 10)
		want(t, "left", len(f.messages), 21)
	})
}

func TestAListingHoldsTheLatestUpToItsLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		f := filled(t, 2500, func(i int,
			l *message.DeadLetter) {
			l.FirstSeen = began.Add(-time.Duration(i*7919%2500) * time.Minute)
		})
		all, err := New(f, "dead").List(t.Context(), Filter{}, 0, keys)
		want(t, "error", err, error(nil))
		some, err := New(f, "dead").List(t.Context(), Filter{}, 7, keys)
		want(t, "error", err, error(nil))
		want(t, "entries", some.Entries, all.Entries[:7])
		want(t, "total", []int{some.Total, all.Total, len(all.Entries)}, []int{2500, 2500, 2500})
		want(t, "groups", some.Groups, all.Groups)
	})
}

func TestAScanReceivesMoreThanMayBeInFlight(t *testing.T) {
	for name, shuffled := range map[string]bool{"in order": false, "not in order": true} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := filled(t, 600, func(i int, l *message.DeadLetter) {
					if i%2 == 0 {
						l.Header.WriteKey = "other"
					}
				})
				for i := range 200 {
					f.put(message.Message{Body: `{"type":"track","userId":"u","event":"e","messageId":"moved-` + strconv.Itoa(i) +
						`"}`},
						"arn:aws:sqs:x:y:live")
				}
				time.Sleep(time.Hour) // what a message lacks is taken from when SQS got it
				f.maxInFlight, f.shuffled = 120, shuffled
				q := New(f, "dead")
				q.maxHeld = 100
				list, err := q.List(t.Context(), Filter{}, 0, keys)
				want(t, "error", err, error(nil))
				if list.Total != 800 || list.PutBack < 600 || f.most > 120 {
					t.Errorf("%d dead letters of 800 are listed, %d were put back, %d were in flight", list.Total, list.PutBack,
						f.most)
				}
				time.Sleep(PutBackFor)
				want(t, "in flight", f.invisible(), 0)
				want(t, "messages", len(f.messages), 800)
				// The copies are the same dead letters.
				q.maxHeld, f.maxInFlight = maxHeld, 0
				again, err := q.List(t.Context(), Filter{}, 0, keys)
				want(t, "error", err, error(nil))
				want(t, "duplicates", again.Duplicates, 0)
				want(t, "groups", again.Groups, list.Groups)
				same := func(entries []Entry) []Entry {
					entries = slices.Clone(entries)
					for i := range entries {
						entries[i].Receives = 0 // of the moved ones, receives by scans count
					}
					return entries
				}
				want(t, "entries", same(again.Entries), same(list.Entries))
			})
		})
	}
}

func TestAScanThatMayNotSendHoldsWhatItCan(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := filled(t, 400, nil)
		f.maxInFlight, f.denySend = 120, true
		time.Sleep(time.Second)
		q := New(f, "dead")
		q.maxHeld = 100
		list, err := q.List(t.Context(), Filter{}, 0, keys)
		want(t, "error", err, error(nil))
		if list.Total < 110 || list.PutBack > 0 {
			t.Errorf("%d are listed, %d were put back", list.Total, list.PutBack)
		}
		want(t, "in flight", f.invisible(), 0)
		want(t, "messages", len(f.messages), 400)
	})
}

// TestARepetitionOfAnEventIsCountedOnce writes what ingest writes for a request that is retried:
// the same ID, and events that differ in the times that ingest sets.
func TestARepetitionOfAnEventIsCountedOnce(t *testing.T) {
	for name, c := range map[string]struct {
		first, second       string // events
		entries, duplicates int
	}{
		"other times": {`{"messageId":"a","timestamp":"2026-01-01T00:00:00Z"}`,
			`{"messageId":"a","timestamp":"2026-01-01T00:00:09Z"}`, 1, 1},
		"other messageIds":  {`{"messageId":"a"}`, `{"messageId":"b"}`, 2, 0},
		"without messageId": {`{"event":"a"}`, `{"event":"b"}`, 2, 0},
		"not an object":     {`1`, `1`, 1, 1},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				events := []string{c.first, c.second}
				f := filled(t, len(events), func(i int, l *message.DeadLetter) {
					l.ID, l.Events = "ingest/1", [][]byte{[]byte(events[i])}
					l.Header.ReceivedAt = time.Now().Add(time.Duration(i) * time.Second)
				})
				list, err := New(f, "dead").List(t.Context(), Filter{}, 0, keys)
				if err != nil {
					t.Fatal(err)
				}
				want(t, "entries", list.Total, c.entries)
				want(t, "duplicates", list.Duplicates, c.duplicates)
				exported, err := New(f, "dead").Export(t.Context(), Filter{}, func([]byte) error { return nil })
				if err != nil {
					t.Fatal(err)
				}
				want(t, "exported", exported.DeadLetters, c.entries)
			})
		})
	}
}

// waits notes how long its receives wait.
type waits struct {
	*fakeSQS
	mu      sync.Mutex
	seconds []int32
}

func (w *waits) ReceiveMessage(ctx context.Context, in *sqs.ReceiveMessageInput,
	o ...func(*sqs.Options)) (*sqs.ReceiveMessageOutput, error) {
	w.mu.Lock()
	w.seconds = append(w.seconds, in.WaitTimeSeconds)
	w.mu.Unlock()
	return w.fakeSQS.ReceiveMessage(ctx, in, o...)
}

func TestOnlyAtAWSAReceiveWaitsToAskEveryServer(t *testing.T) {
	for url, want := range map[string]int32{
		"https://sqs.eu-west-1.amazonaws.com/123456789012/spillway-dead-letters": 1,
		"http://localhost:9324/000000000000/spillway-dead-letters":               0,
	} {
		synctest.Test(t, func(t *testing.T) {
			w := &waits{fakeSQS: newFake("dead")}
			if _, err := New(w, url).List(t.Context(), Filter{}, 0, keys); err != nil {
				t.Fatal(err)
			}
			for _, seconds := range w.seconds {
				if seconds != want {
					t.Errorf("a receive from %s waits %d s, want %d", url, seconds, want)
				}
			}
			if len(w.seconds) == 0 {
				t.Error("nothing was received")
			}
		})
	}
}
