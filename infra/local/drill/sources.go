package drill

import (
	"bytes"
	"cmp"
	"compress/gzip"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"math"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/spillwayhq/spillway/infra/local/virtual"
	"github.com/spillwayhq/spillway/shared/event"
	"github.com/spillwayhq/spillway/shared/publisher"
	"github.com/spillwayhq/spillway/shared/spill"
	"github.com/spillwayhq/spillway/shared/spill/spilltest"
)

// How the usual traffic is shared out, and packed.
const (
	apiShare     = 0.8 // the rest comes from SDKs,
	partnerShare = 0.1 // of which so much is the partner's
	burst        = time.Second
	apiInterval  = 10 * time.Second // of the publisher: a message holds the events of ten seconds
	sdkInterval  = 10 * time.Second // with which analytics-node sends, like the next
	sdkBatch     = 20               // events
	sdkTries     = 10               // as often as Segment's SDKs try a batch
	// fsync is how long the API's disk takes to make an event safe.
	fsync = 2 * time.Millisecond
)

// The names of the events.
const (
	apiEvent     = "Run Started"
	webEvent     = "Page Opened"
	partnerEvent = "Order Placed"
)

// usual is the usual rate of a source, in simulated events/s.
func (s *simulation) usual(of Source) float64 {
	rate := s.rate / s.weight
	switch of {
	case FromAPI:
		return rate * apiShare
	case FromSDKs:
		return rate * (1 - apiShare - partnerShare)
	case FromPartner:
		return rate * partnerShare
	}
	return 0
}

// load is what comes in of a source at a time, in simulated events/s.
func (s *simulation) load(of Source, at time.Duration) float64 {
	if at < quietStart {
		return 0
	}
	rate := s.usual(of)
	if s.scenario.Daily {
		rate *= daily(s.start.Add(at))
	}
	for _, c := range s.scenario.Load {
		if c.Source == of && c.holds(at) {
			rate = rate*c.Times + c.Added/s.weight
		}
	}
	return rate
}

// daily is the shape of a day: ten times as much in the early afternoon as in the night, 1 on
// average.
func daily(at time.Time) float64 {
	hour := float64(at.Hour()) + float64(at.Minute())/60
	return 1 - 9.0/11*math.Cos((hour-2)/24*2*math.Pi)
}

// produce calls send with the events of each interval while something is played, until ctx ends.
func (s *simulation) produce(ctx context.Context, of Source, every time.Duration, send func(n int)) {
	due := 0.0
	for ; ctx.Err() == nil; sleep(ctx, every) {
		at := time.Since(s.start)
		if s.calm(at) {
			continue
		}
		due += s.load(of, at) * every.Seconds()
		if n := int(due); n > 0 {
			due -= float64(n)
			send(n)
		}
	}
}

// api is the Go API: two processes with a publisher each. One has each event on its disk before it
// answers, the other only in memory, and on disk when no queue takes events.
type api struct {
	*simulation
	clients []*publisher.Client
}

// onDisk is the process with the durable publisher, which makes one event in durableShare.
const (
	onDisk       = 0
	inMemory     = 1
	durableShare = 8
)

func newAPI(ctx context.Context, s *simulation) (*api, error) {
	a := &api{simulation: s}
	for _, durability := range []publisher.Durability{publisher.Disk, publisher.Memory} {
		c, err := publisher.New(spill.WithFS(ctx, spilltest.New()), publisher.Config{
			QueueURL: virtual.QueueURL(s.topology.Names.EventsQueue), Fallbacks: s.fallbacks(), WriteKey: apiKey,
			Interval:   cmp.Or(s.scenario.Pack, apiInterval),
			Durability: durability, Dir: "/srv/spill", Metrics: s.record, Pipeline: s.topology.Names.Pipeline, Logger: quiet,
			SQS: s.publishersQueue,
		})
		if err != nil {
			return nil, err
		}
		a.clients = append(a.clients, c)
	}
	return a, nil
}

// call publishes n events, each as a call of the API would. What an event on disk waits for the
// disk is drawn and added: a disk in a bubble can't be slow, because whoever waits for its lock
// would stop the time.
func (a *api) call(n int) {
	first := a.ledger.issue(n)
	waited := make([]float64, n)
	failed := 0
	for i := range n {
		raw, err := publisher.NewRaw(newEvent(apiEvent, messageID(first+i), time.Now()))
		if err != nil {
			panic(err) // the event is ours
		}
		began, process := time.Now(), inMemory
		if (first+i)%durableShare == 0 {
			process = onDisk
		}
		if err := a.clients[process].Enqueue(raw); err != nil {
			failed++
		} else {
			a.ledger.accept(first+i, 1)
		}
		took := time.Since(began)
		if process == onDisk {
			took += a.faults.around(fsync)
		}
		waited[i] = took.Seconds()
	}
	a.latency.add(waited, failed)
}

// oldest is how long the oldest event has waited that the API's processes hold.
func (a *api) oldest() (oldest time.Duration) {
	for _, c := range a.clients {
		oldest = max(oldest, c.Stats().Oldest)
	}
	return oldest
}

func (a *api) end(ctx context.Context) error {
	for _, c := range a.clients {
		if err := c.Shutdown(ctx); err != nil {
			return fmt.Errorf("end a publisher: %w", err)
		}
	}
	return nil
}

// newEvent is an event of about 400 bytes.
func newEvent(name, id string, at time.Time) []byte {
	b := make([]byte, 0, 512)
	b = append(b, `{"type":"track","event":`...)
	b = strconv.AppendQuote(b, name)
	b = append(b, `,"userId":"user-1207","messageId":`...)
	b = strconv.AppendQuote(b, id)
	b = append(b, `,"timestamp":`...)
	b = strconv.AppendQuote(b, at.UTC().Format(event.TimeFormat))
	return append(b, `,"properties":{"plan":"team","workspace":"a4f0c2d1","pipeline":"nightly","trigger":"schedule",`+
		`"steps":14,"durationMs":1832.5,"cached":true,"region":"eu-west-1","tags":["prod","export","nightly"]},`+
		`"context":{"locale":"en-GB","timezone":"Europe/London","app":{"name":"drill","version":"1.4.2"}}}`...)
}

// sdks are Segment's SDKs, which send batches to the ingest endpoint until they are answered.
type sdks struct {
	*simulation
	client *http.Client
}

// post sends n events with a write key, in batches, and returns at once.
func (c sdks) post(writeKey, name string, n int) {
	for n > 0 {
		size := min(n, sdkBatch)
		n -= size
		first := c.ledger.issue(size)
		var body bytes.Buffer
		body.WriteString(`{"batch":[`)
		for i := range size {
			if i > 0 {
				body.WriteByte(',')
			}
			body.Write(newEvent(name, messageID(first+i), time.Now()))
		}
		body.WriteString(`]}`)
		c.sending.Go(func() { c.try(writeKey, body.Bytes(), first, size) })
	}
}

// try sends a batch as often as an SDK does.
func (c sdks) try(writeKey string, body []byte, first, size int) {
	code := "no answer"
	for try := range sdkTries {
		if try > 0 {
			time.Sleep(min(time.Second<<try, time.Minute))
		}
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		status, said := c.once(ctx, writeKey, body)
		cancel()
		switch {
		case status == http.StatusOK:
			c.ledger.accept(first, size)
			return
		case status >= 400 && status < 500 && status != http.StatusTooManyRequests:
			c.ledger.refuse(said, size)
			return
		case status != 0:
			code = said
		}
	}
	c.ledger.refuse(code, size)
}

func (c sdks) once(ctx context.Context, writeKey string, body []byte) (status int, code string) {
	return c.do(newRequest(ctx, writeKey, body))
}

func (c sdks) do(r *http.Request) (status int, code string) {
	resp, err := c.client.Do(r)
	if err != nil {
		return 0, ""
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err != nil {
		return 0, ""
	}
	var said struct{ Code string }
	_ = json.Unmarshal(answer, &said)
	if said.Code == "" {
		said.Code = strconv.Itoa(resp.StatusCode)
	}
	return resp.StatusCode, said.Code
}

// flood sends single requests with an unknown write key, and does not try again.
func (c sdks) flood(n int) {
	first := c.ledger.issue(n)
	for i := range n {
		c.sending.Go(func() {
			body := slices.Concat([]byte(`{"batch":[`), newEvent("Flood", messageID(first+i), time.Now()), []byte(`]}`))
			ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
			defer cancel()
			if status, code := c.once(ctx, floodKey, body); status == http.StatusOK {
				c.ledger.accept(first+i, 1)
			} else {
				c.ledger.refuse(code, 1)
			}
		})
	}
}

// compressed sends a batch in gzip, once.
func (c sdks) compressed() {
	first := c.ledger.issue(1)
	var body bytes.Buffer
	z := gzip.NewWriter(&body)
	_, _ = z.Write(slices.Concat([]byte(`{"batch":[`), newEvent(webEvent, messageID(first), time.Now()), []byte(`]}`)))
	_ = z.Close() // into memory
	r := newRequest(context.Background(), webKey, body.Bytes())
	r.Header.Set("Content-Encoding", "gzip")
	status, code := c.do(r)
	if status == http.StatusOK {
		c.ledger.accept(first, 1)
	} else {
		c.ledger.refuse(code, 1)
	}
}

var quiet = slog.New(slog.DiscardHandler)
