package sdks

import (
	"net/http"
	"slices"
	"testing"

	"github.com/segmentio/analytics-go/v3"
)

// The tests of the single SDKs script the answers; here the ingest endpoint itself refuses the
// requests.

func TestNoSDKLosesAnEventWhileTheQueueIsDown(t *testing.T) {
	t.Parallel()
	for name, send := range map[string]func(*testing.T, *deployment){
		"node":              func(t *testing.T, d *deployment) { runNode(t, d, "ONLY=track", "MAX_RETRIES=0") },
		"browser, standard": func(t *testing.T, d *deployment) { browse(t, d, "next", "standard", "one") },
		"browser, batching": func(t *testing.T, d *deployment) { browse(t, d, "next", "batching", "one") },
		"analytics-go": func(t *testing.T, d *deployment) {
			h := make(callback, 10)
			client := goClient(t, d, h)
			if err := client.Enqueue(analytics.Track{UserId: "u-1", Event: "first"}); err != nil {
				t.Fatal(err)
			}
			if !<-h {
				t.Error("the SDK reports that the event failed")
			}
			if err := client.Close(); err != nil {
				t.Fatal(err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := deploy(t, setup{queueDown: true})
			send(t, d)
			d.Await(t, "a request that is accepted", func() bool { return slices.Contains(statuses(d.sent()), http.StatusOK) })
			sent := d.sent()
			if got := statuses(sent); !slices.Equal(got, []int{429, 200}) || sent[0].RetryAfter == 0 {
				t.Errorf("answers %v, with Retry-After %v", got, sent[0].RetryAfter)
			}
			d.awaitEvents(t, ids(t, sent[0])...)
			if name != "analytics-go" { // it ignores Retry-After
				assertWaited(t, sent)
			}
			for _, id := range ids(t, sent[0]) {
				if n := len(d.Get(id)); n != 1 {
					t.Errorf("%s arrived %d times", id, n)
				}
			}
		})
	}
}

// How long an SDK holds events is the reason to give ingest further queues and a spill directory:
// these give up within seconds, whatever Retry-After says. docs/sdks.md has the times.
func TestSDKsThatGiveUpSoonOn429DoSoAsDocumented(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		sdk   string
		tries int
	}{
		{"analytics-node-1", 4}, {"analytics-node", 4}, {"@customerio/cdp-analytics-node", 4}, {"@rudderstack/rudder-sdk-node", 4},
		{"analytics-next-1.64", 1},
	} {
		t.Run(c.sdk, func(t *testing.T) {
			t.Parallel()
			d := deploy(t, setup{answers: slices.Repeat([]scripted{{http.StatusTooManyRequests, 1}}, 20)})
			if c.sdk == "analytics-next-1.64" {
				b := browse(t, d, "old", "standard", "one")
				first := b.sent[0]
				d.Await(t, "the refusal", func() bool { return len(d.sent()) == 1 })
				b.track(t, "second") // the SDK reports that it has sent the first event, and goes on with the next
				d.Await(t, "the next event", func() bool { return len(d.sent()) == 2 })
				if again := d.sent()[1]; slices.Contains(ids(t, again), first) {
					t.Error("the event was sent again")
				}
				return
			}
			for event, accepted := range runNode(t, d, "SDK="+c.sdk, "ONLY=track") {
				if accepted {
					t.Errorf("the SDK reports that %s is accepted", event)
				}
			}
			sent := d.sent()
			if got := len(sent); got != c.tries {
				t.Errorf("it tried %d times, want %d", got, c.tries)
			}
			t.Logf("it held the event for %v", sent[len(sent)-1].At.Sub(sent[0].At))
		})
	}
}

func TestNodeDropsEventsOfAnUnknownWriteKeyWithoutRetrying(t *testing.T) {
	t.Parallel()
	d := deploy(t, setup{writeKeys: `{"writeKeys":[{"name":"another","writeKey":"another"}]}`})
	for id, delivered := range runNode(t, d) {
		if delivered {
			t.Errorf("the SDK was told that %s is accepted", id)
		}
	}
	if got := statuses(d.sent()); !slices.Equal(got, []int{400}) {
		t.Errorf("answers %v, want one 400", got)
	}
}
