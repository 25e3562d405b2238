package status_test

import (
	"slices"
	"testing"
	"time"

	"github.com/spillwayhq/spillway/shared/status"
)

func at(text string) time.Time {
	t, err := time.Parse("2006-01-02 15:04:05", text)
	if err != nil {
		panic(err)
	}
	return t
}

// look is an observation of one region, and age that of its oldest event.
func look(t time.Time, ingest, delivery status.Sight, age time.Duration) status.Observation {
	return status.Observation{At: t, Writer: "eu-west-1", Regions: []status.Region{
		{Name: "us-east-1", Ingest: ingest, Delivery: delivery, Oldest: &age},
	}}
}

// play observes once a minute, and for each step as long as it says.
type step struct {
	minutes          int
	ingest, delivery status.Sight
}

func play(d status.Document, from time.Time, steps ...step) (status.Document, time.Time) {
	age := time.Duration(0)
	for _, s := range steps {
		for range s.minutes {
			age += time.Minute
			if s.delivery == status.Up {
				age = 2 * time.Second
			}
			d = status.Observe(d, look(from, s.ingest, s.delivery, age), from)
			from = from.Add(time.Minute)
		}
	}
	return d, from
}

func TestAnIncidentOpensAfterAMinuteAndClosesTenMinutesAfterRecovery(t *testing.T) {
	start := at("2026-11-27 13:00:00")
	d, now := play(status.New(), start, step{5, status.Up, status.Up}, step{1, status.Up, status.Slow})
	if len(d.Incidents) != 0 {
		t.Fatalf("one look has opened %+v", d.Incidents)
	}
	d, now = play(d, now, step{12, status.Up, status.Slow})
	if len(d.Incidents) != 1 {
		t.Fatalf("there are %d incidents, want 1", len(d.Incidents))
	}
	i := d.Incidents[0]
	if i.ID != "20261127-1305-delivery" || i.Impact != status.Minor || !i.Open() ||
		!i.StartedAt.Equal(at("2026-11-27 13:05:00")) {
		t.Errorf("the incident is %+v", i)
	}
	d, now = play(d, now, step{10, status.Up, status.Up})
	if i := d.Incidents[0]; !i.Open() || i.Phase != status.Monitoring {
		t.Errorf("nine minutes after its recovery it is %s", i.Phase)
	}
	d, _ = play(d, now, step{1, status.Up, status.Up})
	i = d.Incidents[0]
	if i.Open() || !i.EndedAt.Equal(at("2026-11-27 13:18:00")) || !i.ResolvedAt.Equal(at("2026-11-27 13:28:00")) {
		t.Errorf("ten minutes after its recovery it is %+v", i)
	}
	if got := i.Updates[len(i.Updates)-1].Text; got != "Events are delivered as usual again, after 13 minutes." {
		t.Errorf("the last update is %q", got)
	}
}

func texts(i status.Incident) (all []string) {
	for _, u := range i.Updates {
		all = append(all, u.Text)
	}
	return all
}

func wantTexts(t *testing.T, i status.Incident, want ...string) {
	t.Helper()
	if got := texts(i); !slices.Equal(got, want) {
		t.Errorf("the updates are\n%q, want\n%q", got, want)
	}
}

var noon = at("2026-11-27 12:00:00")

func TestOneLookThatFailsOpensNoIncident(t *testing.T) {
	d, now := play(status.New(), noon, step{3, status.Up, status.Up})
	for range 20 {
		d, now = play(d, now, step{1, status.Down, status.Down}, step{1, status.Up, status.Up})
	}
	if len(d.Incidents) != 0 {
		t.Errorf("there are %d incidents", len(d.Incidents))
	}
}

func TestAnIncidentSaysWhatCustomersShouldKnow(t *testing.T) {
	d, _ := play(status.New(), noon, step{2, status.Up, status.Up}, step{13, status.Up, status.Slow},
		step{15, status.Up, status.Down},
		step{12, status.Up, status.Slow}, step{11, status.Up, status.Up})
	if len(d.Incidents) != 1 {
		t.Fatalf("there are %d incidents, want 1", len(d.Incidents))
	}
	i := d.Incidents[0]
	wantTexts(t, i, "Events are accepted and safe; delivery is delayed by 2 minutes.",
		"Events are accepted and safe. None are delivered at present. The oldest has waited for 14 minutes.",
		"Events are accepted and safe; delivery is delayed by 34 minutes.",
		"Events are delivered as usual again, after 40 minutes.")
	if i.Title != "Events are not delivered" || i.Impact != status.Major {
		t.Errorf("it is %q with impact %s: it must be the worst that it had", i.Title, i.Impact)
	}
}

func TestEventsAreCalledSafeOnlyWhereTheyAreAccepted(t *testing.T) {
	d, _ := play(status.New(), noon, step{3, status.Down, status.Down})
	if len(d.Incidents) != 2 {
		t.Fatalf("there are %d incidents, want one of each part", len(d.Incidents))
	}
	for _, i := range d.Incidents {
		if i.Part == status.Delivery {
			wantTexts(t, i, "Events that were accepted are safe. None are delivered at present. The oldest has waited for "+
				"2 minutes.")
		}
	}
}

func TestEventsAreNotCalledAcceptedWhereNobodySeesIt(t *testing.T) {
	d := status.Observe(status.New(), look(noon, status.Unknown, status.Down, 0), noon)
	if _, text := d.Headline(status.Site{}); text != "Events that were accepted are safe." {
		t.Errorf("it says %q", text)
	}
}

func TestACompositeAlarmTellsTheStateWhateverElseIsSeen(t *testing.T) {
	o := look(noon, status.Up, status.Up, 0)
	o.Regions[0].Alarms = []string{"spillway-delivery-slow", "spillway-ingest-down", "spillway-dead-letters"}
	d := status.Observe(status.New(), o, noon)
	if got := d.Component("ingest-us-east-1").State; got != status.Outage {
		t.Errorf("ingest is %s", got)
	}
	if got := d.Component("delivery-us-east-1").State; got != status.Degraded {
		t.Errorf("delivery is %s", got)
	}
}

func TestAFailureSoonAfterTheEndOpensTheSameIncidentAgain(t *testing.T) {
	d, now := play(status.New(), noon, step{5, status.Up, status.Slow}, step{11, status.Up, status.Up})
	if d.Incidents[0].Open() {
		t.Fatal("it did not close")
	}
	d, now = play(d, now, step{20, status.Up, status.Up}, step{2, status.Up, status.Slow})
	if len(d.Incidents) != 1 || !d.Incidents[0].Open() || !d.Incidents[0].EndedAt.IsZero() {
		t.Fatalf("20 minutes later there are %+v", d.Incidents)
	}
	d, now = play(d, now, step{11, status.Up, status.Up}, step{31, status.Up, status.Up}, step{2, status.Up, status.Slow})
	if len(d.Incidents) != 2 || !d.Incidents[0].Open() || d.Incidents[1].Open() {
		t.Fatalf("31 minutes later there are %+v, want another one", d.Incidents)
	}
	// What flaps for more than a day is another incident each day.
	for range 100 {
		d, now = play(d, now, step{12, status.Up, status.Up}, step{3, status.Up, status.Slow})
	}
	if len(d.Incidents) != 3 {
		t.Errorf("after 25 hours of flapping there are %d incidents", len(d.Incidents))
	}
}

func TestAnIncidentStaysOpenWhileNothingIsKnown(t *testing.T) {
	d, now := play(status.New(), noon, step{5, status.Up, status.Down}, step{60, status.Unknown, status.Unknown},
		step{5, status.Up, status.Up})
	if !d.Incidents[0].Open() {
		t.Fatal("it closed after 5 minutes up: what is unknown is not up")
	}
	d, _ = play(d, now.Add(time.Hour), step{10, status.Up, status.Up}) // an hour in which nobody looked
	if !d.Incidents[0].Open() {
		t.Error("it closed although nobody looked for an hour")
	}
}

func TestAnOperatorsTextIsNeverOverwritten(t *testing.T) {
	d, now := play(status.New(), noon, step{5, status.Up, status.Slow})
	id := d.Incidents[0].ID
	update := status.Message{Title: "Segment is slow", Text: "We know.", Impact: status.NoImpact, Phase: status.Identified}
	if _, err := d.Update(id, update, now); err != nil {
		t.Fatal(err)
	}
	d, now = play(d, now, step{20, status.Up, status.Down}, step{8, status.Up, status.Slow})
	i := d.Incidents[0]
	if i.Title != update.Title || i.Impact != status.NoImpact || i.Phase != status.Identified {
		t.Errorf("it is %q, %s, %s", i.Title, i.Impact, i.Phase)
	}
	wantTexts(t, i, "Events are accepted and safe; delivery is delayed by 2 minutes.", "We know.")
	d, _ = play(d, now, step{11, status.Up, status.Up})
	if i = d.Incidents[0]; i.Open() || i.Updates[1].Text != "We know." || i.Updates[1].By != status.Operator {
		t.Errorf("it does not close by itself: %+v", i)
	}
}

func TestAnIncidentKeepsOpenWhileAnOperatorSaysSo(t *testing.T) {
	d, now := play(status.New(), noon, step{5, status.Up, status.Slow})
	yes, no := true, false
	if _, err := d.Update(d.Incidents[0].ID, status.Message{KeepOpen: &yes}, now); err != nil {
		t.Fatal(err)
	}
	d, now = play(d, now, step{60, status.Up, status.Up})
	if !d.Incidents[0].Open() {
		t.Fatal("it closed")
	}
	if _, err := d.Update(d.Incidents[0].ID, status.Message{KeepOpen: &no}, now); err != nil {
		t.Fatal(err)
	}
	if d, _ = play(d, now, step{1, status.Up, status.Up}); d.Incidents[0].Open() {
		t.Error("it did not close when it was let go")
	}
}

func TestWhatAnOperatorResolvesStaysResolvedUntilItHasRecovered(t *testing.T) {
	d, now := play(status.New(), noon, step{5, status.Up, status.Slow})
	if _, err := d.Resolve(d.Incidents[0].ID, status.Message{Text: "This is no incident."}, now); err != nil {
		t.Fatal(err)
	}
	d, now = play(d, now, step{30, status.Up, status.Slow}, step{5, status.Up, status.Up}, step{5, status.Up, status.Slow})
	if len(d.Incidents) != 1 || d.Incidents[0].Open() {
		t.Fatalf("there are %+v", d.Incidents)
	}
	if got := d.Component("delivery-us-east-1").State; got != status.Degraded {
		t.Errorf("the component is %s: its state is shown all the same", got)
	}
	d, _ = play(d, now, step{11, status.Up, status.Up}, step{3, status.Up, status.Slow})
	if len(d.Incidents) != 2 || !d.Incidents[0].Open() {
		t.Errorf("after it has recovered there are %+v, want another one", d.Incidents)
	}
}

func TestAnOperatorsIncidentStandsInForAnAutomaticOne(t *testing.T) {
	d, now := play(status.New(), noon, step{2, status.Up, status.Up})
	if _, err := d.Post(status.Message{Title: "Late", Text: "Soon.", Components: []string{"delivery"}}, now); err != nil {
		t.Fatal(err)
	}
	d, now = play(d, now, step{5, status.Down, status.Slow}, step{30, status.Up, status.Up})
	if len(d.Incidents) != 2 || d.Incidents[0].Part != status.Ingest || d.Incidents[1].Part != "" ||
		!d.Incidents[1].Open() {
		t.Errorf("there are %+v, want the operator's, open, and one of ingest", d.Incidents)
	}
	_ = now
}

func TestAlarmsDuringMaintenanceOpenNoIncidentForItsComponents(t *testing.T) {
	d, now := play(status.New(), noon, step{2, status.Up, status.Up})
	m, err := d.Schedule(status.Work{Title: "Move", From: now.Add(time.Minute), Until: now.Add(31 * time.Minute),
		Components: []string{"delivery"}}, now)
	if err != nil {
		t.Fatal(err)
	}
	phase := func() status.Phase { return d.Maintenances[0].Phase }
	if phase() != status.Scheduled {
		t.Errorf("it is %s", phase())
	}
	d, now = play(d, now, step{1, status.Up, status.Up}, step{20, status.Down, status.Down})
	if phase() != status.InProgress || d.Component("delivery-us-east-1").State != status.UnderMaintenance {
		t.Errorf("it is %s, and its component %s", phase(), d.Component("delivery-us-east-1").State)
	}
	if len(d.Incidents) != 1 || d.Incidents[0].Part != status.Ingest {
		t.Fatalf("there are %+v, want one of ingest only", d.Incidents)
	}
	d, now = play(d, now, step{15, status.Up, status.Down})
	if phase() != status.Completed || len(d.Incidents) != 2 || !d.Incidents[0].StartedAt.Equal(m.Until) {
		t.Errorf("after its end it is %s, and there are %+v", phase(), d.Incidents)
	}
	day := d.Component("delivery-us-east-1").Days[0]
	if day.Maintenance != 30*60 || day.Outage != 4*60 {
		t.Errorf("the day is %+v, want 30 minutes of maintenance", day)
	}
	_ = now
}

func TestAMaintenanceIsCanceledOrEndedEarly(t *testing.T) {
	d, now := play(status.New(), noon, step{2, status.Up, status.Up})
	work := status.Work{Title: "Move", From: now.Add(time.Hour), Until: now.Add(2 * time.Hour)}
	m, err := d.Schedule(work, now)
	if err != nil {
		t.Fatal(err)
	}
	if m, err = d.EndMaintenance(m.ID, "", now); err != nil || !m.Canceled || m.Phase != status.Completed {
		t.Fatalf("%+v, %v", m, err)
	}
	work.Title, work.From = "Another", now
	m, err = d.Schedule(work, now)
	if err != nil || m.Phase != status.InProgress {
		t.Fatalf("what begins now is %s: %v", m.Phase, err)
	}
	d, now = play(d, now, step{10, status.Up, status.Down})
	if m, err = d.EndMaintenance(m.ID, "", now); err != nil || m.Canceled || !m.Until.Equal(now) {
		t.Errorf("%+v, %v", m, err)
	}
	if _, err = d.EndMaintenance(m.ID, "", now); err == nil {
		t.Error("it was ended twice")
	}
}

func TestTwoWritersShowTheWorseOfWhatTheyKnow(t *testing.T) {
	by := func(writer string, t time.Time, s status.Sight) status.Observation {
		o := look(t, status.Up, s, time.Minute)
		o.Writer = writer
		return o
	}
	state := func(d status.Document) status.State { return d.Component("delivery-us-east-1").State }
	d := status.Observe(status.New(), by("a", noon, status.Unknown), noon)
	if state(d) != status.NotKnown {
		t.Errorf("one that sees nothing: %s", state(d))
	}
	d = status.Observe(d, by("b", noon.Add(20*time.Second), status.Slow), noon.Add(20*time.Second))
	d = status.Observe(d, by("a", noon.Add(60*time.Second), status.Unknown), noon.Add(60*time.Second))
	if state(d) != status.Degraded {
		t.Errorf("one that sees nothing hides what the other sees: %s", state(d))
	}
	d = status.Observe(d, by("a", noon.Add(4*time.Minute), status.Up), noon.Add(4*time.Minute))
	if state(d) != status.Operational {
		t.Errorf("one that has not looked for 3 minutes counts: %s", state(d))
	}
}

func TestADocumentFromTheFutureGoesOnAtThePresent(t *testing.T) {
	d, _ := play(status.New(), noon.AddDate(10, 0, 0), step{3, status.Up, status.Down})
	d, now := play(d, noon, step{14, status.Up, status.Up})
	if got := d.ObservedAt; !got.Equal(now.Add(-time.Minute)) {
		t.Errorf("it was observed at %v", got)
	}
	if d.Component("delivery-us-east-1").State != status.Operational || d.Incidents[0].Open() {
		t.Errorf("it is %+v", d)
	}
	if i, days := d.Incidents[0], d.Component("delivery-us-east-1").Days; i.StartedAt.After(now) ||
		days[len(days)-1].Date != "2026-11-27" {
		t.Errorf("the incident is %+v, the days %+v", i, days)
	}
	// A clock that is a little ahead stops nothing either.
	d = status.Observe(d, look(now.Add(2*time.Minute), status.Up, status.Down, 0), now.Add(2*time.Minute))
	if d = status.Observe(d, look(now, status.Up, status.Up, 0), now); d.ObservedAt.Before(now) {
		t.Errorf("it was observed at %v", d.ObservedAt)
	}
}

func TestARegionThatNobodyNamesAnyMoreLeavesThePage(t *testing.T) {
	d, now := play(status.New(), noon, step{2, status.Up, status.Down})
	o := look(now, status.Up, status.Up, 0)
	o.Regions[0].Name = "eu-west-1"
	for range 25 {
		o.At = now
		d = status.Observe(d, o, now)
		now = now.Add(time.Hour)
	}
	if len(d.Components) != 2 || d.Components[0].Region != "eu-west-1" {
		t.Errorf("there are %+v", d.Components)
	}
}

func TestAPipelineWithoutIngestHasNoSuchComponent(t *testing.T) {
	d := status.Observe(status.New(), look(noon, "", status.Up, 0), noon)
	if len(d.Components) != 1 || d.Components[0].Part != status.Delivery {
		t.Errorf("there are %+v", d.Components)
	}
}

func TestTheHeadlineSaysWhatIsWorstForCustomers(t *testing.T) {
	for _, c := range []struct {
		ingest, delivery status.Sight
		want             string
	}{
		{status.Up, status.Up, "All systems operational"}, {status.Down, status.Down, "Events are not accepted"},
		{status.Up, status.Down, "Events are not delivered"}, {status.Slow, status.Slow, "Some events are refused"},
		{status.Up, status.Slow, "Delivery is delayed"}, {status.Unknown, status.Unknown, "The state is not known"},
		{status.Up, status.Unknown, "The state of delivery is not known"},
		{status.Unknown, status.Up, "The state of ingest is not known"},
		{"", status.Unknown, "The state is not known"}, {"", status.Up, "All systems operational"},
		{status.Unknown, status.Down, "Events are not delivered"},
	} {
		d := status.Observe(status.New(), look(noon, c.ingest, c.delivery, 0), noon)
		if got, _ := d.Headline(status.Site{}); got != c.want {
			t.Errorf("ingest %q, delivery %q: it says %q, want %q", c.ingest, c.delivery, got, c.want)
		}
	}
}
