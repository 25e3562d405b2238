package local

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/spillwayhq/spillway/infra/local/segmentd"
	"github.com/spillwayhq/spillway/shared/canary"
)

func TestTheCanaryArrivesAndIsInNoOtherNumber(t *testing.T) {
	t.Parallel()
	arrived := make(chan string, 10)
	p, err := Start(Config{
		Dir: t.TempDir(), SQSAddr: "127.0.0.1:0", IngestAddr: "127.0.0.1:0", SegmentAddr: "127.0.0.1:0", Canary: true,
		OnEvent: func(e segmentd.Received) { arrived <- e.MessageID },
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() {
		if err := p.Run(ctx); err != nil {
			t.Error(err)
		}
	})
	defer func() { cancel(); running.Wait() }()
	if !p.Status().Canary.On {
		t.Error("there is no canary")
	}
	track(ctx, t, p)
	patience := time.After(90 * time.Second)
	look := time.NewTicker(10 * time.Millisecond)
	defer look.Stop()
	for s := p.Status(); s.Canary.At.IsZero() || s.Delivered == 0; s = p.Status() {
		select {
		case <-look.C:
		case <-patience:
			t.Fatalf("the canary has not arrived: %+v", s)
		}
	}
	cancel()
	running.Wait()
	if s := p.Status(); s.Accepted != 1 || s.Delivered != 1 || s.Backlog != 0 || s.BacklogEvents != 0 || s.Degraded != "" ||
		s.Canary.Failure != "" {
		t.Errorf("%+v", s)
	}
	if got := p.Segmentd().Stats().Received; got != 1 || <-arrived != "m1" {
		t.Errorf("the Segment emulator has %d events", got)
	}
}

func TestWithoutACanaryThePipelineIsDegraded(t *testing.T) {
	t.Parallel()
	busy := Status{Accepted: 10, Backlog: 3, BacklogEvents: 5, InFlight: 3, OldestAge: time.Minute}
	for _, c := range []struct {
		name    string
		status  Status
		canary  canary.Status
		want    string // in Degraded
		backlog int64
	}{
		{"arrived", busy, canary.Status{Sent: 4, Pending: 1}, "", 2},
		{"missing", busy, canary.Status{Sent: 4, Pending: 3, Missing: true}, "over 3m0s", 0},
		{"refused", busy, canary.Status{Missing: true, Failure: errors.New("429 queue_unavailable")}, "429 queue_unavailable",
			3},
		{"refused for now", busy, canary.Status{Failure: errors.New("429")}, "", 3},
		{"degraded already", Status{Degraded: "Segment is down"}, canary.Status{Missing: true}, "Segment is down", 0},
	} {
		s := c.status
		s.withCanary(c.canary, true)
		if (s.Degraded == "") != (c.want == "") || !strings.Contains(s.Degraded, c.want) {
			t.Errorf("%s: degraded %q", c.name, s.Degraded)
		}
		if s.Backlog != c.backlog || s.InFlight > s.Backlog || s.Accepted != c.status.Accepted-c.canary.Sent ||
			(s.Backlog == 0) != (s.OldestAge == 0) {
			t.Errorf("%s: %+v", c.name, s)
		}
	}
	answered := Status{Refused: 5, Shed: 7}
	answered.withCanary(canary.Status{Refused: 1, Throttled: 2}, true)
	if answered.Refused != 4 || answered.Shed != 5 {
		t.Errorf("the canary's requests count: %+v", answered)
	}
	s := busy
	s.withCanary(canary.Status{Missing: true}, false)
	if s.Degraded != "" || s.Canary.On {
		t.Errorf("without a canary: %+v", s)
	}
}

// track sends an event to the ingest endpoint.
func track(ctx context.Context, t *testing.T, p *Pipeline) {
	t.Helper()
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, p.IngestURL+"/v1/track",
		strings.NewReader(`{"userId":"u1","event":"Run Started","messageId":"m1"}`))
	if err != nil {
		t.Fatal(err)
	}
	request.SetBasicAuth("any-key", "")
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	response.Body.Close()
}
