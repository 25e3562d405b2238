package publishing

import (
	"errors"
	"fmt"
	"log/slog"
	"testing"
	"time"

	"github.com/segmentio/analytics-go/v3"

	"github.com/spillwayhq/spillway/infra/local"
	"github.com/spillwayhq/spillway/integration/testutil/localtest"
	"github.com/spillwayhq/spillway/shared/publisher"
)

// typical returns a track with 10 properties and a Context, about 1 KB.
func typical(i int) analytics.Track {
	return analytics.Track{
		UserId: fmt.Sprint("user-", i%10_000), Event: "Run Finished",
		Properties: analytics.Properties{
			"activity": "Run", "distance_m": 1000 + i%40_000, "duration_s": 3021, "elevation_m": 84.5,
			"route_id": fmt.Sprintf("route-%08x", i*31), "device": "watch-7",
			"weather": "light rain", "shared": true, "tags": []string{"training", "outdoor", "morning"},
			"gear": map[string]any{"shoes": "trail 12", "bottle_ml": 500},
		},
		Context: &analytics.Context{
			App: analytics.AppInfo{Name: "Trails", Version: "7.3.1", Build: "20261", Namespace: "org.example.trails"},
			Device: analytics.DeviceInfo{Id: fmt.Sprintf("B5372DB0-C21E-11E4-8DFC-%012X", i), Manufacturer: "Example",
				Model: "phone14,2", Type: "ios"},
			Locale: "en-GB", Timezone: "Europe/London", OS: analytics.OSInfo{Name: "iOS", Version: "19.1"},
			UserAgent: "Trails/7.3 (iPhone; iOS 19.1; Scale/3.00)",
		},
	}
}

// BenchmarkPublish sends events over HTTP to the SQS emulator, which runs in the same process and
// writes them to disk before it answers. An event counts when the emulator has confirmed it.
func BenchmarkPublish(b *testing.B) {
	server, endpoint := localtest.SQS(b)
	if _, err := server.CreateQueue("events", nil); err != nil {
		b.Fatal(err)
	}
	client, err := publisher.New(b.Context(),
		publisher.Config{QueueURL: local.QueueURL(endpoint, "events"), Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		b.Fatal(err)
	}
	b.ResetTimer()
	for i := range b.N {
		for err := client.Enqueue(typical(i)); err != nil; err = client.Enqueue(typical(i)) {
			if !errors.Is(err, publisher.ErrFull) {
				b.Fatal(err)
			}
			time.Sleep(time.Millisecond) // enqueued faster than the emulator takes events
		}
	}
	if err := client.Close(); err != nil {
		b.Fatal(err)
	}
	if n := client.Stats().Published; n != int64(b.N) {
		b.Fatalf("%d of %d events were published", n, b.N)
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "events/s")
}
