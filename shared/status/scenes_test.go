package status_test

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/spillwayhq/spillway/shared/status"
)

// A scene is a site in a state that a customer may see.
type scene struct {
	name   string
	site   status.Site
	doc    status.Document
	months []status.Month
}

var scenesNow = at("2026-11-27 14:12:08")

// scenes are the states of which the pages are looked at.
func scenes() []scene {
	site := status.Site{Title: "Example Events", URL: "https://status.example.com", Links: []status.Link{
		{Text: "Documentation", URL: "https://docs.example.com"}, {Text: "Contact", URL: "mailto:support@example.com"},
	}}
	calm, _ := play(history(), scenesNow.Add(-4*time.Hour), step{241, status.Up, status.Up})

	outage, _ := play(history(), scenesNow.Add(-84*time.Minute), step{43, status.Up, status.Up},
		step{5, status.Up, status.Slow},
		step{37, status.Up, status.Down})
	must(outage.Update(outage.Incidents[0].ID, status.Message{
		Text: "Segment answers with errors to all our calls, which its own status site confirms: " +
			"https://status.segment.com/.\n\n" +
			"Your events wait in our queue and are delivered when Segment is back. You need do nothing.",
		Phase: status.Identified,
	}, scenesNow.Add(-20*time.Minute)))

	recovery, _ := play(history(), scenesNow.Add(-90*time.Minute), step{30, status.Up, status.Up},
		step{37, status.Up, status.Down},
		step{20, status.Up, status.Slow}, step{4, status.Up, status.Up})

	work := history()
	must(work.Schedule(status.Work{
		Title:      "Move of the European region's queue",
		Text:       "Events are accepted all the time. Delivery may be late by up to 15 minutes.",
		Components: []string{"delivery"}, From: scenesNow.Add(-12 * time.Minute), Until: scenesNow.Add(50 * time.Minute),
	}, scenesNow.Add(-49*time.Hour)))
	must(work.Schedule(status.Work{
		Title: "Yearly test of a region's loss", From: at("2026-12-03 09:00:00"), Until: at("2026-12-03 11:00:00"),
	}, scenesNow.Add(-24*time.Hour)))
	work, _ = play(work, scenesNow.Add(-60*time.Minute), step{50, status.Up, status.Up}, step{11, status.Up, status.Slow})

	two, _ := playTwo(history())
	return []scene{
		{"calm", site, calm, nil}, {"outage", site, outage, nil}, {"recovery", site, recovery, nil},
		{"maintenance", site, work, []status.Month{status.Archive(status.Month{Month: "2026-11"}, work)}},
		{"regions", status.Site{Title: "Example Events",
			Regions: map[string]string{"us-east-1": "United States", "eu-west-1": "Europe"}}, two, nil},
		{"new", status.Site{}, status.New(), nil},
	}
}

// history is a document with 90 days of which some were not as usual.
func history() status.Document {
	d, _ := play(status.New(), scenesNow.Add(-5*time.Hour), step{1, status.Up, status.Up})
	d.Months = []string{"2026-11", "2026-10", "2026-09"}
	for i := range d.Components {
		c := &d.Components[i]
		c.Days = nil
		for back := 80; back >= 0; back-- {
			day := status.Day{Date: scenesNow.AddDate(0, 0, -back).Format("2006-01-02")}
			rest := 24 * 60 * 60
			if back == 0 {
				rest = 9*60*60 + 12*60 + 8
			}
			switch {
			case c.Part == status.Delivery && back == 41:
				day.Outage, day.Degraded = 252*60, 31*60
			case c.Part == status.Delivery && (back == 63 || back == 12):
				day.Degraded = 26 * 60
			case back == 27:
				day.Maintenance = 3600
			case back == 55:
				day.Unknown = rest
			case c.Part == status.Ingest && back == 41:
				day.Outage = 7 * 60
			}
			day.Operational = rest - day.Outage - day.Degraded - day.Maintenance - day.Unknown
			c.Days = append(c.Days, day)
		}
	}
	began := scenesNow.AddDate(0, 0, -12).Truncate(24 * time.Hour).Add(9*time.Hour + 4*time.Minute)
	d, _ = playFrom(d, began)
	return d
}

// playFrom puts an incident of the past into a document, as it went at that time.
func playFrom(d status.Document, began time.Time) (status.Document, time.Time) {
	past, now := play(status.New(), began.Add(-2*time.Minute), step{2, status.Up, status.Up},
		step{12, status.Up, status.Slow})
	must(past.Update(past.Incidents[0].ID, status.Message{Title: "Delivery was late after a deployment",
		Text:  "Our function for delivery started slowly after a deployment. The version before is back.",
		Phase: status.Identified}, now))
	past, now = play(past, now, step{14, status.Up, status.Slow}, step{11, status.Up, status.Up})
	d.Incidents = past.Incidents
	return d, now
}

// playTwo plays two regions of which one does not accept events.
func playTwo(d status.Document) (status.Document, time.Time) {
	now := scenesNow.Add(-30 * time.Minute)
	for n := range 31 {
		age, canary := time.Duration(3)*time.Second, 41*time.Second
		us := status.Region{Name: "us-east-1", Ingest: status.Up, Delivery: status.Up, Oldest: &age, CanaryAge: &canary}
		eu := status.Region{Name: "eu-west-1", Ingest: status.Up, Delivery: status.Up, Oldest: &age}
		if n > 11 {
			eu.Ingest, eu.Delivery = status.Down, status.Unknown
		}
		d = status.Observe(d, status.Observation{Writer: "eu-central-1", Regions: []status.Region{us, eu}}, now)
		now = now.Add(time.Minute)
	}
	return d, now
}

func must[T any](_ T, err error) {
	if err != nil {
		panic(fmt.Sprintf("make a scene: %v", err))
	}
}

var update = flag.Bool("update", false, "write testdata/outage.json anew: only for a new version of the document")

// A document of each version that was ever written is read for ever. The documentation's picture is
// made of it.
func TestADocumentOfTheFirstVersionIsReadForEver(t *testing.T) {
	file := filepath.Join("testdata", "outage.json")
	if *update {
		d := scenes()[1].doc
		if err := os.WriteFile(file, d.Encode(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	d, err := status.Parse(data)
	if err != nil {
		t.Fatal(err)
	}
	if string(d.Encode()) != string(data) {
		t.Errorf("it is not written as it was read:\n%s", d.Encode())
	}
	if title, text := d.Headline(status.Site{}); title != "Events are not delivered" ||
		text != "Events are accepted and safe. The oldest has waited for 42 minutes." {
		t.Errorf("it says %q, %q", title, text)
	}
}
