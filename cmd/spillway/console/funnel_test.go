package console

import (
	"errors"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/spillwayhq/spillway/infra/topology"
	"github.com/spillwayhq/spillway/shared/chart"
	"github.com/spillwayhq/spillway/shared/operator"
	"github.com/spillwayhq/spillway/shared/segment"
)

// twoHours are values of one metric: so many a minute in the hour before, and in the last one.
func twoHours(before, now float64) []float64 {
	return slices.Concat(slices.Repeat([]float64{before / 60}, 60), slices.Repeat([]float64{now / 60}, 60))
}

func TestTheFunnelAddsUpTheLastHourBesideTheHourBefore(t *testing.T) {
	n := topology.DefaultNames()
	nothing := twoHours(math.NaN(), math.NaN())
	d := funnelData{metrics: measured{step: time.Minute, n: 120, values: map[topology.Metric][]float64{
		accepted(n): twoHours(600, 900), published(n): twoHours(0, 300), delivered(n): twoHours(600, 1140),
		refusedMetrics(n)[0]: twoHours(6, 12), refusedMetrics(n)[1]: nothing,
		retriedMetrics(n)[0]: twoHours(math.NaN(), 120), deadMetrics(n)[0]: twoHours(60, 60),
		visible(n.EventsQueue): twoHours(60*7, 60*9), notVisible(n.EventsQueue): twoHours(60, 60),
	}},
		hour: Refusals{Requests: map[string]float64{"a": 3, "b": 9},
			Events: map[string]float64{"no_user_anon_id": 4, "too_large": 1}},
		before: Refusals{Events: map[string]float64{"no_user_anon_id": 40}}}
	now := seen[Now]{At: time.Now(), Value: Now{Messages: 10, Events: 400, OldestAge: 90 * time.Second, DeadLetters: 3,
		Bulk: 9000}}
	all := stages(n, d, now, drainRate{perSecond: 10, events: true, known: true})
	type row struct{ name, value, change, rest string }
	var got []row
	for _, s := range all {
		rest := slices.Clone(s.Facts)
		for _, r := range s.Reasons {
			rest = append(rest, r.Value+" "+r.Name)
		}
		got = append(got, row{s.Name, s.Value, s.Change.Sign + " " + s.Change.Text, strings.Join(rest, ", ")})
	}
	want := []row{
		{"Received", "1,200", "▲ 100 % up from 600", "900 through ingest, 300 from publishers"},
		{"Refused", "12", "▲ 100 % up from 6", "9 b, 3 a"},
		{"Waiting", "400", "▲ 25 % up from 8", "in 10 messages, oldest 1 min 30 s, drained in 40 s, 9,000 events more in the bulk queue"},
		{"Retried", "120", "▲ none the hour before", "120 transient"},
		{"Dead letters", "65", "▼ 35 % down from 100", "3 in the queue now, 60 rejected, 4 invalid, 1 too_large"},
		{"Delivered", "1,140", "▲ 90 % up from 600", ""},
	}
	if !slices.Equal(got, want) {
		t.Errorf("the funnel is\n%v, want\n%v", got, want)
	}
}

func TestTheFunnelOfAPipelineThatIsNotKnownSaysSo(t *testing.T) {
	n := topology.DefaultNames()
	d := funnelData{metrics: measured{step: time.Minute, n: 120}, codes: errors.New("no permission")}
	all := stages(n, d, seen[Now]{Err: errors.New("no network")}, drainRate{})
	if all[0].Value != "0" || all[0].Change.Text != "none the hour before" {
		t.Errorf("without a value it is %v", all[0])
	}
	if all[1].Note != "by code: no permission" || all[2].Value != "–" || all[2].Note != "not known: no network" {
		t.Errorf("what is not known is %v and %v", all[1], all[2])
	}
}

func TestAChangeIsSaidAsPeopleCompare(t *testing.T) {
	nan := math.NaN()
	for _, c := range []struct {
		now, before float64
		want        string
	}{
		{0, 0, "= none the hour before"}, {nan, nan, "= none the hour before"}, {5, nan, "▲ none the hour before"},
		{1000, 1001, "= as the hour before"}, {150, 100, "▲ 50 % up from 100"}, {nan, 100, "▼ 100 % down from 100"},
		{75, 100, "▼ 25 % down from 100"}, {5000, 100, "▲ 50 times the 100 before"},
	} {
		if got := compared(c.now, c.before); got.Sign+" "+got.Text != c.want {
			t.Errorf("%v after %v: %v, want %s", c.now, c.before, got, c.want)
		}
	}
}

func TestTheTimeToDrainFollowsFromTheRate(t *testing.T) {
	n := Now{Messages: 60, Events: 6000}
	for _, c := range []struct {
		rate drainRate
		want string
	}{
		{drainRate{}, "time to drain is not known yet"},
		{drainRate{perSecond: 100, events: true, known: true}, "drained in 1 min"},
		{drainRate{perSecond: 100, known: true}, "drained in 1 s"},
		{drainRate{perSecond: -2, known: true}, "grows by 2 messages/s"},
		{drainRate{perSecond: 0.01, known: true}, "does not get less"},
		{drainRate{perSecond: 0.06, events: true, known: true}, "drained in 27 h 47 min"},
	} {
		if got := c.rate.says(n); got != c.want {
			t.Errorf("%+v: %s, want %s", c.rate, got, c.want)
		}
	}
	if got := (drainRate{perSecond: 0.06, events: true, known: true}).says(Now{Messages: 1,
		Events: 1e9}); got != "drained in over 30 days" {
		t.Errorf("what takes for ever is %s", got)
	}
	names := topology.DefaultNames()
	m := measured{step: time.Minute, n: 120, values: map[topology.Metric][]float64{
		ofQueue(names.EventsQueue, "NumberOfMessagesSent", "Sum"):    twoHours(0, 600),
		ofQueue(names.EventsQueue, "NumberOfMessagesDeleted", "Sum"): twoHours(0, 4200),
	}}
	if got := measuredRate(names, m); !got.known || got.perSecond != 1 {
		t.Errorf("the measured rate is %+v", got)
	}
	if got := measuredRate(names, measured{step: time.Minute, n: 120}); got.known {
		t.Error("without data there is a rate")
	}
}

func TestTheLiveWindowKeepsTheLastMinutesAndItsGaps(t *testing.T) {
	var l live
	if l.charts() != nil || l.rate().known {
		t.Error("there is something before the beginning")
	}
	start := time.Date(2026, 11, 27, 8, 0, 0, 0, time.UTC)
	for i := range 200 {
		if i > 180 && i < 190 {
			continue // the machine slept
		}
		in := int64(i) * 200
		l.add(Now{At: start.Add(time.Duration(i) * liveStep), Messages: 1, Events: int64(i), BreakerOpen: i == 195,
			Totals: &Totals{Accepted: in, Delivered: in - int64(i)}})
	}
	l.add(Now{At: start}) // no totals: it says nothing
	from, steps := l.window()
	if len(steps) != liveSteps || steps[0].Events != 50 || steps[149].Events != 199 || steps[135] != nil ||
		!from.Equal(start.Add(50*liveStep)) {
		t.Errorf("the window begins at %v with %v", from, steps[0])
	}
	if r := l.rate(); !r.known || !r.events || r.perSecond != -0.5 {
		t.Errorf("the rate is %+v", r)
	}
	all := l.charts()
	if len(all) != 2 || !strings.Contains(all[0].Summary, "received is at most 100/s") ||
		!strings.Contains(all[1].Summary, "waiting is at most 199") {
		t.Errorf("the charts are %q", all[0].Summary)
	}
	if len(all[0].Bands) != 1 || all[0].Bands[0].Class != "fault" {
		t.Errorf("the charts shade %v", all[0].Bands)
	}
}

func TestTheHeadlineIsWhatMattersMost(t *testing.T) {
	top := topology.Default()
	about := About{Topology: top, Command: "spillway", Flags: " --name shop"}
	suppressed := func(a Alarm) Alarm { a.SuppressedBy = "shop-paused fires"; return a }
	key := func(name, id string) WriteKey {
		return WriteKey{Name: name, ID: id, Paused: "by hand since 2026-01-31 12:00 UTC by ann", ByHand: true}
	}
	alarm := func(short string) Alarm {
		name := top.Names.Alarm(short)
		a := Alarm{Name: name, State: StateAlarm}
		if c, ok := top.Composite(name); ok {
			a.Severity, a.Composite = c.Severity, true
		} else if d, ok := top.Alarm(name); ok {
			a.Severity = d.Severity
		}
		return a
	}
	late := Now{Messages: 10, Events: 10, OldestAge: 2 * time.Minute}
	drains := drainRate{perSecond: 1, events: true, known: true}
	for _, c := range []struct {
		name     string
		now      Now
		err      error
		alarms   []Alarm
		keys     []WriteKey
		rate     drainRate
		class    string
		headline string
		text     string
		resume   string
		firing   int // if it is about a pause: alarms that the headline names
	}{
		{name: "calm", class: "good", headline: "Everything that came in is delivered", text: "Nothing waits."},
		{name: "fresh events", now: Now{Messages: 1, Events: 1, OldestAge: time.Second}, class: "good",
			headline: "Events are being delivered", text: "1 event waits, the oldest for 1 s"},
		{name: "dead letters", now: Now{DeadLetters: 2}, class: "warn", headline: "2 dead letters to look at",
			text: "Nothing waits. See why they"},
		{name: "a dead letter beside events that wait", now: Now{DeadLetters: 1, Messages: 1, Events: 1}, class: "warn",
			headline: "1 dead letter to look at", text: "1 event waits. It is safe in the queue. See why it"},
		{name: "late", now: late, class: "warn", headline: "Events wait",
			text: "10 events wait, the oldest for 2 min. They are safe"},
		{name: "drains", now: late, rate: drains, alarms: []Alarm{alarm("dead-letters")}, class: "warn",
			headline: "Events are delivered late", text: "drained in 10 s."},
		{name: "a ticket", alarms: []Alarm{alarm("dead-letters")}, class: "warn",
			headline: "There are dead letters: events that could not be delivered, each with its reason"},
		{name: "a part of a composite tells nobody", alarms: []Alarm{alarm("segment-failing")}, class: "good",
			headline: "Everything that came in is delivered"},
		{name: "a page", now: late, alarms: []Alarm{alarm("dead-letters"), alarm("delivery-down")}, class: "bad",
			headline: "Events are not delivered to Segment", text: "10 events wait"},
		{name: "a page while it fails", now: Now{Messages: 10, Events: 10, Degraded: "Segment answers 503"},
			alarms: []Alarm{alarm("delivery-down")}, class: "bad", headline: "Events are not delivered to Segment",
			text: "Segment answers 503. 10 events wait"},
		{name: "a page about what is over", now: Now{Totals: &Totals{}}, alarms: []Alarm{alarm("delivery-down")},
			class:    "warn",
			headline: "Everything is delivered again", text: "The alarm still fires"},
		{name: "a page that can't be over yet", now: Now{}, alarms: []Alarm{alarm("delivery-down")}, class: "bad",
			headline: "Events are not delivered to Segment"},
		{name: "a page about what comes in", now: Now{Totals: &Totals{}}, alarms: []Alarm{alarm("ingest-down")}, class: "bad",
			headline: "The ingest endpoint does not accept events: clients lose them"},
		{name: "over, and the alarm looks back", now: late, rate: drains, alarms: []Alarm{alarm("delivery-down")},
			class:    "warn",
			headline: "Events are delivered again", text: "10 events wait, the oldest for 2 min: drained in 10 s."},
		{name: "another page while it drains", now: late, rate: drains, alarms: []Alarm{alarm("ingest-down")}, class: "bad",
			headline: "The ingest endpoint does not accept events: clients lose them"},
		{name: "degraded", now: Now{Degraded: "Segment answers 503"}, class: "warn", headline: "Delivery is degraded",
			text: "Segment answers 503. Nothing waits."},
		{name: "a redrive while delivery is paused", now: Now{Paused: "since 2026-01-31 12:00 UTC by ann: Segment migrates", Bulk: 20},
			class: "warn", headline: "Delivery is paused", resume: "spillway resume --name shop",
			text: "Since 2026-01-31 12:00 UTC by ann: Segment migrates. No fresh event waits; the bulk queue has 20 events."},
		{name: "paused", now: Now{Paused: "since 2026-01-31 12:00 UTC by ann: Segment migrates", Degraded: "delivery is paused",
			Messages: 10, Events: 10}, alarms: []Alarm{suppressed(alarm("delivery-down")), alarm("paused"), alarm("paused-long")},
			class: "warn", headline: "Delivery is paused", firing: 2, resume: "spillway resume --name shop",
			text: "Since 2026-01-31 12:00 UTC by ann: Segment migrates. 10 events wait"},
		{name: "a paused key", now: late, keys: []WriteKey{{ID: "1", Paused: "Segment refuses it"}, key("", "2")}, class: "warn",
			headline: "The write key 2 is paused", resume: "spillway resume --write-key 2 --name shop",
			text: "By hand since 2026-01-31 12:00 UTC by ann. Its events wait, and other keys go on. 10 events wait"},
		{name: "paused keys", now: late, rate: drains, keys: []WriteKey{key("shop", "1"), key("", "2")}, class: "warn",
			headline: "2 write keys are paused", resume: "spillway resume --write-key FINGERPRINT --name shop"},
		{name: "a paused key, soon after all was paused", now: late, keys: []WriteKey{key("", "2")},
			alarms: []Alarm{suppressed(alarm("delivery-down")), alarm("paused"), alarm("paused-long")}, class: "warn",
			headline: "The write key 2 is paused", resume: "spillway resume --write-key 2 --name shop"},
		{name: "resumed", alarms: []Alarm{suppressed(alarm("delivery-down")), alarm("paused")}, class: "good",
			headline: "Everything that came in is delivered", text: "Nothing waits."},
		{name: "a paused key, and Segment is away", now: Now{Degraded: "Segment answers 503"}, keys: []WriteKey{key("", "1")},
			class: "warn", headline: "Delivery is degraded"},
		{name: "paused, and another page", now: Now{Paused: "since 2026-01-31 12:00 UTC"},
			alarms: []Alarm{alarm("delivery-down"), alarm("ingest-down")}, class: "bad",
			headline: "The ingest endpoint does not accept events: clients lose them", firing: 2},
		{name: "disk", now: Now{Store: "events are refused: no space left", Degraded: "x"}, class: "bad",
			headline: "The data directory needs attention", text: "Events are refused"},
		{name: "canary", now: Now{Canary: "no canary has arrived"}, class: "warn", headline: "The canary does not arrive",
			text: "No canary has arrived"},
		{name: "unknown", err: errors.New("no network"), class: "warn", headline: "How the pipeline is can't be read",
			text: "no network"},
	} {
		now := seen[Now]{Value: c.now, Err: c.err}
		if c.err == nil {
			now.At = time.Now()
		}
		got := status(&about, now, seen[[]Alarm]{Value: c.alarms, At: time.Now()}, c.keys, c.rate)
		if got.Class != c.class || got.Headline != c.headline || !strings.Contains(got.Text, c.text) {
			t.Errorf("%s: %s, %q, %q", c.name, got.Class, got.Headline, got.Text)
		}
		if got.Resume != c.resume || c.firing != 0 && len(got.Firing) != c.firing {
			t.Errorf("%s: to end it %q, %d alarms", c.name, got.Resume, len(got.Firing))
		}
	}
}

func TestThePageReadsMetricsThatThePipelineHas(t *testing.T) {
	n := topology.DefaultNames()
	known := map[topology.Metric]bool{}
	d := topology.Default()
	for _, row := range d.Dashboard() {
		for _, w := range row {
			for _, l := range w.Lines {
				m := l.Metric
				m.ID = ""
				known[m] = true
			}
		}
	}
	for _, a := range d.Alarms {
		for _, m := range a.Metrics {
			m.ID = ""
			known[m] = true
		}
	}
	for _, m := range slices.Concat(funnelMetrics(n), chartMetrics(n)) {
		if m.Name != "EventsDeadLettered" && !known[m] { // the dashboard searches for its reasons
			t.Errorf("neither an alarm nor the dashboard has %+v", m)
		}
	}
	for _, c := range segment.Classes() {
		if answerColours[c] == "" {
			t.Errorf("the class %v has no colour", c)
		}
	}
}

func TestChartsShadeWhenSomebodyWasToldAndDrawTheThresholds(t *testing.T) {
	c := New(Config{Source: newFake()})
	s := spanOf("3h")
	from := time.Now().Truncate(time.Minute).Add(-s.length())
	at := func(minutes int) time.Time { return from.Add(time.Duration(minutes) * time.Minute) }
	n := c.about.Topology.Names
	m := measured{from: from, step: s.step, n: s.n, values: map[topology.Metric][]float64{
		eventAge(n): slices.Repeat([]float64{1000}, s.n), latency(n, "p50"): slices.Repeat([]float64{6000}, s.n)}}
	all := c.charts(m, []Alarm{
		{Name: n.Alarm("delivery-down"),
			Firings: []Span{{at(-100), at(-90)}, {at(10), at(20)}, {at(15), at(30)}, {From: at(170)}}},
		{Name: n.Alarm("segment-failing"), Firings: []Span{{at(50), at(60)}}},
	})
	if len(all) != 6 {
		t.Fatalf("there are %d charts", len(all))
	}
	for _, ch := range all {
		var fires []string
		for _, b := range ch.Bands {
			if b.Class == "firing" {
				fires = append(fires, b.X+"+"+b.Width)
			}
		}
		if !slices.Equal(fires, []string{"5.556%+11.111%", "94.444%+5.556%"}) {
			t.Errorf("%s shades %v", ch.Title, fires)
		}
	}
	if age := all[2]; len(age.Bounds) != 1 || age.Bounds[0].Label != "alarm: 10 min" ||
		!strings.Contains(age.Summary, "16 min 40 s") {
		t.Errorf("the age has %v, %s", age.Bounds, age.Summary)
	}
	if taken := all[3]; len(taken.Bounds) != 1 || taken.Bounds[0].Label != "alarm on p50: 5 s" {
		t.Errorf("the latency has %v", taken.Bounds)
	}
}

func TestWhatIsRefusedOfASenderIsApartFromWhatIsRetried(t *testing.T) {
	counts := map[string]uint64{"retried/transient": 7000, "invalid_json": 3, "dead_letter/rejected": 12,
		"retried/throttled": 1}
	if got := codes(counts, true); got != "7,000 retried: transient, 1 retried: throttled" {
		t.Errorf("retried is %s", got)
	}
	if got := codes(counts, false); got != "12 dead letter: rejected, 3 invalid_json" {
		t.Errorf("refused is %s", got)
	}
}

func TestWhatDidNotHappenIsZeroWhileThePipelineRanAndNothingBefore(t *testing.T) {
	c := New(Config{Source: newFake()})
	n := c.about.Topology.Names
	nan := math.NaN()
	m := measured{from: time.Now().Truncate(time.Minute), step: time.Minute, n: 6, values: map[topology.Metric][]float64{
		visible(n.EventsQueue): {nan, nan, 0, 0, nan, 0}, delivered(n): {nan, nan, nan, 60, nan, nan}}}
	all := c.charts(m, nil)
	flow, backlog := all[0], all[1]
	if flow.Lines[1].Name != "delivered" || flow.Lines[1].Path != "M5 1000L7 0h0M11 1000h0" {
		t.Errorf("delivered is drawn as %s", flow.Lines[1].Path)
	}
	if flow.Lines[0].Path != "M5 1000H7M11 1000h0" {
		t.Errorf("received is drawn as %s", flow.Lines[0].Path)
	}
	for _, ch := range []chart.Chart{flow, backlog} { // the gap in the middle, and not the beginning
		if len(ch.Bands) != 1 || ch.Bands[0].Class != "nodata" || ch.Bands[0].X != "66.667%" {
			t.Errorf("%s has the gaps %v", ch.Title, ch.Bands)
		}
	}
}

func TestThePanelProposesWhatToDoUntilAnOutageIsOver(t *testing.T) {
	for _, c := range []struct {
		name string
		now  Now
		want bool
	}{
		{"nothing has come in", Now{Totals: &Totals{}}, true},
		{"the first events are delivered", Now{Totals: &Totals{Accepted: 1000, Delivered: 1000}}, true},
		{"more wait", Now{Messages: 10, Totals: &Totals{Accepted: 2000, Delivered: 1000, Retried: 1000}}, true},
		{"all are delivered", Now{Totals: &Totals{Accepted: 2000, Delivered: 2000, Retried: 1000}}, false},
		{"somebody uses it", Now{Totals: &Totals{Accepted: 10_001, Delivered: 10_001}}, false},
		{"it runs elsewhere", Now{}, false},
	} {
		if got := firstRun(&c.now); got != c.want {
			t.Errorf("%s: %v", c.name, got)
		}
	}
}

func TestThePanelSaysThatAnOpenBreakerTriesARequestSoon(t *testing.T) {
	f := demo(outage{})
	c := New(Config{Source: f})
	for mode, want := range map[string]bool{"well": true, "503": false} {
		f.switches = &fakeSwitches{id: mode}
		v := c.switchesNow(seen[Now]{At: time.Now(), Value: Now{BreakerOpen: true}})
		if got := strings.Contains(v.Now, "The circuit breaker is still open"); got != want {
			t.Errorf("%s: it says %q", mode, v.Now)
		}
	}
}

func TestAPausedKeyIsShownAlsoIfNothingHasComeInWithIt(t *testing.T) {
	m := operator.Mark{Since: time.Date(2026, 1, 31, 12, 0, 0, 0, time.UTC), By: "ann"}
	got := WithPaused([]WriteKey{{Name: "web", ID: "0a1b2c3d"}, {Name: "app", ID: "11111111"}},
		operator.Keys{"0a1b2c3d": m, "4e5f6071": m})
	const says = "by hand since 2026-01-31 12:00 UTC by ann"
	if len(got) != 3 || got[0].Paused != says || got[1].Paused != "" || got[2].ID != "4e5f6071" || got[2].Paused != says ||
		got[2].Rate != Unknown {
		t.Errorf("%+v", got)
	}
}
