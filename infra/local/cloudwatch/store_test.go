package cloudwatch

import (
	"math"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"
)

var latency = Key{Own: "ingest", Pipeline: "spillway", Name: "AcceptLatency"}

func values(t *testing.T, s *Store, k Key, statistic string, from time.Time, period time.Duration, n int) []float64 {
	t.Helper()
	v, err := s.Values(k, statistic, from, period, n)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func TestStatisticsOfAMinuteAndOfLongerPeriods(t *testing.T) {
	s := NewStore(time.Hour)
	s.Put(start, latency, 4, 1)
	s.Put(start.Add(59*time.Second), latency, 7)
	s.Put(start.Add(2*time.Minute), latency, 8)
	nan := math.NaN()
	for _, c := range []struct {
		statistic string
		period    time.Duration
		want      []float64
	}{
		{"Sum", time.Minute, []float64{12, nan, 8}},
		{"Minimum", time.Minute, []float64{1, nan, 8}},
		{"Maximum", time.Minute, []float64{7, nan, 8}},
		{"Average", time.Minute, []float64{4, nan, 8}},
		{"SampleCount", time.Minute, []float64{3, nan, 1}},
		{"Sum", 3 * time.Minute, []float64{20, nan}},
		{"Minimum", 2 * time.Minute, []float64{1, 8}},
		{"Average", 3 * time.Minute, []float64{5, nan}},
	} {
		got := values(t, s, latency, c.statistic, start, c.period, len(c.want))
		if !slices.EqualFunc(got, c.want, func(x, y float64) bool { return x == y || math.IsNaN(x) && math.IsNaN(y) }) {
			t.Errorf("%s of %v: %v, want %v", c.statistic, c.period, got, c.want)
		}
	}
}

func TestPercentilesAreExactToTwoAndAHalfPercent(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for _, c := range []struct {
		name string
		draw func() float64
	}{
		{"uniform", func() float64 { return 10_000 * r.Float64() }},
		{"latencies with a long tail", func() float64 { return math.Exp(4 + 1.5*r.NormFloat64()) }},
		{"all the same", func() float64 { return 42 }},
		{"two values", func() float64 { return float64(1 + 99*r.IntN(2)) }},
		{"many zeros", func() float64 { return float64(max(0, r.IntN(20)-10)) }},
	} {
		s := NewStore(time.Hour)
		var all []float64
		for i := range 9000 {
			v := c.draw()
			all = append(all, v)
			s.Put(start.Add(time.Duration(i%3)*time.Minute), latency, v)
		}
		slices.Sort(all)
		for statistic, share := range map[string]float64{"p50": 0.5, "p90": 0.9, "p99": 0.99, "p99.9": 0.999, "p100": 1} {
			exact := all[max(0, int(math.Ceil(share*float64(len(all))-1e-6))-1)]
			got := values(t, s, latency, statistic, start, 3*time.Minute, 1)[0]
			if math.Abs(got-exact) > 0.025*exact+1e-9 {
				t.Errorf("%s: %s is %g, want %g", c.name, statistic, got, exact)
			}
		}
	}
}

func TestUnknownStatisticsAreNamed(t *testing.T) {
	for _, name := range []string{"", "sum", "p", "p101", "p-1", "pNaN", "IQM"} {
		if _, err := NewStore(time.Hour).Values(latency, name, start, time.Minute, 1); err == nil {
			t.Errorf("%q is accepted", name)
		}
	}
}

func TestValuesThatAreNoNumbersAreCounted(t *testing.T) {
	s := NewStore(time.Hour)
	s.Put(start, latency, math.NaN(), math.Inf(1), math.Inf(-1), 1e200, 3)
	if got := s.Rejected()[RejectedValue]; got != 4 {
		t.Errorf("%d values rejected, want 4", got)
	}
	if got := values(t, s, latency, "Sum", start, time.Minute, 1)[0]; got != 3 {
		t.Errorf("the sum is %g, want 3", got)
	}
}

func TestValuesAreForgottenAfterTheRetentionAndKeptWhereAnAlarmNeedsThem(t *testing.T) {
	s := NewStore(2 * time.Hour)
	long := latency
	long.Name = "Long"
	s.Keep(long, 48*time.Hour)
	for minute := range 24 * 60 {
		s.Put(start.Add(time.Duration(minute)*time.Minute), latency, 1)
		s.Put(start.Add(time.Duration(minute)*time.Minute), long, 1)
	}
	if got := values(t, s, latency, "Sum", start, 24*time.Hour, 1)[0]; got < 120 || got > 180 {
		t.Errorf("%g minutes are kept, want 2 hours and at most the beginning of a third", got)
	}
	if got := values(t, s, long, "Sum", start, 24*time.Hour, 1)[0]; got != 24*60 {
		t.Errorf("%g minutes of the metric that an alarm needs, want %d", got, 24*60)
	}
	s.Put(start, latency, 1)
	if got := s.Rejected()[RejectedOld]; got != 1 {
		t.Errorf("%d old values rejected, want 1", got)
	}
}

func TestTheNumberOfMetricsIsBounded(t *testing.T) {
	s := NewStore(time.Hour)
	for i := range maxSeries + 5 {
		k := latency
		k.Value = string(rune('a' + i))
		s.Put(start, k, 1)
	}
	if got := s.Rejected()[RejectedMetrics]; got != 5 || len(s.Keys()) != maxSeries {
		t.Errorf("%d metrics, %d rejected; want %d and 5", len(s.Keys()), got, maxSeries)
	}
}

func TestADistributionIsBoundedAndItsUpperPercentilesStayExact(t *testing.T) {
	var p point
	for i := range 2000 {
		p.add(math.Pow(1.06, float64(i%400)))
	}
	if len(p.distribution) > maxBuckets {
		t.Errorf("%d buckets, want at most %d", len(p.distribution), maxBuckets)
	}
	if got, want := p.percentile(p.distribution, 0.9), math.Pow(1.06, 359); math.Abs(got-want) > 0.05*want {
		t.Errorf("p90 is %g, want %g", got, want)
	}
}

// The pipeline's parts write while the evaluator and the page read.
func TestAStoreIsSafeForConcurrentUse(t *testing.T) {
	s := NewStore(time.Hour)
	e := newEvaluator(t, s, Typical(), fires("a"))
	var all sync.WaitGroup
	for i := range 4 {
		all.Go(func() {
			for minute := range 200 {
				now := start.Add(time.Duration(minute) * time.Minute)
				s.Put(now, latency, float64(minute+i))
				s.Put(now, KeyOf(own("a")), 1)
				e.Evaluate(now)
				_, _, _ = e.States(), s.Keys(), s.Rejected()
				values(t, s, latency, "p99", now.Add(-time.Hour), time.Minute, 60)
			}
		})
	}
	all.Wait()
}
