// Package status wires the function that writes the status site every minute.
//
// It runs in a region other than the pipeline's, and depends on nothing of the pipeline: it only
// asks. Once a minute it reads each region of the pipeline, all at the same time, makes an
// observation of what it could see, and lets a status.Keeper write that into the bucket of its own
// region. With two status regions there are two such functions and two buckets. What is guaranteed:
//
//   - Every minute in which the function runs and its bucket takes writes, the page there is at most
//     a minute old. What the page shows without it is its age.
//   - Two writers, and operators beside them, lose nothing of each other's: each write has the
//     condition that nobody has written since it was read (If-Match), and otherwise begins again.
//   - Each function merges in what the other bucket has, so that an operator's text is in both a
//     minute later. When a bucket or its region was away, the two are one again a minute after it is
//     back, with every incident, update and day once.
//   - A bucket whose own function does not run is written by the other one, within two minutes.
//   - A region that hangs or fails costs only what is known of itself: it is unknown, and the others
//     are written in the same minute. What can't be seen is never shown as good, nor as bad.
//   - A minute that is invoked twice counts once. An invocation that is killed between two writes
//     leaves a document without its pages for a minute: the next one puts them.
package status

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"sync"
	"time"

	awsconfig "github.com/aws/aws-sdk-go-v2/config"

	"github.com/spillwayhq/spillway/shared/emf"
	"github.com/spillwayhq/spillway/shared/jsonlog"
	"github.com/spillwayhq/spillway/shared/status"
	"github.com/spillwayhq/spillway/shared/status/s3store"
	"github.com/spillwayhq/spillway/shared/version"
)

const (
	// invocation bounds an invocation, so that it is over before the next one begins, and margin is
	// what it leaves of Lambda's timeout.
	invocation = 40 * time.Second
	margin     = 2 * time.Second
	// bucketTimeout bounds the writing of one bucket: reading the regions, one's own bucket and
	// then the others, which are written at the same time, take no longer than an invocation may.
	bucketTimeout = 15 * time.Second
	// peerTimeout bounds how long another bucket may delay the writing of one.
	peerTimeout = 4 * time.Second
	// othersAfter is the age of a document in another bucket from which on it is written from here
	// too: its own function has missed a minute.
	othersAfter = 90 * time.Second
)

// writtenMetric is 1 if every bucket has a site of the last minutes after an invocation, otherwise
// 0.
const writtenMetric = "StatusWritten"

// Parts are what the function is connected to.
type Parts struct {
	Metrics io.Writer // gets a line of JSON for each group of metrics
	Logger  *slog.Logger
	Regions []Region // of the pipeline
	// Own is the site in the bucket of the function's region, Others are those of the other status
	// regions by the names of their buckets, and Memory is where it remembers what is not for
	// readers.
	Own    status.Store
	Others map[string]status.Store
	Memory status.Store
	Site   *status.Site // nil: the one that the bucket has, or the default
	// Transport is of the requests to ingest endpoints; nil: a new one for each, see AskHealth.
	Transport http.RoundTripper
}

// A Function writes the status site at each invocation. It implements lambda.Handler, and is safe
// for concurrent use.
type Function struct {
	options Options
	parts   Parts
	metrics *emf.Writer
	urls    *urls
	own     *status.Keeper
	others  map[string]*status.Keeper
}

// FromEnvironment builds the Lambda function. out gets its log and its metrics.
func FromEnvironment(ctx context.Context, environ []string, out io.Writer) (*Function, error) {
	o, err := readOptions(environ)
	if err != nil {
		return nil, err
	}
	logger := jsonlog.New(out, o.LogLevel)
	p := Parts{Metrics: out, Logger: logger}
	if p.Site, err = readSite(o.SiteFile); errors.Is(err, status.ErrUnknownField) {
		logger.WarnContext(ctx, "fields of the site's file that this version does not know are ignored", "error", err)
	} else if err != nil { // the default one is better than none
		logger.ErrorContext(ctx, "the site's title, logo and components can't be read", "error", err)
	}
	if err := p.connect(ctx, &o); err != nil {
		return nil, err
	}
	o.ignored.Log(logger)
	logger.InfoContext(ctx, "configured", "version", version.String(), "config", o)
	return New(o, p), nil
}

// connect connects the parts to AWS.
func (p *Parts) connect(ctx context.Context, o *Options) error {
	cloud, err := awsconfig.LoadDefaultConfig(ctx)
	if err != nil {
		return fmt.Errorf("load the AWS configuration: %w", err)
	}
	for i, name := range o.Regions {
		p.Regions = append(p.Regions, Region{name, newDeployed(cloud, name, o, o.QueueURLs[i]), o.IngestURLParameter == ""})
	}
	p.Others = map[string]status.Store{}
	for i, b := range o.Buckets {
		site := s3store.Open(cloud, b.Region, b.Name, status.SiteFolder)
		if i != o.own() {
			p.Others[b.Name] = site
			continue
		}
		p.Own, p.Memory = site, s3store.Open(cloud, b.Region, b.Name, status.StateFolder)
	}
	return nil
}

// New builds the function.
func New(o Options, p Parts) *Function {
	f := &Function{options: o, parts: p, metrics: emf.NewWriter(p.Metrics, o.Name, "status"),
		urls: &urls{memory: p.Memory, known: map[string]string{}, at: map[string]time.Time{}},
		own:  &status.Keeper{Store: p.Own, Site: p.Site}, others: map[string]*status.Keeper{}}
	for name, store := range p.Others {
		f.own.Peers = append(f.own.Peers, peer{store})
		k := &status.Keeper{Store: store, Site: p.Site, Peers: []status.Store{peer{p.Own}}}
		for other, peers := range p.Others {
			if other != name {
				k.Peers = append(k.Peers, peer{peers})
			}
		}
		f.others[name] = k
	}
	return f
}

// A peer is a store that is only read, and not waited for.
type peer struct{ status.Store }

// Read implements status.Store.
func (p peer) Read(ctx context.Context, name string) ([]byte, string, error) {
	ctx, cancel := context.WithTimeout(ctx, peerTimeout)
	defer cancel()
	return p.Store.Read(ctx, name)
}

// Invoke implements lambda.Handler. It returns no error, because Lambda would then invoke it again,
// and the next invocation is a minute away: a metric reports the failure.
func (f *Function) Invoke(ctx context.Context, _ []byte) ([]byte, error) {
	timeout := invocation
	if deadline, ok := ctx.Deadline(); ok {
		timeout = min(timeout, time.Until(deadline)-margin)
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	written := 0.0
	if f.minute(ctx) {
		written = 1
	}
	if err := f.metrics.Write(time.Now(),
		emf.Metric{Name: writtenMetric, Unit: emf.Count, Values: []float64{written}}); err != nil {
		f.parts.Logger.WarnContext(ctx, "metrics could not be written", "error", err)
	}
	return []byte("null"), nil
}

// minute looks at the pipeline and writes the site. It reports whether every bucket has it.
func (f *Function) minute(ctx context.Context) (written bool) {
	log := f.parts.Logger
	defer func() {
		if p := recover(); p != nil {
			log.ErrorContext(ctx, "the status site was not written: it panicked", "type", fmt.Sprintf("%T", p))
			written = false
		}
	}()
	if err := f.urls.recall(ctx); err != nil {
		log.WarnContext(ctx, "nothing is remembered", "error", err)
	}
	o := f.look(ctx)
	written = f.write(ctx, o)
	if err := f.urls.remember(ctx); err != nil {
		log.WarnContext(ctx, "nothing will be remembered", "error", err)
	}
	return written
}

// look reads all regions at the same time.
func (f *Function) look(ctx context.Context) status.Observation {
	o := status.Observation{Writer: f.options.Region, Regions: make([]status.Region, len(f.parts.Regions))}
	var all sync.WaitGroup
	for i := range f.parts.Regions {
		all.Go(func() { o.Regions[i] = Sight(f.options.Name, f.read(ctx, &f.parts.Regions[i])) })
	}
	all.Wait()
	for _, r := range o.Regions {
		if r.Failure != "" {
			f.parts.Logger.WarnContext(ctx, "not everything can be seen, or is well", "region", r.Name, "ingest", r.Ingest,
				"delivery", r.Delivery, "failure", r.Failure)
		}
	}
	o.At = time.Now()
	return o
}

// write writes the site of the function's own region, and then the others that need it.
func (f *Function) write(ctx context.Context, o status.Observation) (all bool) {
	log := f.parts.Logger
	d, err := observe(ctx, f.own, o)
	ownFails := d.ObservedAt.IsZero()
	switch {
	case ownFails:
		log.ErrorContext(ctx, "the status site was not written", "error", err)
	case err != nil:
		log.ErrorContext(ctx, "the status site was written, but not all of it", "error", err)
	default:
		log.InfoContext(ctx, "the status site was written", "changes", d.Changes)
	}
	all = err == nil
	var mu sync.Mutex
	var writing sync.WaitGroup
	for name, k := range f.others {
		writing.Go(func() {
			if err := f.writeOther(ctx, k, o, ownFails); err != nil {
				log.ErrorContext(ctx, "the status site of another region was not written", "bucket", name, "error", err)
				mu.Lock()
				all = false
				mu.Unlock()
			}
		})
	}
	writing.Wait()
	return all
}

// writeOther writes another region's site if its own function does not, or if it is the only place
// for this observation.
func (f *Function) writeOther(ctx context.Context, k *status.Keeper, o status.Observation, ownFails bool) error {
	d, err := k.Read(ctx)
	current := !d.ObservedAt.Before(o.At.Add(-othersAfter)) && !d.ObservedAt.After(o.At.Add(status.StaleAfter))
	if err == nil && !ownFails && current {
		return nil
	}
	if err != nil && !errors.Is(err, status.ErrNotFound) && !errors.Is(err, status.ErrBroken) {
		return err
	}
	_, err = observe(ctx, k, o)
	return err
}

func observe(ctx context.Context, k *status.Keeper, o status.Observation) (status.Document, error) {
	ctx, cancel := context.WithTimeout(ctx, bucketTimeout)
	defer cancel()
	return k.Observe(ctx, o)
}
