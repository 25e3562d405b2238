package contents

import (
	"context"
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/spillwayhq/spillway/cmd/spillway/console"
	"github.com/spillwayhq/spillway/cmd/spillway/dlq"
	"github.com/spillwayhq/spillway/shared/deadletter"
	"github.com/spillwayhq/spillway/shared/message"
)

// list is what the page lists when the index is current.
func list(t testing.TB, d console.DeadLetters, q console.DeadLetterQuery) console.DeadLetterList {
	t.Helper()
	if q.Limit == 0 {
		q.Limit = 200
	}
	for {
		if _, err := d.List(t.Context(), q); err != nil {
			t.Fatal(err)
		}
		if !d.Reading().Running {
			l, err := d.List(t.Context(), q)
			if err != nil {
				t.Fatal(err)
			}
			return l
		}
		time.Sleep(time.Millisecond)
	}
}

// randomDead is the nth dead letter, with a few texts, so that each filter selects some.
func randomDead(rng *rand.Rand, n int) message.DeadLetter {
	pick := func(all ...string) string { return all[rng.IntN(len(all))] }
	d := message.DeadLetter{ID: fmt.Sprint("id/", n), Reason: pick(message.Reasons()...), Detail: "why",
		Header:    message.Header{WriteKey: pick("", "the-shop-key", "other")},
		FirstSeen: time.Now().Add(-time.Duration(rng.IntN(7200)) * time.Second), LastSeen: time.Now(), Receives: rng.IntN(5)}
	if rng.IntN(6) == 0 {
		d.Body = []byte(pick("no JSON", "{", `{"batch":[]}`, "KLUv/xx"))
		return d
	}
	for range 1 + rng.IntN(3) {
		id := ""
		if rng.IntN(2) == 0 {
			id = fmt.Sprintf(`,"messageId":"m-%d"`, rng.IntN(40))
		}
		d.Events = append(d.Events,
			fmt.Appendf(nil, `{"type":%q,"event":%q,"userId":%q,"anonymousId":%q%s}`, pick("track", "page"),
				pick("A", "B", `<b>`), pick("", "u1", "u2"), pick("", "a1", "u1"), id))
	}
	return d
}

func TestThePageListsWhatTheCommandLists(t *testing.T) {
	for seed := range uint64(4) {
		synctest.Test(t, func(t *testing.T) {
			rng := rand.New(rand.NewPCG(seed, 9))
			b := newBench(t)
			l := b.local(t)
			for part := range 3 {
				for i := range rng.IntN(80) {
					d := randomDead(rng, 100*part+i)
					b.sendDead(t, d)
					if rng.IntN(5) == 0 {
						b.sendDead(t, d) // twice
					}
				}
				b.drop(t, 1+rng.IntN(5))
				list(t, l, console.DeadLetterQuery{})
			}
			received := deadletter.New(b.api, b.actions.DeadLetterURL)
			for _, s := range []dlq.Selection{{}, {Reasons: []string{message.ReasonRejected, message.ReasonInvalid}},
				{WriteKeys: []string{"shop web"}}, {WriteKeys: []string{"default", "other"}}, {Events: []string{"A", "page"}},
				{Users: []string{"u1"}}, {Users: []string{"u2"}, Events: []string{"<b>"}}, {IDs: []string{"id/1", "id/2"}},
				{OlderThan: time.Hour}, {NewerThan: time.Hour, OlderThan: time.Minute},
				{Users: []string{"u1"}, WriteKeys: []string{"shop web"}, NewerThan: time.Hour}} {
				f, err := s.Filter(l.Name)
				if err != nil {
					t.Fatal(err)
				}
				want, err := received.List(t.Context(), f, 0, l.Name)
				if err != nil {
					t.Fatal(err)
				}
				got := list(t, l, console.DeadLetterQuery{Selection: s})
				if got.Total != want.Total || got.Duplicates != want.Duplicates || !reflect.DeepEqual(got.InQueue, want.InQueue) {
					t.Errorf("%+v: %d and %d twice of %v, the command has %d and %d of %v", s, got.Total, got.Duplicates, got.InQueue,
						want.Total, want.Duplicates, want.InQueue)
				}
				if len(got.Groups) != len(want.Groups) {
					t.Errorf("%+v: groups %v, want %v", s, got.Groups, want.Groups)
				}
				ids := func(rows []deadletter.Entry) (ids []string) {
					for _, r := range rows {
						ids = append(ids, r.ID+" "+r.Reason+" "+r.WriteKey)
					}
					slices.Sort(ids)
					return ids
				}
				var rows []deadletter.Entry
				for _, r := range got.Rows {
					rows = append(rows, r.Entry)
				}
				if got.Duplicates == 0 && !slices.Equal(ids(rows), ids(want.Entries)) || len(rows) != want.Total {
					t.Errorf("%+v: rows %v, want %v", s, ids(rows), ids(want.Entries))
				}
			}
		})
	}
}

func TestPagesShowEachDeadLetterOnceWhileOthersComeAndGo(t *testing.T) {
	b := newBench(t)
	l := b.local(t)
	want := map[string]bool{}
	for i := range 95 {
		id := fmt.Sprint("id-", i)
		b.sendDead(t, message.DeadLetter{ID: id, Reason: message.ReasonRejected,
			Events: [][]byte{[]byte(`{"type":"track","event":"E"}`)}})
		want[id] = true
	}
	q := console.DeadLetterQuery{Limit: 10}
	for pages := 0; ; pages++ {
		got := list(t, l, q)
		for _, r := range got.Rows {
			if !want[r.ID] {
				t.Errorf("%s is listed twice, or never came", r.ID)
			}
			delete(want, r.ID)
		}
		b.sendDead(t, message.DeadLetter{ID: fmt.Sprint("later-", pages), Reason: message.ReasonRejected,
			Events: [][]byte{[]byte(`{}`)}})
		if pages == 4 {
			b.drop(t, 3) // the first ones, which the last page would have
		}
		if !got.More {
			break
		}
		q.Before = got.Rows[len(got.Rows)-1].Place
	}
	if len(want) != 3 {
		t.Errorf("%d dead letters were on no page, of which three had gone: %v", len(want), want)
	}
}

func TestOneDeadLetterIsShownWithoutReceivingIt(t *testing.T) {
	b := newBench(t)
	l := b.local(t)
	b.sendDead(t, message.DeadLetter{ID: "ingest/7", Reason: message.ReasonInvalid, Detail: "no event name",
		Header: message.Header{WriteKey: "the-shop-key"}, Events: [][]byte{[]byte(`{"type":"track","key":"the-shop-key"}`)}})
	before := b.dead.Stats()
	d, err := l.Show(t.Context(), "ingest/7")
	if err != nil || d == nil || d.WriteKey != "shop web" || d.Events != 1 || d.Detail != "no event name" || d.InUse {
		t.Errorf("%+v, %v", d, err)
	}
	p, err := l.Payload(t.Context(), "ingest/7")
	if err != nil || p == nil || len(p.Batch) != 1 || strings.Contains(string(p.Batch[0]), "the-shop-key") {
		t.Errorf("%+v, %v", p, err)
	}
	if d, err := l.Show(t.Context(), "no such"); d != nil || err != nil {
		t.Errorf("another: %+v, %v", d, err)
	}
	var lines []byte
	if r, err := l.Export(t.Context(), deadletter.Filter{},
		func(b []byte) error { lines = append(lines, b...); return nil }); err != nil ||
		r.DeadLetters != 1 || !strings.Contains(string(lines), `"writeKey":"the-shop-key"`) {
		t.Errorf("exported %+v, %v: %s", r, err, lines)
	}
	if after := b.dead.Stats(); after != before {
		t.Errorf("the queue has changed: %+v, before %+v", after, before)
	}
}

func TestTheExportOfThePageIsThatOfTheCommand(t *testing.T) {
	synctest.Test(t, testExport)
}

func testExport(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 5))
	b := newBench(t)
	l := b.local(t)
	for i := range 60 {
		b.sendDead(t, randomDead(rng, i))
	}
	export := func(do func(context.Context, deadletter.Filter, func([]byte) error) (deadletter.ExportResult,
		error)) (lines []string) {
		t.Helper()
		_, err := do(t.Context(), deadletter.Filter{Reasons: []string{message.ReasonRejected, message.ReasonUndecodable}},
			func(b []byte) error { lines = append(lines, strings.SplitAfter(string(b), "\n")...); return nil })
		if err != nil {
			t.Fatal(err)
		}
		lines = slices.DeleteFunc(lines, func(s string) bool { return s == "" })
		slices.Sort(lines)
		return lines
	}
	got, want := export(l.Export), export(deadletter.New(b.api, b.actions.DeadLetterURL).Export)
	if len(got) == 0 || !slices.Equal(got, want) {
		t.Errorf("%d lines:\n%s\nthe command has %d:\n%s", len(got), strings.Join(got, ""), len(want), strings.Join(want, ""))
	}
}

func TestADeadLetterThatTheDiskHasLostIsCounted(t *testing.T) {
	b := newBench(t)
	l := b.local(t)
	for _, name := range []string{"first", "broken", "third"} {
		b.sendDead(t, message.DeadLetter{ID: name, Reason: message.ReasonRejected,
			Events: [][]byte{[]byte(`{"type":"track","event":"` + name + `"}`)}})
	}
	names, err := b.fs.List("data")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		if strings.HasSuffix(name, ".log") {
			b.fs.Damage("data/"+name, []byte("broken"))
		}
	}
	if got := list(t, l, console.DeadLetterQuery{}); got.Unreadable != 1 || got.Total != 2 || len(got.Rows) != 2 {
		t.Errorf("%+v", got)
	}
}

func TestThePurgeOfAQueueEmptiesTheList(t *testing.T) {
	b := newBench(t)
	l := b.local(t)
	b.sendDead(t, message.DeadLetter{ID: "a", Reason: message.ReasonRejected, Events: [][]byte{[]byte(`{}`)}})
	if got := list(t, l, console.DeadLetterQuery{}); got.Total != 1 {
		t.Fatalf("%+v", got)
	}
	b.purge(t)
	if got := list(t, l, console.DeadLetterQuery{}); got.Total != 0 || len(got.Groups) != 0 ||
		len(l.index.groups)+len(l.index.copies)+l.index.marks != 0 {
		t.Errorf("%+v", got)
	}
}

func TestAPageThatCanNotWaitForTheIndexSaysSo(t *testing.T) {
	b := newBench(t)
	l := b.local(t)
	b.fillDead(t, 100)
	l.running = true // as if its goroutine got no turn
	l.current(t.Context(), 0)
	if s := l.Reading(); !s.Running || s.Of != 100 {
		t.Errorf("the first page: %+v", s)
	}
	l.filling.Go(l.fill)
	l.current(t.Context(), time.Minute)
	if s := l.Reading(); s.Running || s.Read != 100 || s.Of != 100 {
		t.Errorf("when it is current: %+v", s)
	}
}
