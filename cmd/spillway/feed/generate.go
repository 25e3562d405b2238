package feed

import (
	"fmt"
	"iter"
	"strconv"
	"time"

	"github.com/google/uuid"
	"github.com/segmentio/analytics-go/v3"

	"github.com/spillwayhq/spillway/shared/publisher"
)

// Generate yields count made-up track events of about 1 KB, as analytics-go would send them: each
// with its own user, id and time.
func Generate(count int) iter.Seq2[Line, error] {
	return func(yield func(Line, error) bool) {
		for i := range count {
			raw, err := madeUp(i, "")
			if !yield(Line{Number: i + 1, Event: raw}, err) || err != nil {
				return
			}
		}
	}
}

// MadeUpLine is a made-up event with that index as a line.
func MadeUpLine(i int, event []byte) (Line, error) {
	raw, err := publisher.NewRaw(event)
	if err != nil {
		return Line{}, fmt.Errorf("made-up event %d: %w", i, err)
	}
	return Line{Number: i + 1, Event: raw}, nil
}

var activities = []string{"Run", "Ride", "Swim", "Hike", "Walk", "Row", "Ski", "Climb"}

// MadeUp returns the made-up event with that index, as JSON. An empty messageID: it gets one of its
// own.
func MadeUp(i int, messageID string) ([]byte, error) {
	raw, err := madeUp(i, messageID)
	return raw.JSON(), err
}

// madeUp writes the event as the publisher does, because encoding/json takes several times as long
// as everything else that happens to an event until it is in the queue.
func madeUp(i int, messageID string) (publisher.Raw, error) {
	activity := activities[i%len(activities)]
	raw, err := publisher.Encode(analytics.Track{
		MessageId: messageID, Timestamp: time.Now().UTC().Truncate(time.Millisecond),
		UserId: "user-" + strconv.Itoa(i*7919%100_000), AnonymousId: uuid.NewString(),
		Event: activity + " Finished",
		Properties: analytics.Properties{
			"activity": activity, "distance_m": 1000 + i%40_000, "duration_s": 300 + i%9000,
			"elevation_m": float64(i%1500) + 0.5,
			"route_id":    fmt.Sprintf("route-%08x", i*31), "device": "watch-" + strconv.Itoa(i%12), "weather": "light rain",
			"shared": i%3 == 0, "session_id": uuid.NewString(),
			"tags": []string{"training", "outdoor", activity},
			"gear": map[string]any{"shoes": "trail " + strconv.Itoa(i%30), "bottle_ml": 500},
			"note": "a made-up event of spillway, to fill the queue with something that looks like the real thing",
		},
		Context: &analytics.Context{
			App: analytics.AppInfo{Name: "Trails", Version: "7.3." + strconv.Itoa(i%40), Build: "20261",
				Namespace: "org.example.trails"},
			Device: analytics.DeviceInfo{Id: fmt.Sprintf("B5372DB0-C21E-11E4-8DFC-%012X", i), Manufacturer: "Example",
				Model: "phone14,2", Type: "ios"},
			Library: analytics.LibraryInfo{Name: "analytics-go", Version: analytics.Version},
			Locale:  "en-GB", Timezone: "Europe/London",
			OS:        analytics.OSInfo{Name: "iOS", Version: "19.1"},
			UserAgent: "Trails/7.3 (iPhone; iOS 19.1; Scale/3.00)",
		},
	})
	if err != nil {
		return raw, fmt.Errorf("make up event %d: %w", i, err)
	}
	return raw, nil
}
