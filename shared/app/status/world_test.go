package status

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"

	"github.com/spillwayhq/spillway/integration/testutil/s3test"
	"github.com/spillwayhq/spillway/shared/status"
	"github.com/spillwayhq/spillway/shared/status/s3store"
)

// A place is a region of the pipeline that a test makes fail. It is its Source, and its
// ingest endpoint.
type place struct {
	name string

	mu      sync.Mutex
	fires   []string // composite alarms, without the pipeline's name
	waiting int64    // messages
	age     float64  // of the oldest event in seconds
	health  int      // what /health answers
	hangs   bool     // nothing answers
	denies  bool     // every call of AWS is refused
	panics  bool
	asked   map[string]int // how often a metric was asked for
}

func newPlace(name string) *place {
	return &place{name: name, waiting: 1, age: 2, health: 200, asked: map[string]int{}}
}

// set changes the place.
func (p *place) set(change func(*place)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	change(p)
}

var errDenied = errors.New("AccessDenied: is not authorized to perform it")

// ask is what every request does first.
func (p *place) ask(ctx context.Context) error {
	p.mu.Lock()
	hangs, denies, panics := p.hangs, p.denies, p.panics
	p.mu.Unlock()
	switch {
	case panics:
		panic("bug")
	case hangs:
		<-ctx.Done()
		return ctx.Err()
	case denies:
		return errDenied
	}
	return ctx.Err()
}

func (p *place) Alarms(ctx context.Context, names []string) (map[string]string, error) {
	if err := p.ask(ctx); err != nil {
		return nil, err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	states := map[string]string{}
	for _, name := range names {
		states[name] = "OK"
		if slices.Contains(p.fires, strings.TrimPrefix(name, "shop-")) {
			states[name] = firing
		}
	}
	return states, nil
}

func (p *place) Waiting(ctx context.Context) (int64, error) {
	if err := p.ask(ctx); err != nil {
		return 0, err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.waiting, nil
}

func (p *place) Ages(ctx context.Context) ([]Point, error) {
	return p.points(ctx, "ages", time.Minute, func() float64 { return p.age })
}

func (p *place) Canaries(ctx context.Context) ([]Point, error) {
	return p.points(ctx, "canaries", 2*time.Minute, func() float64 { return 1 })
}

// points is a metric with a value of a minute that ended some time ago.
func (p *place) points(ctx context.Context, name string, ago time.Duration, value func() float64) ([]Point, error) {
	if err := p.ask(ctx); err != nil {
		return nil, err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.asked[name]++
	return []Point{{time.Now().Truncate(time.Minute).Add(-ago), value()}}, nil
}

func (p *place) IngestURL(ctx context.Context) (string, error) {
	return "https://" + p.name + ".test", p.ask(ctx)
}

// A world is two regions of a pipeline and the two status regions, whose functions start at
// different seconds of a minute.
type world struct {
	t         *testing.T
	places    []*place
	buckets   []string
	s3        map[string]*s3test.Server // by bucket
	functions []*Function
	// cut says if a writer, or the operator, who is -1, does not reach a bucket; nil: all reach
	// all.
	cut   func(writer int, bucket string) bool
	log   strings.Builder
	logMu sync.Mutex
}

// A link is the network between a writer and a bucket.
type link struct {
	w      *world
	writer int
	bucket string
}

// Do implements aws.HTTPClient.
func (l link) Do(r *http.Request) (*http.Response, error) {
	if l.w.cut != nil && l.w.cut(l.writer, l.bucket) {
		return nil, errors.New("no route to host")
	}
	return l.w.s3[l.bucket].Do(r)
}

func (w *world) Write(p []byte) (int, error) {
	w.logMu.Lock()
	defer w.logMu.Unlock()
	return w.log.Write(p)
}

// take returns the log since it was last taken.
func (w *world) take() string {
	w.logMu.Lock()
	defer w.logMu.Unlock()
	defer w.log.Reset()
	return w.log.String()
}

// RoundTrip answers /health of each region.
func (w *world) RoundTrip(r *http.Request) (*http.Response, error) {
	for _, p := range w.places {
		if r.URL.Hostname() == p.name+".test" {
			p.mu.Lock()
			hangs, status := p.hangs, p.health
			p.mu.Unlock()
			if hangs {
				<-r.Context().Done()
				return nil, r.Context().Err()
			}
			return answer(status), nil
		}
	}
	return nil, errors.New("no such host: " + r.URL.String())
}

// newWorld makes a world with so many status regions.
func newWorld(t *testing.T, writers int) *world {
	t.Helper()
	w := &world{t: t, places: []*place{newPlace("eu-west-1"), newPlace("us-east-1")}, s3: map[string]*s3test.Server{},
		buckets: []string{"status-eu-central-1", "status-eu-west-3"}[:writers]}
	for _, b := range w.buckets {
		w.s3[b] = s3test.New()
	}
	for i := range w.buckets {
		w.functions = append(w.functions, w.function(i))
	}
	return w
}

// store is a folder of a bucket, as a writer or the operator reaches it.
func (w *world) store(writer int, bucket, folder string) status.Store {
	return s3store.Open(aws.Config{HTTPClient: link{w, writer, bucket}, BaseEndpoint: aws.String("http://s3.test"),
		Credentials: credentials.NewStaticCredentialsProvider("AKID", "secret", "")}, strings.TrimPrefix(bucket, "status-"),
		bucket, folder)
}

// function makes the function of a status region as a cold start does.
func (w *world) function(i int) *Function {
	own := w.buckets[i]
	p := Parts{Metrics: w, Logger: slog.New(slog.NewJSONHandler(w, nil)), Own: w.store(i, own, status.SiteFolder),
		Memory: w.store(i, own, status.StateFolder), Others: map[string]status.Store{}, Transport: w}
	for _, b := range w.buckets {
		if b != own {
			p.Others[b] = w.store(i, b, status.SiteFolder)
		}
	}
	for _, place := range w.places {
		p.Regions = append(p.Regions, Region{Name: place.name, Source: place})
	}
	return New(Options{Name: "shop", Region: strings.TrimPrefix(own, "status-")}, p)
}

// minute is one minute: each of the functions is invoked once, the second 20 s after the first.
func (w *world) minute(invoked ...int) {
	begun := time.Now()
	var all sync.WaitGroup
	for _, i := range invoked {
		all.Go(func() {
			time.Sleep(time.Duration(i) * 20 * time.Second)
			invoke(w.t, w.functions[i])
		})
	}
	all.Wait()
	time.Sleep(time.Until(begun.Add(time.Minute)))
}

// invoke invokes a function as Lambda does, and returns how long that took.
func invoke(t *testing.T, f *Function) time.Duration {
	t.Helper()
	begun := time.Now()
	ctx, cancel := context.WithTimeout(t.Context(), 45*time.Second)
	defer cancel()
	if out, err := f.Invoke(ctx, []byte(`{"time":"2026-11-27T08:00:00Z"}`)); err != nil || string(out) != "null" {
		t.Errorf("%q, %v", out, err)
	}
	return time.Since(begun)
}

// document is what a bucket has.
func (w *world) document(bucket string) status.Document {
	w.t.Helper()
	d, err := status.Parse(w.s3[bucket].Objects(bucket)["site/status.json"].Data)
	if err != nil {
		w.t.Fatalf("%s: %v", bucket, err)
	}
	return d
}

// states are those of the components of a bucket's document, by ID.
func (w *world) states(bucket string) map[string]status.State {
	w.t.Helper()
	states := map[string]status.State{}
	d := w.document(bucket)
	for _, c := range d.Components {
		states[c.ID] = c.State
	}
	return states
}

// expect expects the states of all components in a bucket.
func (w *world) expect(bucket string, want map[string]status.State) {
	w.t.Helper()
	all := map[string]status.State{"ingest-eu-west-1": status.Operational, "delivery-eu-west-1": status.Operational,
		"ingest-us-east-1": status.Operational, "delivery-us-east-1": status.Operational}
	maps.Copy(all, want)
	if got := w.states(bucket); !maps.Equal(got, all) {
		w.t.Errorf("%s has %v, want %v", bucket, got, all)
	}
}

var _ io.Writer = (*world)(nil)
