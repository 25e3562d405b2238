package local

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/spillwayhq/spillway/shared/deliver"
	"github.com/spillwayhq/spillway/shared/heavy"
	"github.com/spillwayhq/spillway/shared/ingest"
)

// everything is a filter that takes all samples.
func everything(*Outcome) bool { return true }

func TestTheFirstEventsOfEachReasonAreSamplesAndThenSomeOfThem(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var s samples
		want := func(what string, got, want int) {
			t.Helper()
			if got != want {
				t.Errorf("%s: %d, want %d", what, got, want)
			}
		}
		want("of a small message all", s.wants(deliver.Delivered, "", 30), 30)
		want("of many at once as many as are kept", s.wants(deliver.Delivered, "", 440), samplesKept-30)
		want("and then none", s.wants(deliver.Delivered, "", 440), 0)
		want("another reason has its own", s.wants(deliver.Retried, "transient", 440), samplesKept)
		time.Sleep(time.Second)
		want("a second later a few", s.wants(deliver.Delivered, "", 440), samplesPerSecond)
		time.Sleep(time.Hour)
		want("after a pause all again", s.wants(deliver.Delivered, "", 440), samplesKept)
	})
}

func TestOnlyTheLastSamplesAreKept(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var s samples
		for i := range 3 * samplesKept {
			time.Sleep(time.Second)
			for _, d := range []deliver.Disposition{deliver.Delivered, deliver.Retried} {
				if s.wants(d, "", 1) == 1 {
					s.tell(deliver.Observation{MessageID: fmt.Sprint(i), Disposition: d,
						Event: []byte(`{"type":"track","event":"Run","userId":"u"}`)})
				}
			}
		}
		delivered := s.find(1000, func(o *Outcome) bool { return o.Outcome == "delivered" })
		if len(delivered) != samplesKept || delivered[0].MessageID != "299" || delivered[samplesKept-1].MessageID != "200" ||
			delivered[0].Event != "Run" || delivered[0].User != "u" || delivered[0].Payload != nil {
			t.Errorf("%d are kept: %+v", len(delivered), delivered[:1])
		}
		if all := s.find(3, everything); len(all) != 3 || all[0].At.Before(all[2].At) {
			t.Errorf("the newest are %+v", all)
		}
	})
}

// Whoever sends events chooses their texts, and ingest's codes are a closed set; memory is bounded
// even if that is wrong.
func TestSamplesAreBounded(t *testing.T) {
	t.Parallel()
	var s samples
	huge := strings.Repeat("é", maxSampleDetail)
	for i := range 2 * maxKinds {
		reason := fmt.Sprint("reason ", i)
		for range s.wants(deliver.DeadLettered, reason, 2*samplesKept) {
			o := Outcome{Outcome: "dead_lettered", Reason: reason, Detail: huge, Type: huge, Event: huge, User: huge,
				MessageID: huge, Payload: []byte(huge)}
			s.add(o)
		}
	}
	all := s.find(1<<30, everything)
	if len(all) != maxKinds*samplesKept {
		t.Errorf("%d samples are kept", len(all))
	}
	for _, o := range all {
		if n := len(o.Detail) + len(o.Type) + len(o.Event) + len(o.User) + len(o.MessageID); n > maxSampleDetail+4*maxSampleText ||
			o.Payload != nil || !strings.HasPrefix(o.Event, "éé") || !strings.HasSuffix(o.Event, "é…") {
			t.Fatalf("a sample has %d bytes", n)
		}
	}
}

func TestARefusedRequestIsASample(t *testing.T) {
	t.Parallel()
	var s samples
	s.refused(&ingest.Summary{Status: 200})
	s.refused(&ingest.Summary{Status: 400, Code: "invalid_json", Message: "the body is not valid JSON",
		Key: heavy.Key{ID: "2c1b", Name: "shop web"}})
	s.refused(&ingest.Summary{Status: 429, Code: "overloaded", Message: "retry later", Key: heavy.Key{ID: "2c1b"}})
	var got []string
	for _, o := range s.find(10, everything) {
		got = append(got, strings.Join([]string{o.Outcome, o.Reason, o.Detail, o.WriteKey}, "/"))
	}
	want := map[string]bool{"refused/invalid_json/the body is not valid JSON/shop web": true,
		"refused/overloaded/retry later/2c1b": true}
	if len(got) != 2 || !want[got[0]] || !want[got[1]] {
		t.Errorf("%q", got)
	}
}

func TestSamplesAreSafeForConcurrentUse(t *testing.T) {
	t.Parallel()
	var s samples
	var running sync.WaitGroup
	for i := range 8 {
		running.Go(func() {
			for range 200 {
				reason := fmt.Sprint(i % 3)
				for range s.wants(deliver.Retried, reason, 3) {
					s.add(Outcome{Outcome: "retried", Reason: reason})
				}
				s.find(10, everything)
			}
		})
	}
	running.Wait()
}

// A full invocation asks once for each of its messages, and almost always gets none.
func BenchmarkSamplesOfABusyPipeline(b *testing.B) {
	var s samples
	s.wants(deliver.Delivered, "", samplesKept)
	for b.Loop() {
		for range s.wants(deliver.Delivered, "", 440) {
			s.tell(deliver.Observation{Event: []byte(`{"type":"track","event":"Run","userId":"u"}`), Disposition: deliver.Delivered})
		}
	}
}
