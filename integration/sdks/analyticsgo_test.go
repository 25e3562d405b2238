package sdks

import (
	"io"
	"log"
	"net/http"
	"slices"
	"testing"
	"time"

	"github.com/segmentio/analytics-go/v3"
)

// callback is an analytics.Callback: it gets true for each delivered event, false for each failed
// one.
type callback chan bool

func (h callback) Success(analytics.Message) { h <- true }

func (h callback) Failure(analytics.Message, error) { h <- false }

// goClient returns analytics-go with its Endpoint set; the other settings do not change what it
// sends.
func goClient(t *testing.T, d *deployment, h callback) analytics.Client {
	t.Helper()
	transport := &http.Transport{}
	t.Cleanup(transport.CloseIdleConnections)
	client, err := analytics.NewWithConfig(writeKey, analytics.Config{
		Endpoint: d.URL, Callback: h, Transport: transport, Interval: 10 * time.Millisecond,
		Logger: analytics.StdLogger(log.New(io.Discard, "", 0)),
		DefaultContext: &analytics.Context{App: analytics.AppInfo{Name: "shop", Version: "3.2"},
			Extra: map[string]any{"region": "eu"}},
		// The default waits up to 10 s, which this test does not need.
		RetryAfter: func(int) time.Duration { return 20 * time.Millisecond },
	})
	if err != nil {
		t.Fatal(err)
	}
	return client
}

func TestAnalyticsGoEventsOfEveryTypeArriveWithAllFields(t *testing.T) {
	t.Parallel()
	d, h := deploy(t, setup{}), make(callback, 10)
	client := goClient(t, d, h)
	for _, m := range []analytics.Message{
		analytics.Identify{UserId: "u-1",
			Traits: analytics.NewTraits().SetEmail("a@b.co").Set("vip", false).Set("since", time.Unix(0, 0))},
		analytics.Track{
			UserId: "u-1", Event: "Order Completed", Timestamp: time.Now().Add(-time.Hour),
			Properties: analytics.NewProperties().SetRevenue(1299.5).Set("big", int64(9007199254740993)).Set("note",
				"Grüezi 🎿 <b>"),
			Integrations: analytics.NewIntegrations().EnableAll().Disable("Mixpanel"),
			Context:      &analytics.Context{Campaign: analytics.CampaignInfo{Name: "spring"}},
		},
		analytics.Page{AnonymousId: "a-1", Name: "Intro",
			Properties: analytics.NewProperties().SetURL("https://acme.example/?q=1&r=2")},
		analytics.Screen{AnonymousId: "a-1", Name: "Cart"},
		analytics.Group{UserId: "u-1", GroupId: "g-1", Traits: analytics.NewTraits().SetName("Acme")},
		analytics.Alias{UserId: "u-2", PreviousId: "u-1"},
	} {
		if err := client.Enqueue(m); err != nil {
			t.Fatal(err)
		}
	}
	if err := client.Close(); err != nil {
		t.Fatal(err)
	}
	all := assertAllArrived(t, d, "/v1/batch", enriched{}, "identify", "track", "page", "screen", "group", "alias")
	close(h)
	told := 0
	for ok := range h {
		if told++; !ok {
			t.Error("the SDK reports that an event failed")
		}
	}
	if told != 6 || len(all) != 6 {
		t.Errorf("the SDK reports %d events, %d were sent", told, len(all))
	}
	for _, r := range d.sent() {
		context := decode(t, r.Body)["context"].(object)
		for _, id := range ids(t, r) {
			assertHas(t, decode(t, d.Get(id)[0].Merged())["context"].(object), context)
		}
	}
}

func TestAnalyticsGoRetriesWhateverTheStatus(t *testing.T) {
	t.Parallel()
	ten := make([]scripted, 10)
	tenTimes := make([]int, 10)
	for i := range ten {
		ten[i], tenTimes[i] = scripted{400, 0}, 400
	}
	for _, c := range []struct {
		name    string
		answers []scripted
		want    []int
	}{
		{"429", []scripted{{429, 1}, {429, 1}}, []int{429, 429, 200}},
		{"503", []scripted{{503, 0}}, []int{503, 200}},
		// No answer is final for this SDK, so an invalid request is sent ten times.
		{"400", ten, tenTimes},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			d, h := deploy(t, setup{answers: c.answers}), make(callback, 10)
			client := goClient(t, d, h)
			if err := client.Enqueue(analytics.Track{UserId: "u-1", Event: "first"}); err != nil {
				t.Fatal(err)
			}
			// Before Close, which drops what has not been accepted.
			accepted := <-h
			if err := client.Close(); err != nil {
				t.Fatal(err)
			}
			sent := d.sent()
			if got := statuses(sent); !slices.Equal(got, c.want) {
				t.Fatalf("it was answered %v, want %v", got, c.want)
			}
			if accepted != (c.want[len(c.want)-1] == http.StatusOK) {
				t.Errorf("the SDK reports accepted: %v", accepted)
			}
			if accepted {
				d.awaitEvents(t, ids(t, sent[0])...)
			}
			if n := len(d.Get(ids(t, sent[0])[0])); (n == 1) != accepted {
				t.Errorf("it arrived %d times", n)
			}
		})
	}
}
