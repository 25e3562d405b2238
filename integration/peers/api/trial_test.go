package api

import (
	"context"
	"slices"
	"testing"
	"time"
)

// upTo are n latencies of 1 ms, 2 ms, ….
func upTo(n int) []time.Duration {
	var all []time.Duration
	for i := range n {
		all = append(all, time.Duration(i+1)*time.Millisecond)
	}
	return all
}

func TestPercentileIsTheNearestRank(t *testing.T) {
	for _, c := range []struct {
		n    int
		q    float64
		want int // ms
	}{
		{0, 0.5, 0}, {1, 0, 1}, {1, 0.5, 1}, {1, 1, 1}, {2, 0.5, 1}, {3, 0.5, 2}, {4, 0.5, 2}, {100, 0.99, 99},
		{1000, 0.999, 999}, {1000, 0.99, 990}, {1500, 0.999, 1499}, {10, 0.99, 10}, {10, 1, 10}, {8000, 0.999, 7992},
	} {
		if got := percentile(upTo(c.n), c.q); got != time.Duration(c.want)*time.Millisecond {
			t.Errorf("p%g of %d: %v, want %d ms", 100*c.q, c.n, got, c.want)
		}
	}
}

func TestCallsThatHaveNotReturnedCountInPercentiles(t *testing.T) {
	o := Outcome{Latencies: upTo(90), Waiting: []time.Duration{8 * time.Second, 6 * time.Second, 7 * time.Second}}
	for range 7 {
		o.Waiting = append(o.Waiting, 9*time.Second)
	}
	want := []Latency{{50 * time.Millisecond, false}, {90 * time.Millisecond, false}, {6 * time.Second, true},
		{9 * time.Second, true}}
	if got := o.percentiles(0.5, 0.9, 0.91, 1); !slices.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
}

func TestALatencyThatIsMoreThanACallStillWaitsIsALowerBound(t *testing.T) {
	// The call that waits may turn out to be longer than the one that took 10 s.
	o := Outcome{Latencies: []time.Duration{10 * time.Second}, Waiting: []time.Duration{6 * time.Second}}
	if got := o.percentiles(1)[0]; got != (Latency{10 * time.Second, true}) {
		t.Errorf("%v", got)
	}
}

func TestMedianOfTurns(t *testing.T) {
	three := []Latency{{3, false}, {1, false}, {2, true}}
	if got := medianLatency(three); got != three[1] || got.Time != 2 {
		t.Errorf("%v", got)
	}
	if got := medianLatency([]Latency{{5, false}, {4, false}}); got.Time != 4 {
		t.Errorf("of two: %v", got)
	}
	if got := medianLatency(nil); got != (Latency{}) {
		t.Errorf("of none: %v", got)
	}
}

func TestEventsAreLostOnlyIfTheyWereAccepted(t *testing.T) {
	trial := &trial{prefix: "way-well", next: 6, refused: map[int]bool{2: true, 3: true}}
	lost, doubled, unasked := trial.compare(map[string]int{"way-well-0": 1, "way-well-1": 2, "way-well-3": 1,
		"other-4": 1})
	if lost != 2 || doubled != 1 || unasked != 1 {
		t.Errorf("%d lost, %d doubled, %d unasked; want 4 and 5, 1, and 3", lost, doubled, unasked)
	}
}

// counted are arrivals of which count knows the sum alone.
type counted map[string]int

func (c counted) count(context.Context) (int, error) {
	n := 0
	for _, times := range c {
		n += times
	}
	return n, nil
}

func (c counted) ids(context.Context) (map[string]int, error) { return c, nil }

func TestAnEventThatCameTwiceDoesNotHideOneThatIsMissing(t *testing.T) {
	trial := &trial{prefix: "way", next: 3, refused: map[int]bool{}, arrivals: counted{"way-0": 2, "way-1": 1}}
	if missing, err := trial.isMissing(t.Context()); missing || err != nil {
		t.Errorf("%t, %v: the count is that of the events", missing, err)
	}
	if lost, err := trial.hasLost(t.Context()); !lost || err != nil {
		t.Errorf("%t, %v: event 2 has not arrived", lost, err)
	}
	trial.refused[2] = true
	if lost, err := trial.hasLost(t.Context()); lost || err != nil {
		t.Errorf("%t, %v: event 2 was not accepted", lost, err)
	}
}

func TestSegmentsEventsBelongToTheTrialThatTheirIDsName(t *testing.T) {
	r := &received{byPrefix: map[string]map[string]int{}}
	for _, id := range []string{"analytics-go-well-0", "analytics-go-well-1", "analytics-go-well-1", "analytics-go-slow-0",
		"x"} {
		r.add(id)
	}
	at := atSegment{r, "analytics-go-well"}
	ids, err := at.ids(context.Background())
	if err != nil || len(ids) != 2 || ids["analytics-go-well-1"] != 2 {
		t.Errorf("%v, %v", ids, err)
	}
	if n, err := at.count(context.Background()); n != 2 || err != nil {
		t.Errorf("%d events, %v; one came twice, and is one", n, err)
	}
}

func TestLatenciesInTables(t *testing.T) {
	for l, want := range map[Latency]string{
		{Time: 1240}:                           "1.2 µs",
		{Time: 124 * time.Microsecond}:         "124 µs",
		{Time: 1240 * time.Microsecond}:        "1.2 ms",
		{Time: 124 * time.Millisecond}:         "124 ms",
		{Time: 5 * time.Second}:                "5.0 s",
		{Time: 6 * time.Second, AtLeast: true}: "over 6.0 s",
	} {
		if got := l.String(); got != want {
			t.Errorf("%v: %q, want %q", l.Time, got, want)
		}
	}
}

func TestFailuresInTables(t *testing.T) {
	for _, c := range []struct {
		row  Row
		want string
	}{
		{Row{Calls: 10}, "0"},
		{Row{Calls: 10, Failed: 3, Errors: map[string]int{"a": 1, "b|c": 2}}, "3 of 10: b/c"},
		{Row{Calls: 10, Failed: 1, NotReturned: 4, Errors: map[string]int{"a": 1}}, "5 of 10: no answer"},
	} {
		if got := c.row.failures(); got != c.want {
			t.Errorf("%q, want %q", got, c.want)
		}
	}
}

func TestOnlyALossOfSpillwayIsAnError(t *testing.T) {
	if err := check([]Row{{Way: "analytics-go", Lost: 1285}, {Way: "publisher-disk", Ours: true}}); err != nil {
		t.Errorf("%v, though Spillway lost nothing", err)
	}
	err := check([]Row{{Way: "publisher-disk", Condition: "refused", Ours: true, Lost: 2}})
	if want := "publisher-disk lost 2 events that it had accepted: queue refused"; err == nil || err.Error() != want {
		t.Errorf("%v, want %q", err, want)
	}
}
