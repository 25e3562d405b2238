package local

import (
	"math"
	"testing"
	"time"

	"github.com/spillwayhq/spillway/infra/local/cloudwatch"
	"github.com/spillwayhq/spillway/infra/local/sqs"
	"github.com/spillwayhq/spillway/infra/topology"
	"github.com/spillwayhq/spillway/shared/ingest"
)

func TestEventsThatDoNotComeThroughIngestAreCounted(t *testing.T) {
	t.Parallel()
	at := time.Date(2018, 9, 24, 10, 0, 0, 0, time.UTC)
	for name, c := range map[string]struct {
		sent, accepted func(second int) int // totals
		want           float64              // at most accountLag seconds of it are not counted yet
	}{
		"only ingest": {func(s int) int { return 1000 * s }, func(s int) int { return 1000 * s }, 0},
		// The queue has events before the request is answered, or, from the spill directory, long after it.
		"ingest answers late":   {func(s int) int { return 1000 * s }, func(s int) int { return 1000 * max(0, s-2) }, 0},
		"ingest spills to disk": {func(s int) int { return max(0, 1000*(s-30)) }, func(s int) int { return 1000 * s }, 0},
		"only others":           {func(s int) int { return 10 * min(s, 50) }, func(int) int { return 0 }, 500},
		"both": {func(s int) int { return 10*min(s, 50) + 1000*min(s, 50) },
			func(s int) int { return 1000 * max(0, min(s-1, 50)) }, 500},
		"nothing": {func(int) int { return 0 }, func(int) int { return 0 }, 0},
	} {
		store := cloudwatch.NewStore(time.Hour)
		second := 0
		a := account{put: store.Put, pipeline: "shop",
			queue:    func() sqs.Stats { return sqs.Stats{SentEvents: int64(c.sent(second))} },
			requests: func() ingest.Totals { return ingest.Totals{Accepted: c.accepted(second)} },
			canaries: func() int64 { return 0 }}
		for second = range 60 {
			a.second(at.Add(time.Duration(second) * time.Second))
		}
		values, err := Reader{&Pipeline{monitor: &monitor{store: store}}}.Metrics([]topology.Metric{
			{Own: "publisher", Pipeline: "shop", Name: "EventsPublished", Statistic: "Sum"},
			{Own: "publisher", Pipeline: "shop", Name: "EventsDropped", Statistic: "Sum"}}, at, time.Minute, 2)
		if err != nil {
			t.Fatal(err)
		}
		got := values[0][0]
		if math.IsNaN(got) {
			got = 0
		}
		if got != c.want || !math.IsNaN(values[0][1]) || !math.IsNaN(values[1][0]) {
			t.Errorf("%s: %g events came otherwise, want %g", name, got, c.want)
		}
	}
}

func TestEventsThatComeThroughIngestAreCountedAtOnceWithoutTheCanary(t *testing.T) {
	t.Parallel()
	at := time.Date(2018, 9, 24, 10, 0, 0, 0, time.UTC)
	store := cloudwatch.NewStore(time.Hour)
	var accepted int
	var canaries int64
	a := account{put: store.Put, pipeline: "shop", queue: func() sqs.Stats { return sqs.Stats{} },
		requests: func() ingest.Totals { return ingest.Totals{Accepted: accepted} }, canaries: func() int64 { return canaries }}
	for second, c := range []struct {
		accepted int
		canaries int64
		want     float64
	}{{100, 0, 0}, {101, 0, 100}, {101, 1, 100}, {101, 1, 100}, {151, 1, 100}, {151, 1, 150}} {
		accepted, canaries = c.accepted, c.canaries
		a.second(at.Add(time.Duration(second) * time.Second))
		values, err := Reader{&Pipeline{monitor: &monitor{store: store}}}.Metrics([]topology.Metric{
			{Own: "ingest", Pipeline: "shop", Name: "EventsAccepted", Statistic: "Sum"}}, at, time.Minute, 1)
		if got := values[0][0]; err != nil || got != c.want && !(c.want == 0 && math.IsNaN(got)) {
			t.Errorf("after %d s: %g, want %g, %v", second, got, c.want, err)
		}
	}
}

func TestRefusedRequestsAreCountedByTheirCodes(t *testing.T) {
	t.Parallel()
	at := time.Date(2018, 9, 24, 10, 0, 0, 0, time.UTC)
	store := cloudwatch.NewStore(time.Hour)
	totals := ingest.Totals{}
	a := account{put: store.Put, pipeline: "shop", queue: func() sqs.Stats { return sqs.Stats{} },
		requests: func() ingest.Totals { return totals }, canaries: func() int64 { return 0 }}
	store.Put(at, cloudwatch.Key{Own: "ingest", Pipeline: "shop", Name: "EventsRejected", Dimension: "Code",
		Value: "no_user_anon_id"}, 1)
	r := Reader{&Pipeline{monitor: &monitor{store: store}}}
	for _, codes := range []map[string]int{nil, {"invalid_json": 3}, {"invalid_json": 3}, {"invalid_json": 5}} {
		totals = ingest.Totals{Refused: codes, Shed: map[string]int{"overloaded": 2}}
		a.second(at)
		at = at.Add(time.Minute)
	}
	for _, c := range []struct {
		from, minutes int
		json, shed    float64
	}{{0, 4, 5, 2}, {0, 2, 3, 2}, {2, 2, 2, 0}, {3, 1, 2, 0}, {4, 3, 0, 0}, {0, 0, 0, 0}, {0, -2, 0, 0}} {
		from := at.Add(time.Duration(c.from-4) * time.Minute)
		got, events, err := r.Refusals(from, from.Add(time.Duration(c.minutes)*time.Minute))
		if err != nil || got["invalid_json"] != c.json || got["overloaded"] != c.shed || len(got) > 2 || len(events) > 1 ||
			(len(events) == 1) != (c.from == 0 && c.minutes > 0) {
			t.Errorf("%d minutes from %d on: %v, %v, %v", c.minutes, c.from, got, events, err)
		}
	}
}
