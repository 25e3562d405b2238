package status_test

import (
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
	if i.ID != "20261127-1305-delivery" || i.Impact != status.Minor || !i.Open() || !i.StartedAt.Equal(at("2026-11-27 13:05:00")) {
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
