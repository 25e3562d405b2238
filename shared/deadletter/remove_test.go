package deadletter

import (
	"bytes"
	"context"
	"errors"
	"math/rand/v2"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"github.com/spillwayhq/spillway/shared/message"
	"github.com/spillwayhq/spillway/shared/sqsclient"
)

// of removes the events of some users.
func of(users ...string) RemoveOptions {
	selected := map[string]bool{}
	for _, u := range users {
		selected[u] = true
	}
	return RemoveOptions{
		Selects: func(e []byte) bool { return selected[user(e)] },
		Mentions: func(text []byte) bool {
			for _, u := range users {
				if bytes.Contains(text, []byte(u)) {
					return true
				}
			}
			return false
		},
		Found: func(Removed) error { return nil },
	}
}

func TestRemovingEventsLeavesTheOthersOfTheirDeadLetter(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c, err := message.NewCompressor()
		if err != nil {
			t.Fatal(err)
		}
		f := newFake("dead")
		f.before = func(string) { time.Sleep(time.Millisecond) }
		at := time.Now().Add(-time.Hour)
		put := func(id, detail string, change func(*message.Message), events ...string) {
			l := message.DeadLetter{ID: id, Reason: "rejected", Detail: detail, FirstSeen: at, LastSeen: at, Receives: 3,
				Header: message.Header{WriteKey: "WK", Context: []byte(`{"app":{"name":"x"}}`)}}
			for _, e := range events {
				l.Events = append(l.Events, []byte(e))
			}
			m := l.Messages(c)[0]
			if change != nil {
				change(&m)
			}
			f.put(m, "")
		}
		const annas, bobs = `{"type":"track","event":"A","userId":"anna","messageId":"a1"}`, `{"type":"track","event":"B","userId":"bob"}`
		put("only-anna", "no", nil, annas, annas)
		put("both", "400: anna is wrong", func(m *message.Message) {
			m.Attributes["Replay-Id"] = message.StringAttribute("r1")
		}, annas, bobs, bobs)
		put("only-bob", "no", nil, bobs)
		f.put(message.Message{Body: `not JSON of anna`}, "")
		only, err := message.NewArchiveOnly([]byte("\x28\xb5\x2f\xfdof anna, perhaps"), 1)
		if err != nil {
			t.Fatal(err)
		}
		f.put(only, "")
		q := New(f, "dead")

		var found []string
		o := of("anna")
		o.Found = func(r Removed) error {
			found = append(found, r.DeadLetterID+"="+r.MessageID)
			return nil
		}
		o.DryRun = true
		dry, err := q.RemoveEvents(t.Context(), o)
		if err != nil || len(f.messages) != 5 || f.calls["send"]+f.calls["delete"] != 0 {
			t.Errorf("a dry run changed the queue: %v, %v", f.calls, err)
		}
		want(t, "a dry run finds", strings.Join(found, " "), "only-anna=a1 only-anna=a1 both=a1")
		o.DryRun, found = false, nil
		r, err := q.RemoveEvents(t.Context(), o)
		want(t, "error", err, error(nil))
		want(t, "result", r, RemoveResult{Events: 3, Deleted: 1, Rewritten: 1, Unreadable: 1, ArchiveOnly: 1,
			InQueue: ReasonCounts{"rejected": 3, message.ReasonNotGiven: 2}})
		dry.InQueue, r.InQueue = nil, nil
		want(t, "a dry run counts what is done", dry, r)
		if len(f.messages) != 4 || f.invisible() > 0 {
			t.Fatalf("%d messages, %d invisible", len(f.messages), f.invisible())
		}
		copied := f.messages[len(f.messages)-1]
		l := Parse(&types.Message{Body: &copied.Body, MessageAttributes: sqsclient.Attributes(copied.Attributes)})
		want(t, "the copy", l.ID+" "+l.Reason+" "+l.Detail+" "+l.Attributes["Replay-Id"].Text, "both rejected "+detailRemoved+" r1")
		want(t, "its times", l.FirstSeen.Equal(at.Truncate(time.Millisecond)) && l.LastSeen.Equal(l.FirstSeen), true)
		want(t, "its count", l.Count, 2)
		reader, err := NewReader()
		if err != nil {
			t.Fatal(err)
		}
		defer reader.Close()
		m, err := reader.Read(l)
		if err != nil || len(m.Events) != 2 || string(m.Context) != `{"app":{"name":"x"}}` || m.WriteKey != "WK" {
			t.Fatalf("the copy holds %+v, %v", m, err)
		}
		want(t, "the messageId that its place gave it", string(m.Events[0].MessageID()), `"both-1"`)
		want(t, "and the next", string(m.Events[1].MessageID()), `"both-2"`)

		o.Unreadable = true
		r, err = q.RemoveEvents(t.Context(), o)
		if err != nil || r.Deleted != 1 || r.Unreadable != 1 || len(f.messages) != 3 {
			t.Errorf("the unreadable one: %+v, %v", r, err)
		}
	})
}

func TestNothingIsRemovedThatCouldNotBeWrittenDown(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := filled(t, 30, nil)
		o := RemoveOptions{Selects: func([]byte) bool { return true }, Mentions: func([]byte) bool { return false }}
		full := errors.New("the disk is full")
		o.Found = func(Removed) error { return full }
		r, err := New(f, "dead").RemoveEvents(t.Context(), o)
		if !errors.Is(err, full) || r.Events != 0 || len(f.messages) != 30 || f.invisible() > 0 {
			t.Errorf("%+v, %v; %d are left, %d invisible", r, err, len(f.messages), f.invisible())
		}
	})
}

// Under every fault of SQS and interruptions the events of other users stay, are delivered later
// with the same bytes and messageId as without the removal, and at the end none of the removed is
// left.
func TestRemovingEventsNeverTouchesOthers(t *testing.T) {
	t.Parallel()
	runs := max(1, *seeds/3)
	for seed := range uint64(runs) {
		synctest.Test(t, func(t *testing.T) {
			o := newOracle(t, seed+1000)
			o.remove()
			if t.Failed() {
				t.Fatalf("seed %d", seed)
			}
		})
	}
}

// remove forgets a third of the users.
func (o *oracle) remove() {
	before := o.identified()
	var forgotten []string
	for u := range o.users {
		if o.rng.IntN(3) == 0 {
			forgotten = append(forgotten, u)
		}
	}
	found := map[string]bool{}
	options := of(forgotten...)
	options.Mentions = func([]byte) bool { return false }
	options.Found = func(r Removed) error {
		if o.rng.IntN(50) == 0 {
			return errors.New("the disk is full")
		}
		found[user(r.Event)] = true
		return nil
	}
	o.dead.rng = rand.New(rand.NewPCG(o.rng.Uint64(), 2))
	gone := map[string]bool{}
	for range 6 {
		ctx, cancel := context.WithCancelCause(context.Background())
		stop := time.AfterFunc(time.Duration(o.rng.IntN(60_000))*time.Millisecond, func() { cancel(errStop) })
		_, _ = New(o.dead, "dead").RemoveEvents(ctx, options)
		stop.Stop()
		cancel(nil)
		there, unread := o.inQueue()
		for _, u := range forgotten {
			if gone[u] = !there[u]; gone[u] && !found[u] {
				o.Errorf("the event of %s was removed and not written down", u)
			}
			there[u] = true
		}
		want(o, "users in the queue", len(there), len(o.users))
		want(o, "unreadable dead letters", len(unread), len(o.unreadable))
		time.Sleep(time.Duration(o.rng.IntN(400)) * time.Second)
	}
	o.dead.rng = nil
	time.Sleep(VisibilityTimeout)
	options.Found = func(r Removed) error { found[user(r.Event)] = true; return nil }
	r, err := New(o.dead, "dead").RemoveEvents(o.Context(), options)
	if err != nil || r.NotDone > 0 {
		o.Errorf("without faults: %+v, %v", r, err)
	}
	for _, u := range forgotten {
		if !found[u] {
			o.Errorf("the event of %s was not written down", u)
		}
		delete(o.users, u) // if it comes to Segment now, Flush says so
	}
	if _, err := New(o.dead, "dead").Redrive(o.Context(), sqsclient.New(o.live, "live"), RedriveOptions{}); err != nil {
		o.Error(err)
	}
	o.deliver()
	for u := range o.users {
		if got := o.delivered[u]; len(got) != 1 || !got[before[u]] {
			o.Errorf("the event of %s was delivered as %v, want %s", u, got, before[u])
		}
	}
}

// identified is each user's event as it would be delivered now.
func (o *oracle) identified() map[string]string {
	all := map[string]string{}
	r, err := NewReader()
	if err != nil {
		o.Fatal(err)
	}
	defer r.Close()
	for _, m := range o.dead.messages {
		sdk := types.Message{MessageId: &m.id, Body: &m.Body, MessageAttributes: sqsclient.Attributes(m.Attributes),
			Attributes: map[string]string{"SentTimestamp": strconv.FormatInt(m.sent.UnixMilli(), 10)}}
		if m.source != "" {
			sdk.Attributes["DeadLetterQueueSourceArn"] = m.source
		}
		l := Parse(&sdk)
		if content, err := r.Read(l); err == nil {
			for i := range content.Events {
				e := &content.Events[i]
				out, _ := e.AppendIdentified(nil, string(l.EventID(e, i)), l.FirstSeen)
				all[user(e.Raw)] = string(out)
			}
		}
	}
	return all
}
