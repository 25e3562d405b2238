package flush

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/segmentio/analytics-go/v3"

	"github.com/spillwayhq/spillway/integration/peers/peer"
)

func TestAnEventIsStillTheSameWhenAnalyticsGoHasDecodedIt(t *testing.T) {
	event, err := peer.Event(7)
	if err != nil {
		t.Fatal(err)
	}
	track, err := Decode(event)
	if err != nil {
		t.Fatal(err)
	}
	again, err := json.Marshal(track)
	if err != nil {
		t.Fatal(err)
	}
	var before, after any
	_ = json.Unmarshal(event, &before)
	_ = json.Unmarshal(again, &after)
	if !reflect.DeepEqual(before, after) {
		t.Errorf("it was\n%s\nand is\n%s", event, again)
	}
	if _, err := Decode([]byte(`[`)); err == nil {
		t.Error("what is no event was decoded")
	}
}

func TestAndCloseSaysWhetherSegmentTookTheEvents(t *testing.T) {
	status, received := http.StatusOK, ""
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		received = string(body)
		w.WriteHeader(status)
	}))
	defer server.Close()
	tracks := []analytics.Track{{UserId: "u", Event: "A", MessageId: "m-1"}, {UserId: "u", Event: "B", MessageId: "m-2"}}
	if err := AndClose(server.URL, tracks...); err != nil {
		t.Error(err)
	}
	if !strings.Contains(received, "m-1") || !strings.Contains(received, "m-2") {
		t.Errorf("Segment received %s", received)
	}
	status = http.StatusServiceUnavailable
	if err := AndClose(server.URL, tracks...); err == nil || !strings.Contains(err.Error(), "503") {
		t.Errorf("with Segment answering 503 it returned %v", err)
	}
	if err := AndClose(server.URL, analytics.Track{MessageId: "m-3"}); err == nil || !strings.Contains(err.Error(), "m-3") {
		t.Errorf("an event without a name: %v", err)
	}
}

// posted is a transport that counts the events of each request.
type posted struct {
	mu      sync.Mutex
	batches []int
}

func (p *posted) RoundTrip(r *http.Request) (*http.Response, error) {
	body, _ := io.ReadAll(r.Body)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.batches = append(p.batches, strings.Count(string(body), `"track"`))
	return &http.Response{StatusCode: http.StatusOK, Body: http.NoBody, Request: r}, nil
}

func TestTenThatWaitForABatchOfTwentyWaitForTenSeconds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var segment posted
		b, err := newBuffered("http://segment", &segment)
		if err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		var sending sync.WaitGroup
		for i := range 10 {
			sending.Go(func() {
				if err := b.Send(analytics.Track{UserId: "u", Event: "A", MessageId: string(rune('a' + i))}); err != nil {
					t.Error(err)
				}
			})
		}
		sending.Wait()
		if took := time.Since(began); took != Interval || !reflect.DeepEqual(segment.batches, []int{10}) {
			t.Errorf("it took %v and sent batches of %v events", took, segment.batches)
		}
		if err := b.Close(); err != nil {
			t.Error(err)
		}
		if err := b.Send(analytics.Track{UserId: "u", Event: "A", MessageId: "late"}); err == nil {
			t.Error("an event was sent after Close")
		}
	})
}
