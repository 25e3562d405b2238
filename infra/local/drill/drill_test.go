package drill

import (
	"context"
	"errors"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/spillwayhq/spillway/infra/local/cloudwatch"
	"github.com/spillwayhq/spillway/infra/local/segmentd"
	"github.com/spillwayhq/spillway/integration/testutil"
)

func TestMain(m *testing.M) { testutil.MainInVirtualTime(m) }

// small is a scenario of some minutes, in which a real one's every part is.
func small() *Scenario {
	return &Scenario{
		Name: "small", Lasts: 35 * time.Minute, Played: []Span{{16 * time.Minute, 33 * time.Minute}},
		Failures: []Failure{{Span: from(17*time.Minute, 9*time.Minute), Kind: Segment, Rule: away, Text: "Segment is away"}},
		Actions: []Step{{At: 18 * time.Minute, Do: Invalid, Text: "an invalid event"},
			{At: 18 * time.Minute, Do: Deploy, Text: "a deployment"}},
		DeadLetters: []string{"invalid"}, OldDesign: true,
	}
}

func playSmall(t *testing.T) (*simulation, *Result) {
	t.Helper()
	sim, r, err := play(t.Context(), small(), Options{Seed: 1, Rate: 1})
	if err != nil {
		t.Fatal(err)
	}
	result, err := sim.result(r)
	if err != nil {
		t.Fatal(err)
	}
	return sim, result
}

func TestASmallDrill(t *testing.T) {
	t.Parallel()
	sim, r := playSmall(t)
	t.Run("accounts for every accepted event", func(t *testing.T) { checkSmall(t, sim, r) })
	t.Run("is the same for the same seed", func(t *testing.T) {
		if testutil.Race {
			t.Skip("another drill like that before, which .ci/run plays without -race")
		}
		_, again := playSmall(t)
		checkSame(t, r, again)
	})
}

func checkSmall(t *testing.T, sim *simulation, r *Result) {
	t.Helper()
	e := r.Events
	if e.Lost != 0 || e.DeadLettered["invalid"] != 1 || len(e.DeadLettered) != 1 ||
		e.Accepted != e.Delivered+1+e.Waiting || e.Accepted < 60*20 {
		t.Errorf("%+v", e)
	}
	if sim.model.events == 0 || sim.model.modelled != 2 {
		t.Errorf("%d minutes with %d events are modelled, want the last 2", sim.model.modelled, sim.model.events)
	}
	if broken := sim.checkEvents(&e, &recording{drained: day}); len(broken) > 0 {
		t.Errorf("broken: %v", broken)
	}
	_ = sim.record.store.PutEMF([]byte(`{"_aws":`))
	want := []string{"1 values of metrics are not recorded: " + cloudwatch.RejectedBroken}
	if broken := sim.checkEvents(&e, &recording{drained: day}); !slices.Equal(broken, want) {
		t.Errorf("with a line of metrics that was cut: %q, want %q", broken, want)
	}
	if r.API.Failed != 0 || r.API.MaxSeconds > 0.1 || r.API.P99Seconds == 0 {
		t.Errorf("the API: %+v", r.API)
	}
	if r.DrainSeconds != nil && *r.DrainSeconds > 20*60 {
		t.Errorf("drained after %v s", *r.DrainSeconds)
	}
	for _, s := range r.Series {
		if len(s.Values) != 35 || slices.Contains(s.Values[1:], nil) && s.Chart != ChartAPILatency {
			t.Errorf("%s, %s has gaps: %d values", s.Chart, s.Name, len(s.Values))
		}
	}
}

// A region is away for a quarter of an hour: long enough for Route 53 to leave it.
func TestWithTwoRegionsSDKsAreLedElsewhereAndBack(t *testing.T) {
	t.Parallel()
	s := regionDown()
	s.Lasts, s.Played = 40*time.Minute, []Span{{16 * time.Minute, 38 * time.Minute}}
	s.Away = from(17*time.Minute, 15*time.Minute)
	s.Failures[0].Span = s.Away
	sim, r, err := play(t.Context(), &s, Options{Seed: 3, Rate: 1})
	if err != nil {
		t.Fatal(err)
	}
	result, err := sim.result(r)
	if err != nil {
		t.Fatal(err)
	}
	if len(result.Broken) > 0 {
		t.Errorf("broken: %q", result.Broken)
	}
	n := result.Name
	if n == nil || len(n.Left) != 1 || n.Left[0].To == nil || n.FirstElsewhere == nil {
		t.Fatalf("the name: %+v", n)
	}
	fault := result.Start.Add(17 * time.Minute)
	if left := n.Left[0].From.Sub(fault); left < 5*time.Minute || left > 8*time.Minute {
		t.Errorf("the region was left after %v", left)
	}
	if after := n.FirstElsewhere.Sub(n.Left[0].From); after < 0 || after > time.Minute+sdkInterval {
		t.Errorf("the first request was accepted elsewhere %v after the switch", after)
	}
	if e := result.Events; e.Lost != 0 || e.Accepted != e.Delivered || result.API.Failed != 0 {
		t.Errorf("%+v, %+v", e, result.API)
	}
	for _, text := range []string{nearRegion, farRegion, "by nobody"} {
		i := slices.IndexFunc(result.Series, func(s Series) bool { return s.Chart == ChartRegions && s.Name == text })
		if i < 0 || !slices.ContainsFunc(result.Series[i].Values, func(v *float64) bool { return v != nil && *v > 0 }) {
			t.Errorf("no request is answered by %s", text)
		}
	}
}

func checkSame(t *testing.T, a, b *Result) {
	t.Helper()
	if !reflect.DeepEqual(a.Marks[:1], b.Marks[:1]) || a.API.Calls != b.API.Calls ||
		a.Events.Accepted != b.Events.Accepted ||
		!reflect.DeepEqual(a.Old, b.Old) {
		t.Errorf("the load differs: %+v and %+v", a.Events, b.Events)
	}
	for i := range max(len(a.Alarms), len(b.Alarms)) {
		x, y := a.Alarms[i], b.Alarms[i]
		if x.Name != y.Name || len(x.Firings) != len(y.Firings) {
			t.Errorf("the alarms differ: %+v and %+v", x, y)
			continue
		}
		for n := range x.Firings {
			// Goroutines that wake at the same instant run in any order, so a metric that is close to a
			// threshold may cross it a period or two later.
			if d := x.Firings[n].From.Sub(y.Firings[n].From).Abs(); d > 2*time.Minute {
				t.Errorf("%s fired at times that are %v apart", x.Name, d)
			}
		}
	}
}

func TestADrillEndsWithItsContext(t *testing.T) {
	why := errors.New("enough")
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(why)
	if _, err := Run(ctx, Options{Scenario: "incident"}); !errors.Is(err, why) {
		t.Errorf("%v", err)
	}
}

func TestAWrongOptionIsNamed(t *testing.T) {
	for _, c := range []struct {
		Options
		want string
	}{
		{Options{Scenario: "x"}, `unknown scenario "x" (known: incident, `},
		{Options{Scenario: "incident", Rate: -1}, "the rate must be between 0.1 and 10000 events/s, is -1"},
		{Options{Scenario: "incident", Rate: 10_001}, "is 10001"},
	} {
		if _, err := Run(t.Context(), c.Options); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%v, want %q", err, c.want)
		}
	}
}

func TestTheLedgerKnowsWhatIsLost(t *testing.T) {
	l := newLedger()
	first := l.issue(6)
	l.accept(first, 5)
	l.refuse("invalid_write_key", 1)
	for _, n := range []int{0, 0, 1} {
		l.arrive(received(messageID(first + n)))
	}
	l.arrive(received("drill-99"))
	l.arrive(received("spillway-canary-1"))
	l.find(messageID(first+2), isDead)
	l.find(messageID(first+2), isWaiting)
	l.find(messageID(first+3), isWaiting)
	if got, want := l.balance(),
		(balance{accepted: 5, delivered: 2, dead: 1, waiting: 1, lost: 1, again: 1}); got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
	if accepted, delivered := l.take(); accepted != 5 || delivered != 2 {
		t.Errorf("in the minute: %d accepted, %d delivered", accepted, delivered)
	}
}

func TestTheAPIIsDownInAMinuteInWhichMoreThanOneCallInTenFails(t *testing.T) {
	l := new(latencies)
	for _, failed := range []int{0, 1, 2, 10} {
		l.add([]float64{1, 2, 3, 4, 5, 6, 7, 8, 9, 10}, failed)
		if p50, p99, calls := l.take(); p50 != 5 || p99 != 10 || calls != 10 {
			t.Errorf("p50 %v, p99 %v of %d calls", p50, p99, calls)
		}
	}
	if l.down != 2 || l.failed != 13 || l.calls != 40 || len(l.total) != 40 || l.highest != 10 {
		t.Errorf("%+v", l)
	}
}

func TestScenariosAreWellFormed(t *testing.T) {
	name := regexp.MustCompile(`^[0-9a-z]+(-[0-9a-z]+)*$`)
	seen := map[string]bool{}
	for _, s := range Scenarios() {
		if !name.MatchString(s.Name) || seen[s.Name] {
			t.Errorf("the name %q is wrong, or there twice", s.Name)
		}
		seen[s.Name] = true
		if s.Title == "" || s.Story == "" || s.Lasts <= patternUntil || s.Lasts%time.Minute != 0 {
			t.Errorf("%s: title %q, story %q, %v", s.Name, s.Title, s.Story, s.Lasts)
		}
		spans := slices.Clone(s.Played)
		for _, c := range s.Load {
			spans = append(spans, c.Span)
		}
		for _, f := range s.Failures {
			spans = append(spans, f.Span)
			if f.Kind != NoMetrics && !slices.ContainsFunc(s.Played, func(p Span) bool {
				return f.From >= p.From && f.From < p.Until
			}) {
				t.Errorf("%s: the fault %q begins while nothing is played", s.Name, f.Text)
			}
		}
		for _, span := range spans {
			if span.From < 0 || span.Until <= span.From || span.Until > s.Lasts {
				t.Errorf("%s: the time from %v until %v is not within its %v", s.Name, span.From, span.Until, s.Lasts)
			}
		}
		for _, p := range s.Promises {
			if p.Within <= 0 || p.From+p.Within > s.Lasts {
				t.Errorf("%s: %s is promised for a time outside of it", s.Name, p.Alarm)
			}
		}
	}
}

func received(id string) segmentd.Received { return segmentd.Received{MessageID: id} }
