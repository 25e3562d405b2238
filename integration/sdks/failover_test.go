package sdks

import (
	"flag"
	"fmt"
	"io"
	"log"
	"log/slog"
	"net/http"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/segmentio/analytics-go/v3"

	"github.com/spillwayhq/spillway/infra/local/segmentd"
	"github.com/spillwayhq/spillway/infra/topology"
	"github.com/spillwayhq/spillway/integration/testutil/localtest"
	"github.com/spillwayhq/spillway/shared/publisher"
)

var (
	failoverMinute = flag.Duration("failover-minute", 60*time.Millisecond,
		"how long a minute of the alarms and of the name takes while a region is down")
	failovers = flag.Bool("failovers", false, "let a region go down in every way, and not only in one")
)

var quiet = slog.New(slog.DiscardHandler)

// A tally is what clients say of their events. It is safe for concurrent use.
type tally struct {
	mu     sync.Mutex
	events map[string]*sent
}

// sent is an event of a client.
type sent struct {
	at                 time.Time
	accepted, reported bool
	reportedAt         time.Time
}

func newTally() *tally { return &tally{events: map[string]*sent{}} }

func (y *tally) made(id string, at time.Time) {
	y.mu.Lock()
	defer y.mu.Unlock()
	y.events[id] = &sent{at: at}
}

func (y *tally) reported(id string, accepted bool) {
	y.mu.Lock()
	defer y.mu.Unlock()
	e := y.events[id]
	e.accepted, e.reported, e.reportedAt = accepted, true, time.Now()
}

// count counts a client's events.
func (y *tally) count(client string, is func(*sent) bool) (n int) {
	y.mu.Lock()
	defer y.mu.Unlock()
	for id, e := range y.events {
		if strings.HasPrefix(id, client+"-") && is(e) {
			n++
		}
	}
	return n
}

func (y *tally) accepted() (ids []string) {
	y.mu.Lock()
	defer y.mu.Unlock()
	for id, e := range y.events {
		if e.accepted {
			ids = append(ids, id)
		}
	}
	return ids
}

// Success implements analytics.Callback.
func (y *tally) Success(m analytics.Message) { y.reported(m.(analytics.Track).MessageId, true) }

// Failure implements analytics.Callback.
func (y *tally) Failure(m analytics.Message, _ error) {
	y.reported(m.(analytics.Track).MessageId, false)
}

// The clients, each of which makes an event every few milliseconds.
const (
	byNode      = "node"
	byGo        = "go"
	byPublisher = "publisher"
	loadEvery   = 5 * time.Millisecond
)

// load sends events with every client until end is called, which waits until each event is
// reported.
func load(t *testing.T, y *tally, rs *regions) (end func()) {
	t.Helper()
	stop := make(chan struct{})
	var clients sync.WaitGroup
	clients.Go(func() { loadNode(t, y, rs.URL, stop) })
	clients.Go(func() { loadGo(t, y, rs.URL, stop) })
	clients.Go(func() { loadPublisher(t, y, rs, stop) })
	return sync.OnceFunc(func() { close(stop); clients.Wait() })
}

// each calls f with the number of each event until stop is closed.
func each(stop chan struct{}, f func(n int)) {
	every := time.NewTicker(loadEvery)
	defer every.Stop()
	for n := 0; ; n++ {
		select {
		case <-stop:
			return
		case <-every.C:
			f(n)
		}
	}
}

func loadGo(t *testing.T, y *tally, url string, stop chan struct{}) {
	transport := &http.Transport{}
	defer transport.CloseIdleConnections()
	client, err := analytics.NewWithConfig(writeKey, analytics.Config{Endpoint: url, Callback: y, Transport: transport,
		Interval: 20 * time.Millisecond, BatchSize: 20, Logger: analytics.StdLogger(log.New(io.Discard, "", 0)),
		// Its own waits are up to 10 s; a minute is shorter here, and so are they.
		RetryAfter: func(int) time.Duration { return *failoverMinute / 6 }})
	if err != nil {
		t.Error(err)
		return
	}
	each(stop, func(n int) {
		id := byGo + "-" + strconv.Itoa(n)
		y.made(id, time.Now())
		if err := client.Enqueue(analytics.Track{MessageId: id, UserId: "u-1", Event: "Run Started"}); err != nil {
			t.Error(err)
		}
	})
	if err := client.Close(); err != nil {
		t.Error(err)
	}
}

func loadPublisher(t *testing.T, y *tally, rs *regions, stop chan struct{}) {
	client, err := publisher.New(t.Context(), publisher.Config{QueueURL: rs.near.events(),
		Fallbacks: []string{rs.far.events()}, WriteKey: writeKey, Interval: 20 * time.Millisecond, Dir: t.TempDir(),
		Logger: quiet})
	if err != nil {
		t.Error(err)
		return
	}
	each(stop, func(n int) {
		id := byPublisher + "-" + strconv.Itoa(n)
		y.made(id, time.Now())
		err := client.Enqueue(analytics.Track{MessageId: id, UserId: "u-1", Event: "Run Started"})
		y.reported(id, err == nil)
	})
	if err := client.Close(); err != nil {
		t.Error(err)
	}
}

func loadNode(t *testing.T, y *tally, url string, stop chan struct{}) {
	s := node(t, []string{"HOST=" + url, "WRITE_KEY=" + writeKey, fmt.Sprint("EVERY_MS=", loadEvery.Milliseconds())},
		"steady.mjs")
	go func() {
		<-stop
		_ = s.input.Close()
	}()
	for line := range s.lines {
		id := line["messageId"].(string)
		if at, ok := line["at"].(float64); ok {
			y.made(id, time.UnixMilli(int64(at)))
		} else {
			y.reported(id, line["delivered"].(bool))
		}
	}
}

// One region of two is killed in mid-load, and started again. Clients are led to the other one and
// back, and what was accepted is delivered.
func TestClientsAreLedFromARegionThatIsKilledToTheOtherAndBack(t *testing.T) {
	t.Parallel()
	needs(t, "@segment/analytics-node", "node", "--input-type=module", "-e", "import '@segment/analytics-node'")
	for _, c := range []struct {
		name, failing string
		gone          bool
		within        int // minutes from the kill to the switch of the name
	}{
		{"its canary finds nobody", "route-ingest", false, 6},
		{"nothing of it is there, its canary and its metrics neither", "route-gone", true, 10},
	} {
		if c.gone && !*failovers {
			continue
		}
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			failOver(t, topology.DefaultNames().Alarm(c.failing), c.gone, c.within)
		})
	}
}

func failOver(t *testing.T, failing string, gone bool, within int) {
	arrived, y := localtest.NewArrivals(), newTally()
	_, segmentURL := localtest.Segment(t, segmentd.Options{OnEvent: arrived.Add, EventLimit: -1,
		Latency: 30 * time.Millisecond}) // so that some wait when their region is killed
	rs := newRegions(t, segmentURL, *failoverMinute)
	arrived.Await(t, "the near region to be healthy", func() bool {
		change, any := rs.changed("near")
		return any && change.Healthy
	})
	end := load(t, y, rs)
	clients := []string{byNode, byGo, byPublisher}
	each := func(what string, is func(*sent) bool) {
		t.Helper()
		for _, client := range clients {
			arrived.Await(t, client+": "+what, func() bool { return y.count(client, is) >= 20 })
		}
	}
	each("accepted events", func(e *sent) bool { return e.accepted })
	if _, far := rs.connections(); far > 0 {
		t.Errorf("%d connections were made to the far region while the near one was healthy", far)
	}

	rs.near.setGone(gone)
	rs.near.process.Kill()
	killed := rs.now()
	arrived.Await(t, "the switch", func() bool {
		change, _ := rs.changed("near")
		return !change.Healthy
	})
	change, _ := rs.changed("near")
	if took := change.At.Sub(killed); !slices.Equal(change.Failing, []string{failing}) ||
		took > time.Duration(within)*time.Minute {
		t.Errorf("the name was switched after %v by %q, want at most %d min and %s", took, change.Failing, within, failing)
	}
	// Whoever asked just before keeps the answer for a minute. What is made after that is accepted.
	rs.pass(t, topology.RecordTTL)
	switched := time.Now()
	each("accepted events after the switch", func(e *sent) bool { return e.accepted && e.at.After(switched) })
	back := time.Now()

	rs.near.start(t)
	rs.near.setGone(false)
	arrived.Await(t, "the way back", func() bool {
		change, _ := rs.changed("near")
		return change.Healthy
	})
	rs.pass(t, topology.RecordTTL)
	near, _ := rs.connections()
	arrived.Await(t, "a connection to the near region", func() bool { now, _ := rs.connections(); return now > near })
	end()

	for _, client := range clients {
		if n := y.count(client, func(e *sent) bool { return !e.reported }); n > 0 {
			t.Errorf("%s says nothing of %d events", client, n)
		}
		failed := y.count(client, func(e *sent) bool {
			return !e.accepted && e.at.After(switched) && e.reportedAt.Before(back)
		})
		if failed > 0 {
			t.Errorf("%s: %d events were made after the switch and refused", client, failed)
		}
	}
	if n := y.count(byPublisher, func(e *sent) bool { return !e.accepted }); n > 0 {
		t.Errorf("the publisher refused %d events", n)
	}
	assertDelivered(t, y, arrived)
}

// assertDelivered waits until what was accepted has arrived, and checks that nothing else has, and
// that what has arrived twice is the same.
func assertDelivered(t *testing.T, y *tally, arrived *localtest.Arrivals) {
	t.Helper()
	accepted := y.accepted()
	slices.Sort(accepted)
	for _, id := range accepted {
		arrived.AwaitEvent(t, id)
	}
	y.mu.Lock()
	defer y.mu.Unlock()
	unreported, twice := 0, 0
	for id, e := range y.events {
		forms := arrived.Get(id)
		if !e.accepted && len(forms) > 0 {
			unreported++
		}
		for _, form := range forms[min(1, len(forms)):] {
			twice++
			if !reflect.DeepEqual(withoutTime(t, form.Raw), withoutTime(t, forms[0].Raw)) {
				t.Errorf("%s arrived as %s and as %s", id, forms[0].Raw, form.Raw)
			}
		}
	}
	if extra := arrived.Distinct() - len(accepted) - unreported; extra != 0 {
		t.Errorf("%d events arrived that nobody made", extra)
	}
	t.Logf("%d events made, %d accepted and delivered, %d delivered although their answer was lost, %d duplicates",
		len(y.events), len(accepted), unreported, twice)
}

// withoutTime is an event but its timestamp, which ingest corrects by what the client's clock says
// in each request.
func withoutTime(t *testing.T, raw []byte) object {
	t.Helper()
	e := decode(t, raw)
	delete(e, "timestamp")
	return e
}
