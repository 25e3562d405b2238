package segmentd

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"
)

func TestDistinctEventsAndDuplicatesAreCounted(t *testing.T) {
	s := New(Options{})
	wantStatus(t, post(t, s, "/v1/batch", batchOf(track("a"), track("b"), track("a"))), 200)
	wantStatus(t, post(t, s, "/v1/t", track("b")), 200)
	wantStatus(t, post(t, s, "/v1/batch",
		batchOf(`{"type":"page","userId":"u"}`, `{"type":"page","userId":"u","messageId":7}`,
			`{"type":"page","userId":"u","messageId":"\u0061"}`)), 200)
	got := s.Stats()
	if got.Received != 7 || got.Distinct != 2 || got.Duplicates != 3 || got.WithoutMessageID != 2 {
		t.Fatalf("stats %+v", got)
	}
}

func TestMessageIDsAreForgottenAfterTwoGenerationsAndNotBefore(t *testing.T) {
	ids := newIDSet(100)
	for i := range 200 {
		if !ids.add(fmt.Sprint(i)) {
			t.Fatalf("%d is new", i)
		}
	}
	for i := 100; i < 200; i++ {
		if ids.add(fmt.Sprint(i)) {
			t.Fatalf("%d is a duplicate", i)
		}
	}
	for i := range 1000 {
		ids.add(fmt.Sprint("x", i))
		if ids.add("steady") && i > 0 {
			t.Fatalf("an id that keeps coming was forgotten after %d others", i)
		}
		if n := ids.current.n + ids.last.n; n > 200 {
			t.Fatalf("%d ids are kept", n)
		}
	}
	if !ids.add("0") {
		t.Error("id 0 is still known after 1,000 others")
	}
}

func TestOnlyTheLastEventsAreReturnedInOrder(t *testing.T) {
	s := New(Options{EventLimit: 3})
	for i := range 5 {
		wantStatus(t, post(t, s, "/v1/batch", batchOf(track(fmt.Sprint("a", i)), track(fmt.Sprint("b", i)))), 200)
	}
	var ids []string
	for _, e := range s.Events(Query{}) {
		ids = append(ids, e.MessageID)
		if !strings.Contains(string(e.Raw), e.MessageID) {
			t.Errorf("event %s has the bytes %s", e.MessageID, e.Raw)
		}
	}
	if got := strings.Join(ids, " "); got != "b3 a4 b4" {
		t.Errorf("kept %s", got)
	}
	if got := s.Events(Query{Limit: 2}); len(got) != 2 || got[1].MessageID != "b4" {
		t.Errorf("the last two: %+v", got)
	}
	if got := s.Events(Query{MessageID: "a4"}); len(got) != 1 {
		t.Errorf("by messageId: %+v", got)
	}
	if got := s.Events(Query{WriteKey: "other"}); len(got) != 0 {
		t.Errorf("by another write key: %+v", got)
	}
}

func TestANegativeEventLimitRecordsNoEvents(t *testing.T) {
	s := New(Options{EventLimit: -1})
	wantStatus(t, post(t, s, "/v1/batch", tracks(2)), 200)
	if got := s.Events(Query{}); len(got) != 0 {
		t.Errorf("kept %+v", got)
	}
	wantReceived(t, s, 2)
}

func TestTheRingLimitsTheBytesOfBatchContexts(t *testing.T) {
	r := ring{limit: 1000}
	big := strings.Repeat("x", 1<<20)
	for i := range 500 {
		r.add(&event{raw: "{}", messageID: fmt.Sprint(i)}, &origin{context: big}, time.Time{})
		if r.origins > maxRingOrigins {
			t.Fatalf("%d bytes after %d events", r.origins, i)
		}
	}
	got := r.find(Query{})
	if len(got) != 64 || got[63].MessageID != "499" {
		t.Fatalf("%d events are kept, the last is %s", len(got), got[len(got)-1].MessageID)
	}
	small := &origin{}
	for i := range 1000 {
		r.add(&event{raw: "{}", messageID: fmt.Sprint("s", i)}, small, time.Time{})
	}
	if got := r.find(Query{}); len(got) != 1000 || got[0].MessageID != "s0" || r.origins != 0 || small.refs != 1000 {
		t.Fatalf("%d events, %d bytes, %d refs", len(got), r.origins, small.refs)
	}
}

func TestOnEventGetsEveryEventOnceAsACopy(t *testing.T) {
	var got []Received // calls are made one at a time
	var s *Server
	s = New(Options{EventLimit: 5, OnEvent: func(r Received) { got = append(got, r); s.Stats() }})
	var wg sync.WaitGroup
	for i := range 20 {
		wg.Go(func() {
			_, err := try(t.Context(), s, "/v1/batch", batchOf(track(fmt.Sprint("a", i)), `{}`, track(fmt.Sprint("b", i))))
			if err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	seen := map[string]bool{}
	for _, r := range got {
		seen[r.MessageID] = true
		if string(r.Raw) != track(r.MessageID) || r.WriteKey != "key" || r.Path != "/v1/batch" || r.At.IsZero() {
			t.Errorf("event %+v", r)
		}
	}
	if len(got) != 40 || len(seen) != 40 {
		t.Errorf("%d events, %d distinct", len(got), len(seen))
	}
}

func TestResetForgetsEventsIdsAndCounts(t *testing.T) {
	s := New(Options{})
	setScript(t, s, Rule{Match: Match{Path: "/v1/b"}, Status: 503})
	wantStatus(t, post(t, s, "/v1/batch", tracks(3)), 200)
	wantStatus(t, post(t, s, "/v1/batch", "x"), 400)
	s.reset()
	if got := s.Stats(); got.Requests != 0 || got.Received != 0 ||
		len(got.ByStatus)+len(got.Refused)+len(got.Rejected) != 0 || got.WireBytes != 0 {
		t.Errorf("stats %+v", got)
	}
	if got := s.Events(Query{}); len(got) != 0 {
		t.Errorf("events %+v", got)
	}
	wantStatus(t, post(t, s, "/v1/batch", tracks(3)), 200)
	if got := s.Stats(); got.Distinct != 3 || got.Duplicates != 0 {
		t.Errorf("stats %+v", got)
	}
	wantStatus(t, post(t, s, "/v1/b", tracks(1)), 503) // the script stays
}

func TestAHashSetHasWhatWasAddedAndNothingElse(t *testing.T) {
	const most = 20_000
	var s hashSet
	random := rand.New(rand.NewPCG(1, 2))
	for round := range 2 { // the second one in the table of the first
		hashes := map[uint64]bool{}
		for len(hashes) < most {
			h := random.Uint64()
			if len(hashes)%50 == 0 { // those belong to the same place
				h >>= 20
			}
			if hashes[h] {
				continue
			}
			if s.has(h) {
				t.Fatalf("round %d: %x is there before it was added", round, h)
			}
			s.add(h, most)
			hashes[h] = true
		}
		for h := range hashes {
			if !s.has(h) {
				t.Fatalf("round %d: %x is missing", round, h)
			}
		}
		if s.n != most || len(s.table) > most*7/5 {
			t.Fatalf("round %d: %d hashes in a table of %d", round, s.n, len(s.table))
		}
		s.clear()
		if s.has(1) {
			t.Fatal("a cleared set has something")
		}
	}
}
