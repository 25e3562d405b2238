package limits

import (
	"context"
	"encoding/json"
	"errors"
	"math"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-lambda-go/events"

	"github.com/spillwayhq/spillway/shared/event"
	"github.com/spillwayhq/spillway/shared/segment"
)

func TestACostIsSharedByItsEvents(t *testing.T) {
	for _, c := range []struct {
		cost Cost
		want float64
	}{{Cost{}, 0}, {Cost{1000, time.Millisecond}, 1}, {Cost{4, 10 * time.Microsecond}, 2.5},
		{Cost{2000, time.Microsecond}, 0.0005}} {
		if got := c.cost.micros(); math.Abs(got-c.want) > 1e-9 {
			t.Errorf("%+v: %g µs, want %g", c.cost, got, c.want)
		}
	}
}

func TestMedian(t *testing.T) {
	for _, c := range []struct {
		values []float64
		want   float64
	}{{[]float64{3}, 3}, {[]float64{9, 1, 5}, 5}, {[]float64{4, 1, 3, 2}, 2}} {
		if got := median(slices.Clone(c.values)); got != c.want {
			t.Errorf("%v: %g, want %g", c.values, got, c.want)
		}
	}
}

func TestNumbersInTables(t *testing.T) {
	for v, want := range map[float64]string{0.0123: "0.01", 0.5: "0.50", 1.26: "1.3", 12.6: "13", 4592.4: "4592"} {
		if got := number(v); got != want {
			t.Errorf("%g: %q, want %q", v, got, want)
		}
	}
}

// fixed is a task whose turns cost so many microseconds an event.
func fixed(what string, turns ...int) task {
	next := 0
	return task{what, func(context.Context, time.Duration) (Cost, error) {
		c := Cost{1, time.Duration(turns[next]) * time.Microsecond}
		next++
		return c, nil
	}}
}

func TestAComparisonTakesMediansWithoutTheFirstTurn(t *testing.T) {
	c := comparison{"of CPU", fixed("limit", 900, 2, 8, 4),
		[]task{fixed("ours", 700, 12, 8, 1000), fixed("more", 1, 4, 4, 4)}}
	rows, err := c.measure(t.Context(), 3, time.Second)
	want := []Row{{"of CPU", "limit", "ours", 4, 12, 3}, {"of CPU", "limit", "more", 4, 4, 1}}
	if err != nil || !slices.Equal(rows, want) {
		t.Errorf("%+v, %v; want %+v", rows, err, want)
	}
}

func TestATaskThatDoesNothingOrTakesNothingIsAnError(t *testing.T) {
	for _, cost := range []Cost{{}, {Events: 1}, {Spent: time.Second}} {
		idle := task{"idle", func(context.Context, time.Duration) (Cost, error) { return cost, nil }}
		if _, err := (comparison{"of CPU", idle, nil}).measure(t.Context(), 1, time.Second); err == nil {
			t.Errorf("%+v: no error, and nothing is a multiple of it", cost)
		}
	}
}

func TestTimeIsSharedByAllGoroutines(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var calls atomic.Int64
		cost, err := inTime("work", 4, func(int) error {
			calls.Add(1)
			time.Sleep(10 * time.Millisecond)
			return nil
		}).run(t.Context(), 100*time.Millisecond)
		if err != nil || cost != (Cost{40, 100 * time.Millisecond}) || calls.Load() != 40 {
			t.Errorf("%+v after %d calls, %v", cost, calls.Load(), err)
		}
		cost, err = inTime("work", 4, func(int) error { return nil }).run(t.Context(), 0) // a machine too busy to begin in time
		if err != nil || cost.Events != 4 {
			t.Errorf("%+v, %v; want that each goroutine works once", cost, err)
		}
		failed := errors.New("the disk is full")
		if _, err := inTime("work", 4, func(i int) error { return failed }).run(t.Context(), time.Second); !errors.Is(err,
			failed) {
			t.Errorf("%v, want the failure of the work", err)
		}
	})
}

func TestBothKindsOfInvocationAreDeliveredWhole(t *testing.T) {
	all, err := madeUp()
	if err != nil {
		t.Fatal(err)
	}
	var requests atomic.Int64
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		requests.Add(1)
		_, _ = w.Write([]byte(`{"success":true}`))
	}))
	defer server.Close()
	client, err := segment.NewClient(segment.Config{Endpoint: server.URL})
	if err != nil {
		t.Fatal(err)
	}
	d, err := handlerFor(client)
	if err != nil {
		t.Fatal(err)
	}
	packed, single, err := payloads(all)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name          string
		payload       []byte
		events, least int // messages
	}{{"packed", packed, len(all), 2}, {"single", single, singles, singles}} {
		requests.Store(0)
		var e events.SQSEvent
		if err := json.Unmarshal(c.payload, &e); err != nil || len(e.Records) < c.least || len(e.Records) > c.events {
			t.Errorf("%s: %d messages, %v", c.name, len(e.Records), err)
		}
		if len(c.payload) > 6<<20 {
			t.Errorf("%s: %d bytes are more than Lambda hands over", c.name, len(c.payload))
		}
		if _, err := invoker(c.name, d, c.payload, c.events).run(t.Context(), time.Nanosecond); err != nil {
			t.Errorf("%s: %v", c.name, err)
		}
		if requests.Load() == 0 {
			t.Errorf("%s: nothing was sent", c.name)
		}
	}
}

func TestReadyMadeBatchesAreWhatSegmentTakes(t *testing.T) {
	all, err := madeUp()
	if err != nil {
		t.Fatal(err)
	}
	plain, err := readyMade(all, false)
	if err != nil {
		t.Fatal(err)
	}
	zipped, err := readyMade(all, true)
	if err != nil {
		t.Fatal(err)
	}
	for i, body := range plain {
		if !json.Valid(body) || len(body) > event.MaxBodyBytes || len(body) < event.MaxBodyBytes/2 {
			t.Errorf("a body of %d bytes", len(body))
		}
		if len(zipped[i]) > len(body)/3 {
			t.Errorf("%d bytes became %d", len(body), len(zipped[i]))
		}
	}
}
