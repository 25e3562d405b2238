package replay

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/spillwayhq/spillway/shared/archive"
	"github.com/spillwayhq/spillway/shared/event"
	"github.com/spillwayhq/spillway/shared/message"
	"github.com/spillwayhq/spillway/shared/rawjson"
)

func TestAReplaySendsEachEventOnceWithTheHeaderThatItHad(t *testing.T) {
	m := newMemory()
	first := delivered(1, "m1")
	first.Origin, first.Context, first.Integrations = event.FromClient, []byte(`{"app":{"name":"a"}}`), []byte(`{"All":true}`)
	first.ReceivedAt = noon.Add(-time.Minute)
	dead := delivered(2, "m2")
	dead.Outcome, dead.Reason = archive.DeadLettered, message.ReasonRejected
	redriven := delivered(3, "m2")
	m.put(t, "a", first, dead)
	m.put(t, "b", redriven, delivered(4, "m3"), delivered(5, "m3"))
	q, result := send(t, m, hour())
	want := []sent{
		{message.Header{WriteKey: "wk", Origin: event.FromClient, Context: first.Context, Integrations: first.Integrations}, string(first.Event)},
		{message.Header{WriteKey: "wk"}, string(dead.Event)},
		{message.Header{WriteKey: "wk"}, string(track("Run Started", "u1", "m3"))},
	}
	got := q.events(t)
	slices.SortFunc(got, func(a, b sent) int { return strings.Compare(a.event, b.event) })
	if fmt.Sprintf("%+v", got) != fmt.Sprintf("%+v", want) {
		t.Errorf("sent\n%+v, want\n%+v", got, want)
	}
	if result.Skipped[SkippedDouble] != 2 || result.Lines != 5 || result.Objects != 2 {
		t.Errorf("counted %+v", result.Counts)
	}
	for _, m := range q.messages {
		a := m.Attributes
		if a[message.AttrReplayID].Text == "" || a[message.AttrFirstSeen].Text == "" || m.Group != message.GroupID("wk") {
			t.Errorf("a message has the attributes %v and the group %q", a, m.Group)
		}
	}
}

func TestASelectionMeansWhatItsFieldsSay(t *testing.T) {
	m := newMemory()
	record := func(minute int, event string, change func(*archive.Record)) archive.Record {
		r := archive.Record{Time: noon.Add(time.Duration(minute) * time.Minute), Outcome: archive.Delivered, WriteKey: "wk", Event: []byte(event)}
		if change != nil {
			change(&r)
		}
		return r
	}
	escaped := `{"type":"track","event":"R\u0075n","userId":"\u0075ser","messageId":"escaped"}`
	m.put(t, "a",
		record(-1, `{"type":"track","event":"Run","userId":"user","messageId":"early"}`, nil),
		record(0, `{"type":"track","event":"Run","userId":"user","messageId":"first"}`, nil),
		record(1, escaped, nil),
		record(2, `{"type":"track","event":"Walk","anonymousId":"user","messageId":"anonymous"}`, nil),
		record(3, `{"type":"page","name":"Run","userId":42,"messageId":"page"}`, nil),
		record(4, `{"type":"track","event":"Run","userId":"x","properties":{"a":"user"},"messageId":"other user"}`, nil),
		record(5, `{"type":"track","event":"Run","userId":"user","messageId":"other key"}`, func(r *archive.Record) { r.WriteKey = "other" }),
		record(6, `{"type":"track","event":"Run","userId":"user","messageId":"no key"}`, func(r *archive.Record) { r.WriteKey = "" }),
		record(7, `{"type":"track","event":"Run","userId":"user","messageId":"dead"}`, func(r *archive.Record) {
			r.Outcome, r.Reason = archive.DeadLettered, message.ReasonExpired
		}),
		record(8, `{"type":"track","userId":"user","messageId":"invalid"}`, func(r *archive.Record) {
			r.Outcome, r.Reason = archive.DeadLettered, message.ReasonInvalid
		}),
		record(9, `no JSON`, func(r *archive.Record) {
			r.Outcome, r.Reason = archive.DeadLettered, message.ReasonUndecodable
		}),
		record(10, "{\"type\":\"track\",\"event\":\"Run\",\r\n\"userId\":\"user\",\"messageId\":\"base64\"}", nil),
		record(11, `{"type":"track","event":"Run","userId":"user","messageId":"replayed"}`, func(r *archive.Record) { r.Replay = "r" }),
		record(60, `{"type":"track","event":"Run","userId":"user","messageId":"late"}`, nil),
	)
	all := "first escaped anonymous page other user other key no key dead base64"
	for _, c := range []struct {
		name   string
		change func(*Options)
		want   string
	}{
		{"all", func(*Options) {}, all},
		{"event", func(o *Options) { o.Events = []string{"Run"} }, "first escaped other user other key no key dead base64"},
		{"events", func(o *Options) { o.Events = []string{"Walk", "page"} }, "anonymous page"},
		{"user", func(o *Options) { o.Users = []string{"user"} }, "first escaped anonymous other key no key dead base64"},
		{"number", func(o *Options) { o.Users = []string{"42"} }, "page"},
		{"event and user", func(o *Options) { o.Events, o.Users = []string{"Walk"}, []string{"user", "x"} }, "anonymous"},
		{"key", func(o *Options) { o.WriteKeys = []string{"other"} }, "other key"},
		{"key ID", func(o *Options) { o.WriteKeys = []string{event.KeyID("other")} }, "other key"},
		{"default key", func(o *Options) { o.WriteKeys = []string{DefaultKey, "other"} }, "other key no key"},
		{"outcome", func(o *Options) { o.Outcome = archive.DeadLettered }, "dead"},
		{"delivered", func(o *Options) { o.Outcome = archive.Delivered }, "first escaped anonymous page other user other key no key base64"},
		{"reason", func(o *Options) { o.Reasons = []string{message.ReasonExpired} }, "dead"},
		{"permanent reason", func(o *Options) { o.Reasons = []string{message.ReasonInvalid, message.ReasonUndecodable} }, "invalid"},
		{"replayed", func(o *Options) { o.Replayed = true }, all + " replayed"},
		{"nothing", func(o *Options) { o.Events = []string{"Swim"} }, ""},
		{"from", func(o *Options) { o.From = noon.Add(time.Nanosecond) }, strings.TrimPrefix(all, "first ")},
		{"to", func(o *Options) { o.To = noon.Add(time.Nanosecond) }, "first"},
		{"to, exclusive", func(o *Options) { o.To = noon.Add(time.Minute) }, "first"},
	} {
		o := hour()
		c.change(&o)
		q, result := send(t, m, o)
		var ids []string
		for _, e := range q.events(t) {
			ids = append(ids, event.Summarize([]byte(e.event)).MessageID)
		}
		// Events with the same write key are in one message, in their order.
		want := strings.Fields(strings.NewReplacer("other user", "other_user", "other key", "other_key", "no key", "no_key").Replace(c.want))
		for i := range want {
			want[i] = strings.ReplaceAll(want[i], "_", " ")
		}
		slices.Sort(ids)
		slices.Sort(want)
		if !slices.Equal(ids, want) {
			t.Errorf("%s: sent %q, want %q; skipped %v", c.name, ids, want, result.Skipped)
		}
	}
	_, result := send(t, m, hour())
	for why, n := range map[string]int64{SkippedReplayed: 1, message.ReasonInvalid: 1, message.ReasonUndecodable: 1} {
		if result.Skipped[why] != n {
			t.Errorf("%d are left out as %s, want %d", result.Skipped[why], why, n)
		}
	}
}

func TestARangeOfTimesThatCanHaveNoEventIsRefused(t *testing.T) {
	for _, c := range []struct {
		from, to time.Duration
		want     error
	}{{-1, -2, ErrReversed}, {-1, -1, ErrEmpty}, {1, 2, ErrFuture}, {-1, 1, nil}} {
		o := Options{Selection: Selection{From: noon.Add(c.from * time.Hour), To: noon.Add(c.to * time.Hour)}}
		if err := o.Validate(noon); !errors.Is(err, c.want) {
			t.Errorf("from %v h to %v h: %v, want %v", int(c.from), int(c.to), err, c.want)
		}
	}
	for want, change := range map[string]func(*Options){
		"the outcome must be":          func(o *Options) { o.Outcome = "lost" },
		`unknown reason "lost"`:        func(o *Options) { o.Reasons = []string{"lost"} },
		"a delivered event has no":     func(o *Options) { o.Outcome, o.Reasons = archive.Delivered, []string{message.ReasonExpired} },
		"the write key to send with":   func(o *Options) { o.ToWriteKey = "a b" },
		"archived must be at least 0":  func(o *Options) { o.Late = -time.Hour },
		"an edit must be like set pro": func(o *Options) { o.Edits = []string{"drop a"} },
	} {
		o := hour()
		change(&o)
		if err := o.Validate(noon.Add(time.Hour)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %s", err, want)
		}
	}
}

func TestEventsAreEditedAndGetTheWriteKeyThatIsAskedFor(t *testing.T) {
	m := newMemory()
	m.put(t, "a", delivered(1, "m1"), delivered(2, "m2"))
	o := hour()
	o.Edits = []string{"set properties.replayed=true", "remove timestamp"}
	o.ToWriteKey = "another"
	q, result := send(t, m, o)
	for _, e := range q.events(t) {
		if e.header.WriteKey != "another" || !strings.Contains(e.event, `"properties":{"replayed":true}`) ||
			!strings.Contains(e.event, `"timestamp":"2026-11-24T12:0`) { // the event needs one: when it ended
			t.Errorf("sent %+v", e)
		}
	}
	if old := result.Old(noon.AddDate(1, 0, 0)); old != 0 {
		t.Errorf("%d events are old for a source that has none of them", old)
	}
	o = hour()
	o.Edits = []string{"remove userId"}
	if _, result = send(t, m, o); result.Skipped[SkippedDropped] != 2 || !strings.Contains(result.SkippedFor, "no_user_anon_id") {
		t.Errorf("Segment would drop an event without a user: %+v", result.Counts)
	}
	o.Edits = []string{"set event.name=x"}
	if _, result = send(t, m, o); result.Skipped[SkippedUneditable] != 2 || !strings.Contains(result.SkippedFor, "event is not an object") {
		t.Errorf("an event's name is no object: %+v", result.Counts)
	}
}

func TestNewMessageIDsAreTheSameWhenAReplayIsResumed(t *testing.T) {
	o := hour()
	o.NewMessageIDs = true
	ids := func(id string) (all []string) {
		m := newMemory()
		m.put(t, "a", delivered(1, "m1"), delivered(2, "m2"))
		r, err := New(t.Context(), m, m, "spillway", id, o)
		if err != nil {
			t.Fatal(err)
		}
		q := &queue{}
		result, err := r.Send(t.Context(), SendOptions{To: q, Rate: 1e9})
		if err != nil || result.Repeated != 2 {
			t.Fatal(result, err)
		}
		for _, e := range q.events(t) {
			all = append(all, event.Summarize([]byte(e.event)).MessageID)
		}
		return all
	}
	one, again, other := ids("one"), ids("one"), ids("other")
	if !slices.Equal(one, again) || slices.Equal(one, other) || one[0] == one[1] || slices.Contains(one, "m1") {
		t.Errorf("one replay: %q, the same again: %q, another: %q", one, again, other)
	}
}

func TestEventsBeyondTheDayForWhichSegmentRemembersAreCounted(t *testing.T) {
	m := newMemory()
	m.put(t, "a", delivered(1, "m1"), delivered(2, "m2"), delivered(59, "m3"))
	r := begin(t, m, hour())
	c, err := r.Count(t.Context(), false, nil)
	if err != nil {
		t.Fatal(err)
	}
	for after, want := range map[time.Duration]int64{0: 0, 24 * time.Hour: 0, 24*time.Hour + 3*time.Minute: 2, 48 * time.Hour: 3} {
		if got := c.Old(noon.Add(after)); got != want {
			t.Errorf("%v later %d of 3 are old, want %d", after, got, want)
		}
	}
}

func TestAReplayKeepsToItsRate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMemory()
		var records []archive.Record
		for i := range 5000 {
			records = append(records, delivered(i%60, fmt.Sprint("m", i)))
		}
		m.put(t, "a", records...)
		time.Sleep(time.Until(noon.Add(2 * time.Hour)))
		r, q := begin(t, m, hour()), &queue{}
		checks := 0
		start := time.Now()
		result, err := r.Send(t.Context(), SendOptions{To: q, Rate: 50, Check: func(context.Context) error { checks++; return nil }})
		if took := time.Since(start); err != nil || result.Sent != 5000 || took < 98*time.Second || took > 101*time.Second {
			t.Errorf("sent %d in %v, %v; want 5,000 in 99 s", result.Sent, took, err)
		}
		if most := slices.Max(q.calls); most > 50 {
			t.Errorf("%d events in one call, of 50 a second", most)
		}
		if checks != 2 {
			t.Errorf("asked %d times in 99 s whether Segment takes events, want once a minute", checks)
		}
	})
}

func TestAReplayThatHasFinishedKeepsNobodysID(t *testing.T) {
	m := newMemory()
	m.put(t, "a", delivered(1, "m1"))
	o := hour()
	o.Users = []string{"u1"}
	if _, result := send(t, m, o); result.Sent != 1 {
		t.Fatalf("%+v", result)
	}
	for name, data := range m.files {
		if strings.Contains(string(data), "u1") || strings.Contains(string(data), archive.Prefix) {
			t.Errorf("%s holds %s", name, data)
		}
	}
}

func TestNothingIsSentOrWrittenWhileSegmentFails(t *testing.T) {
	m := newMemory()
	m.put(t, "a", delivered(1, "m1"))
	failing := errors.New("Segment fails")
	q := &queue{}
	_, err := begin(t, m, hour()).Send(t.Context(), SendOptions{To: q, Rate: 1, Check: func(context.Context) error { return failing }})
	if !errors.Is(err, failing) || len(q.messages) > 0 || len(m.files) > 0 {
		t.Errorf("%v, %d messages, files %v", err, len(q.messages), m.files)
	}
}

// TestWhatIsInterruptedGoesOnWithoutALoss kills a replay again and again: while messages are sent,
// and before and after a checkpoint is written. Each event must arrive, as the same bytes however
// often, and what was sent before a checkpoint must not come again.
func TestWhatIsInterruptedGoesOnWithoutALoss(t *testing.T) {
	for seed := range uint64(4) {
		synctest.Test(t, func(t *testing.T) { interrupt(t, rand.New(rand.NewPCG(seed, 1)), seed%2 == 1) })
	}
}

func interrupt(t *testing.T, rng *rand.Rand, newIDs bool) {
	time.Sleep(time.Until(noon.Add(2 * time.Hour)))
	m, q := newMemory(), &queue{}
	for o := range 5 + rng.IntN(15) {
		var records []archive.Record
		for range 50 + rng.IntN(100) {
			records = append(records, delivered(rng.IntN(60), fmt.Sprint("m", rng.IntN(5000))))
		}
		for part := range slices.Chunk(records, 1+rng.IntN(len(records))) { // a frame each
			m.put(t, fmt.Sprintf("%03d", o), part...)
		}
	}
	o := hour()
	o.NewMessageIDs = newIDs
	id := NewID(noon)
	open := func() *Replay {
		m.writing = nil
		r, err := Resume(t.Context(), m, m, "spillway", id, nil)
		switch {
		case errors.Is(err, ErrUnknownID): // it was killed before its plan was written
			r, err = New(t.Context(), m, m, "spillway", id, o)
		case errors.Is(err, ErrFinished): // after its last checkpoint
			return nil
		}
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	counts, err := open().Count(t.Context(), false, nil)
	if err != nil {
		t.Fatal(err)
	}
	saved, runs := 0, 0           // saved: messages in the queue at the last checkpoint
	mayRepeat := map[string]int{} // events that were sent after a checkpoint, and so again
	for ; ; runs++ {
		r := open()
		if r == nil {
			break
		}
		ctx, kill := context.WithCancelCause(t.Context())
		left := 1 + rng.IntN(8)
		die := func() error {
			if left--; left == 0 && runs < 20 {
				kill(errors.New("killed"))
			}
			return context.Cause(ctx)
		}
		q.fail = func(ms []message.Message) error {
			err := die()
			if err != nil && left == 0 && rng.IntN(2) == 0 { // SQS has them, and nobody knows
				q.messages = append(q.messages, ms...)
			}
			return err
		}
		m.writing = func(name string) error {
			err := die()
			if err == nil && strings.HasSuffix(name, ".progress.json") {
				saved = len(q.messages)
			}
			return err
		}
		_, err := r.Send(ctx, SendOptions{To: q, Rate: 30})
		if err == nil {
			break
		}
		for _, e := range (&queue{messages: q.messages[saved:]}).events(t) {
			mayRepeat[e.event]++
		}
	}
	got := map[string]int{}
	for _, e := range q.events(t) {
		got[e.event]++
	}
	if int64(len(got)) != counts.Events {
		t.Errorf("%d different events arrived, want %d", len(got), counts.Events)
	}
	for e, n := range got {
		if n > 1+mayRepeat[e] {
			t.Errorf("%s arrived %d times, and %d of them before a checkpoint", e, n, n-mayRepeat[e])
		}
	}
	if runs == 0 || len(got) == 0 {
		t.Errorf("%d interruptions, %d events: nothing was tried", runs, len(got))
	}
	if _, err := Resume(t.Context(), m, m, "spillway", id, nil); !errors.Is(err, ErrFinished) {
		t.Errorf("a replay that has finished is resumed: %v", err)
	}
	if plan := m.files[planFile(id)]; bytes.Contains(plan, []byte(archive.Prefix)) {
		t.Errorf("its plan remains: %s", plan)
	}
}

func TestOfTwoRunsOfAReplayOnlyOneGoesOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, q := newMemory(), &queue{}
		for i := range 1000 {
			m.put(t, "a", delivered(i%60, fmt.Sprint("m", i)))
		}
		time.Sleep(time.Until(noon.Add(2 * time.Hour)))
		first := begin(t, m, hour())
		ended := make(chan error, 3)
		send := func(r *Replay) {
			_, err := r.Send(t.Context(), SendOptions{To: q, Rate: 50})
			ended <- err
		}
		resume := func() *Replay {
			r, err := Resume(t.Context(), m, m, "spillway", first.ID(), nil)
			if err != nil {
				t.Fatal(err)
			}
			return r
		}
		go send(first)
		time.Sleep(5 * time.Second)
		// One that was resumed meanwhile sees that the first has come further.
		late := resume()
		time.Sleep(5 * time.Second)
		send(late)
		if err := <-ended; !errors.Is(err, ErrTakenOver) {
			t.Errorf("resumed while the first one runs: %v", err)
		}
		// Of one that sends at once the first sees it.
		send(resume())
		if a, b := <-ended, <-ended; !errors.Is(cmp.Or(a, b), ErrTakenOver) || a != nil && b != nil {
			t.Errorf("they end with %v and %v", a, b)
		}
		got := map[string]bool{}
		for _, e := range q.events(t) {
			got[e.event] = true
		}
		if n := len(q.events(t)); len(got) != 1000 || n > 1150 {
			t.Errorf("%d events arrived, of which %d are different", n, len(got))
		}
	})
}

func TestAReplayThatIsKilledInALargeFrameGoesOnInIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, q := newMemory(), &queue{}
		var records []archive.Record
		for i := range 1000 {
			records = append(records, delivered(i%60, fmt.Sprint("m", i)))
		}
		m.put(t, "a", records[:500]...)
		m.put(t, "a", records[500:]...)
		time.Sleep(time.Until(noon.Add(2 * time.Hour)))
		r, runs := begin(t, m, hour()), 0
		id := r.ID()
		for ; runs < 50; runs++ {
			ctx, kill := context.WithTimeout(t.Context(), 5*time.Second)
			_, err := r.Send(ctx, SendOptions{To: q, Rate: 30})
			kill()
			if err == nil {
				break
			}
			if r, err = Resume(t.Context(), m, m, "spillway", id, nil); err != nil {
				t.Fatal(err)
			}
		}
		got := map[string]bool{}
		for _, e := range q.events(t) {
			got[e.event] = true
		}
		// At each kill a second's worth may have been sent after the last checkpoint.
		if n := len(q.events(t)); len(got) != 1000 || runs < 5 || runs > 12 || n > 1000+40*runs {
			t.Errorf("%d events, of which %d are different, arrived in %d runs", n, len(got), runs+1)
		}
	})
}

func TestAnExportedLineIsAMessageWithWhatIsKnownOfItsEvent(t *testing.T) {
	m := newMemory()
	dead := delivered(2, "m1")
	dead.Outcome, dead.Reason, dead.Detail = archive.DeadLettered, message.ReasonRejected, "no"
	body := archive.Record{Time: noon.Add(time.Minute), Outcome: archive.DeadLettered, Reason: message.ReasonUndecodable, Event: []byte("no JSON")}
	m.put(t, "a", dead, delivered(3, "m1"), delivered(4, "m1"), body)
	r := begin(t, m, hour())
	var out bytes.Buffer
	counts, err := r.Export(t.Context(), &out, nil)
	if err != nil || counts.Events != 3 || counts.Skipped[SkippedDouble] != 1 {
		t.Fatal(counts, err)
	}
	want := `{"archived":{"time":"2026-11-24T12:02:00Z","outcome":"dead_lettered","reason":"rejected","detail":"no"},"writeKey":"wk","origin":"server","batch":[` + string(dead.Event) + `]}
{"archived":{"time":"2026-11-24T12:03:00Z","outcome":"delivered"},"writeKey":"wk","origin":"server","batch":[` + string(dead.Event) + `]}
{"archived":{"time":"2026-11-24T12:01:00Z","outcome":"dead_lettered","reason":"undecodable"},"body":"no JSON"}
`
	if out.String() != want {
		t.Errorf("exported\n%swant\n%s", out.String(), want)
	}
	for line := range bytes.Lines(out.Bytes()) {
		if !rawjson.Valid(bytes.TrimSpace(line)) {
			t.Errorf("%s is not JSON", line)
		}
	}
	if len(m.files) > 0 {
		t.Errorf("an export left the files %v", m.files)
	}
}
