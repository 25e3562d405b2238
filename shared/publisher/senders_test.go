package publisher

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/segmentio/analytics-go/v3"

	"github.com/spillwayhq/spillway/shared/event"
	"github.com/spillwayhq/spillway/shared/heavy"
)

func TestOnceAMinuteAClientWritesWhichEventsItSendsMost(t *testing.T) {
	for _, durability := range []Durability{Memory, Process} {
		config := Config{Durability: durability, WriteKey: "k1", Pipeline: "shop"}
		if durability != Memory {
			config.Dir = t.TempDir()
		}
		synctest.Test(t, func(t *testing.T) {
			var out strings.Builder
			config := config
			config.Metrics = &out
			c := newClient(t, config, &fakeQueue{})
			raw, err := NewRaw([]byte(`{"type":"track","event":"Raw \"one\"","userId":"u"}`))
			if err != nil {
				t.Fatal(err)
			}
			sent := []analytics.Message{
				analytics.Track{UserId: "u", Event: "Run"}, &analytics.Track{UserId: `,"event":"no"`, Event: `Über "x"`},
				analytics.Page{UserId: "u", Name: "Home"}, raw, analytics.Track{UserId: "u", Event: "Run"},
			}
			for _, m := range sent {
				if err := c.Enqueue(m); err != nil {
					t.Error(err)
				}
			}
			if err := c.Publish(t.Context(), analytics.Identify{UserId: "u"},
				analytics.Track{UserId: "u", Event: "Run"}); err != nil {
				t.Error(err)
			}
			if c.Enqueue(analytics.Track{Event: "Of nobody"}) == nil {
				t.Error("an event without a user is accepted")
			}
			time.Sleep(reportInterval + time.Second)
			synctest.Wait()
			var lines []heavy.Line
			for text := range strings.Lines(out.String()) {
				if l, ok := heavy.Parse([]byte(text)); ok {
					lines = append(lines, l)
				}
			}
			if len(lines) != 1 {
				t.Fatalf("%d lines in a minute:\n%s", len(lines), &out)
			}
			var names []string
			for _, e := range lines[0].Heaviest {
				names = append(names, strings.TrimSpace(fmt.Sprint(e.Name, " ", e.Events, " ", e.Code)))
			}
			want := `Run 3, Raw "one" 1, identify 1, page 1, Über "x" 1, Of nobody 1 invalid, ` + event.KeyID("k1") + " 7, " +
				event.KeyID("k1") + " 1 invalid"
			if got := strings.Join(names, ", "); got != want || lines[0].Part != heavy.PartPublisher ||
				lines[0].Pipeline != "shop" {
				t.Errorf("durability %d: the line has\n%s, want\n%s", durability, got, want)
			}
			out.Reset()
			if err := c.Close(); err != nil || strings.Contains(out.String(), heavy.Message) {
				t.Errorf("%v; what was written is written again: %s", err, &out)
			}
		})
	}
}
