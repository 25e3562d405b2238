package ingest

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/spillwayhq/spillway/shared/event"
	"github.com/spillwayhq/spillway/shared/message"
	"github.com/spillwayhq/spillway/shared/sqsclient"
)

func TestInvalidEventsBecomeDeadLettersAndValidOnesReachTheQueue(t *testing.T) {
	r := newRig(t, nil)
	var good []string
	for i := range 249 {
		good = append(good, track(fmt.Sprint(i)))
	}
	all := append(slices.Clone(good),
		`{"type":"track","userId":"u","messageId":"bad","timestamp":"2026-11-23T11:00:00.000Z","n":9007199254740993}`)
	status, _ := r.post("/v1/batch", `{"context":{"a":1},"integrations":{"b":2},"batch":[`+strings.Join(all, ",")+`]}`)
	want(t, "status", status, 200)
	want(t, "events", events(t, &r.queue), good)
	want(t, "dead letters", events(t, &r.deadLetters), all[249:])
	l := r.deadLetters.messages[0]
	want(t, "dead letter", []string{attr(l, message.AttrReason), attr(l, message.AttrDetail),
		attr(l, message.AttrReceives)},
		[]string{"invalid", "event_not_defined: a track needs an event name", "0"})
	for name, queue := range map[string]*fakeQueue{"header": &r.queue, "dead letter's header": &r.deadLetters} {
		h := sent(t, queue)[0].Header
		want(t, name, h.WriteKey+string(h.Context)+string(h.Integrations), keyA+`{"a":1}{"b":2}`)
	}
	totals := r.counters.Totals()
	want(t, "accepted", totals.Accepted, 249)
	want(t, "rejected", totals.Rejected, map[string]int{"event_not_defined": 1})
}

func TestEventsWithTheSameProblemShareADeadLetter(t *testing.T) {
	r := newRig(t, nil)
	large := `{"type":"track","userId":"u","event":"e","x":"` + strings.Repeat("x", event.MaxEventBytes) + `"}`
	deep := `{"type":"track","userId":"u","event":"e","x":` + strings.Repeat("[", 100_000) + strings.Repeat("]", 100_000) +
		`}`
	batch := []string{`{"type":"foo"}`, `7`, `{"type":"bar"}`, large, deep,
		`{"type":"track","userId":"u","event":"` + "\xff" + `"}`, track("good"), `"text"`,
		`{"type":"foo","context":{"direct":true}}`}
	status, _ := r.post("/v1/batch", `{"batch":[`+strings.Join(batch, ",")+`]}`)
	want(t, "status", status, 200)
	var got []string
	for i, m := range sent(t, &r.deadLetters) {
		l := r.deadLetters.messages[i]
		got = append(got, fmt.Sprintf("%s %s %d %v", attr(l, message.AttrReason),
			strings.SplitN(attr(l, message.AttrDetail), ":", 2)[0], len(m.Events), m.Origin))
	}
	want(t, "dead letters", got, []string{"invalid type_unknown 2 server", "invalid not_an_object 2 server",
		"too_large too_large 2 server", "invalid not_utf8 1 server", "invalid type_unknown 1 client"})
	want(t, "rejected", r.counters.Totals().Rejected,
		map[string]int{"type_unknown": 3, "not_an_object": 2, "too_large": 2, "not_utf8": 1})
	want(t, "events", events(t, &r.queue), []string{track("good")})
}

func TestARetriedRequestWritesDeadLettersWithTheSameID(t *testing.T) {
	r := newRig(t, nil)
	body := `{"batch":[` + track("good") + `,{"type":"foo","a":1},{"type":"foo","a":2}]}`
	r.post("/v1/batch", body)
	r.post("/v1/batch", body)
	r.post("/v1/batch", strings.Replace(body, `"a":2`, `"a":3`, 1))
	var ids []string
	for _, l := range r.deadLetters.messages {
		ids = append(ids, attr(l, message.AttrDeadLetterID))
	}
	if len(ids) != 3 || ids[0] != ids[1] || ids[1] == ids[2] || !strings.HasPrefix(ids[0], "ingest/") {
		t.Errorf("ids: %q", ids)
	}
	// The messageId in it is new each time.
	if es := events(t, &r.deadLetters); es[0] == es[2] || !strings.Contains(es[0], "messageId") {
		t.Errorf("events: %q", es)
	}
}

func TestNothingIsAcceptedWhenDeadLettersCannotBeWritten(t *testing.T) {
	r := newRig(t, nil)
	r.deadLetters.send = refuseAll
	body := `{"batch":[` + track("good") + `,{"type":"foo"}]}`
	status, code := r.post("/v1/batch", body)
	want(t, "answer", []any{status, code}, []any{429, "dead_letters_unavailable"})
	want(t, "calls to the queue", r.queue.calls, 0)
	totals := r.counters.Totals()
	want(t, "counts", []any{totals.Accepted, totals.DeadLetterErrors, len(totals.Rejected)}, []any{0, 1, 0})
	r.deadLetters.send = func(context.Context, []message.Message) error {
		return &sqsclient.SendError{Failed: map[int]error{0: errQueueDown}}
	}
	status, _ = r.post("/v1/batch", body)
	want(t, "answer when one dead letter failed", status, 429)
	r.deadLetters.send = nil
	status, _ = r.post("/v1/batch", body)
	want(t, "answer after", status, 200)
	want(t, "events", events(t, &r.queue), []string{track("good")})
}

func TestDeadLettersAreWrittenBeforeTheEventsAreSent(t *testing.T) {
	r := newRig(t, nil)
	r.queue.send = func(context.Context, []message.Message) error {
		want(t, "dead letters at that time", len(r.deadLetters.messages), 1)
		return nil
	}
	status, _ := r.post("/v1/batch", `{"batch":[`+track("good")+`,{"type":"foo"}]}`)
	want(t, "status", status, 200)
}

func TestTheArchiveGetsTheDeadLettersThatAreWrittenAndNoOthers(t *testing.T) {
	var archived []string
	r := newRig(t, func(c *Config) {
		c.Archive = func(_ context.Context, written []*message.DeadLetter) {
			for _, l := range written {
				archived = append(archived, fmt.Sprintf("%d %s", len(l.Events), l.Detail))
			}
		}
	})
	body := `{"batch":[` + track("good") + `,{"type":"foo"},{"type":"foo"},7]}`
	r.deadLetters.send = func(context.Context, []message.Message) error {
		return &sqsclient.SendError{Failed: map[int]error{0: errQueueDown}}
	}
	status, _ := r.post("/v1/batch", body)
	want(t, "answer without one of them", status, 429)
	want(t, "archived", len(archived), 1)
	want(t, "the other is archived", strings.HasPrefix(archived[0], "1 "), true)
	archived, r.deadLetters.send = nil, refuseAll
	status, _ = r.post("/v1/batch", body)
	want(t, "answer without both", status, 429)
	want(t, "archived", len(archived), 0)
	r.deadLetters.send = nil
	status, _ = r.post("/v1/batch", body)
	want(t, "answer", status, 200)
	want(t, "archived", len(archived), 2)
}

func TestRejectedEventsAreCountedOnlyWhenTheirRequestIsAccepted(t *testing.T) {
	r := newRig(t, nil)
	body := `{"batch":[` + track("1") + `,{"type":"foo"}]}`
	r.queue.send = refuseAll
	status, _ := r.post("/v1/batch", body)
	want(t, "status", status, 429)
	want(t, "rejected", len(r.counters.Totals().Rejected), 0)
	r.queue.send = nil
	status, _ = r.post("/v1/batch", body)
	want(t, "status", status, 200)
	want(t, "rejected", r.counters.Totals().Rejected, map[string]int{"type_unknown": 1})
}

// deadLettersOf counts the dead letters and their events.
func deadLettersOf(t *testing.T, r *rig) (deadLetters, events int) {
	t.Helper()
	for _, m := range sent(t, &r.deadLetters) {
		deadLetters++
		events += len(m.Events)
	}
	return deadLetters, events
}

// manyProblems is a request of 21 problems.
const manyProblems = `{"batch":[{"type":"track","userId":"u","event":"e"},7,{},{"type":"x"},{"type":"track","userId":"u"},` +
	`{"type":"track","event":"e"},{"type":"identify"},{"type":"group","userId":"u"},{"type":"alias","userId":"u"}]}`

func TestConcurrentRequestsShareTheirDeadLetters(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, func(c *Config) { c.Linger = 5 * time.Millisecond })
		var requests sync.WaitGroup
		for i := range 200 {
			requests.Go(func() {
				time.Sleep(time.Duration(i%50) * time.Millisecond)
				if status, code := r.post("/v1/batch", manyProblems); status != 200 {
					t.Errorf("%d %s", status, code)
				}
			})
		}
		requests.Wait()
		kinds := len(r.counters.Totals().Rejected)
		deadLetters, events := deadLettersOf(t, r)
		if events != 200*8 || deadLetters != kinds || kinds < 5 {
			t.Errorf("%d dead letters with %d events, of %d kinds", deadLetters, events, kinds)
		}
		ids := map[string]bool{}
		for _, m := range r.deadLetters.messages {
			ids[attr(m, message.AttrDeadLetterID)] = true
		}
		want(t, "IDs", len(ids), deadLetters)
	})
}

func TestDeadLettersOfDifferentKeysAndContextsAreNotShared(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, func(c *Config) { c.Linger = 5 * time.Millisecond })
		var requests sync.WaitGroup
		for i := range 20 {
			requests.Go(func() {
				body := fmt.Sprintf(`{"writeKey":"%s-%d","context":{"n":%d},"batch":[%s,{"type":"foo"}]}`, marker, i%2, i%4/2, track("g"))
				want(t, "status", r.do("POST", "/v1/batch", body).Code, 200)
			})
		}
		requests.Wait()
		var got []string
		for _, m := range sent(t, &r.deadLetters) {
			got = append(got, fmt.Sprint(m.WriteKey, string(m.Context), len(m.Events)))
		}
		slices.Sort(got)
		want(t, "dead letters", got, []string{marker + `-0{"n":0}5`, marker + `-0{"n":1}5`, marker + `-1{"n":0}5`, marker + `-1{"n":1}5`})
	})
}

func TestDeadLettersOfAWriteKeyAreBoundedAndWhatIsBeyondIsCountedAndSampled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		keys, err := NewKeys(map[string]Key{keyA: {Name: "broken"}, keyB: {Name: "other"}})
		if err != nil {
			t.Fatal(err)
		}
		r := newRig(t, func(c *Config) { c.Keys = keys }) // as a Lambda: one request at a time
		for range 1000 {
			if status, code := r.post("/v1/batch", manyProblems); status != 200 {
				t.Fatalf("%d %s", status, code)
			}
		}
		totals := r.counters.Totals()
		rejected := 0
		for _, n := range totals.Rejected {
			rejected += n
		}
		deadLetters, events := deadLettersOf(t, r)
		if deadLetters != deadLetterBurst || rejected != 8000 || events+totals.DeadLettersDropped != rejected ||
			totals.Accepted != 1000 {
			t.Errorf("%d dead letters with %d events, %d dropped, of %d", deadLetters, events, totals.DeadLettersDropped, rejected)
		}
		want(t, "status of another key", r.do("POST", "/v1/batch", `{"writeKey":"`+keyB+`","batch":[`+track("g")+
			`,{"type":"foo"}]}`).Code, 200)
		more, _ := deadLettersOf(t, r)
		want(t, "dead letters of another key", more-deadLetters, 1)
		time.Sleep(10 * time.Second)
		for range 100 {
			r.post("/v1/batch", manyProblems)
		}
		last, _ := deadLettersOf(t, r)
		want(t, "dead letters after 10 s", last-more, 10)
		sample := attr(r.deadLetters.messages[more], message.AttrDetail)
		if !strings.Contains(sample, fmt.Sprintf("besides, %d events since", totals.DeadLettersDropped)) {
			t.Errorf("the sample says: %s", sample)
		}
		if n := strings.Count(r.log.String(), "too many dead letters"); n != 1 || !strings.Contains(r.log.String(), "key=broken") {
			t.Errorf("%d lines:\n%s", n, r.log.String())
		}
	})
}

func TestABrokenSDKLosesNoDeadLetterInAServer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, func(c *Config) { c.Linger = 5 * time.Millisecond })
		var requests sync.WaitGroup
		const seconds = 120
		const n = 50 * seconds // 50 requests a second
		for range n {
			requests.Go(func() { r.post("/v1/batch", `{"batch":[`+track("g")+`,{"type":"foo"}]}`) })
			time.Sleep(20 * time.Millisecond)
		}
		requests.Wait()
		deadLetters, events := deadLettersOf(t, r)
		if totals := r.counters.Totals(); totals.DeadLettersDropped > n/20 || events+totals.DeadLettersDropped != n ||
			deadLetters > deadLetterBurst+seconds+10 {
			t.Errorf("%d dead letters with %d events, %d dropped", deadLetters, events, totals.DeadLettersDropped)
		}
	})
}

func TestDeadLettersOfAllWriteKeysAreBounded(t *testing.T) {
	now := time.Date(2026, 11, 27, 0, 0, 0, 0, time.UTC)
	for keys, most := range map[int]int{2: 2 * deadLetterBurst, 900: allDeadLettersBurst, 5000: allDeadLettersBurst} {
		var rates deadLetterRates
		written := 0
		for i := range 30_000 {
			if rates.take(fmt.Sprint(i%keys), 1, now).ok {
				written++
			}
		}
		if written != most || len(rates.keys) > maxRatedKeys+1 {
			t.Errorf("%d keys: %d dead letters, want %d; %d keys are remembered", keys, written, most, len(rates.keys))
		}
		now = now.Add(time.Hour)
		for i := range 2 * keys { // those that are idle are forgotten
			rates.take(fmt.Sprint("new", i), 1, now)
		}
		if len(rates.keys) > maxRatedKeys+1 {
			t.Errorf("%d keys are remembered", len(rates.keys))
		}
	}
}

func TestDeadLettersThatCannotBeWrittenTakeNothingOfTheRate(t *testing.T) {
	r := newRig(t, nil)
	r.deadLetters.send = refuseAll
	body := `{"batch":[` + track("good") + `,{"type":"foo"}]}`
	for range deadLetterBurst + 10 {
		if status, _ := r.post("/v1/batch", body); status != 429 {
			t.Fatalf("status %d", status)
		}
	}
}
