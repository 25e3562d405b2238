package local

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/http"
	"path"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/spillwayhq/spillway/infra/local/cloudwatch"
	appstatus "github.com/spillwayhq/spillway/shared/app/status"
	"github.com/spillwayhq/spillway/shared/status"
	"github.com/spillwayhq/spillway/shared/status/dirstore"
)

// StatusFolder is the folder of a data directory that has the status site.
const StatusFolder = "status"

const (
	// statusRegion is what the site calls this machine, and statusWriter who looks at it.
	statusRegion = "local"
	statusWriter = "up"
	// statusTimeout bounds one look at the pipeline and the writing of what was seen.
	statusTimeout = 30 * time.Second
)

// A statusSite is the site that the status function writes on AWS, of this machine's pipeline, by
// the same rules. It has a goroutine of its own, so that a directory that is slow, full or gone
// costs the pipeline nothing. It is safe for concurrent use.
type statusSite struct {
	dir    string
	look   func(context.Context) *appstatus.Reading
	name   string        // the pipeline's
	due    chan struct{} // has an element when the pipeline may look different
	logger *slog.Logger

	mu      sync.Mutex
	store   *dirstore.Store // nil: the directory could not be made yet
	keeper  *status.Keeper
	failure error // of the last minute
}

func newStatusSite(p *Pipeline, dataDir string) *statusSite {
	return &statusSite{dir: filepath.Join(dataDir, StatusFolder), look: p.readStatus, name: p.topology.Names.Pipeline,
		due: make(chan struct{}, 1), logger: p.logger}
}

// changed says that the alarms have been evaluated. It does not wait.
func (s *statusSite) changed() {
	select {
	case s.due <- struct{}{}:
	default: // it has not come to look at the last change yet
	}
}

// run writes the site at once, and then whenever it is due, until ctx ends.
func (s *statusSite) run(ctx context.Context) {
	for {
		err := s.write(ctx)
		if ctx.Err() != nil {
			return
		}
		s.mu.Lock()
		before := s.failure
		s.failure = err
		s.mu.Unlock()
		switch {
		case err != nil && (before == nil || before.Error() != err.Error()):
			s.logger.WarnContext(ctx, "the status site can't be written", "error", err)
		case err == nil && before != nil:
			s.logger.InfoContext(ctx, "the status site is written again")
		}
		select {
		case <-ctx.Done():
			return
		case <-s.due:
		}
	}
}

func (s *statusSite) write(ctx context.Context) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("it panicked: %T", p)
		}
	}()
	ctx, cancel := context.WithTimeout(ctx, statusTimeout)
	defer cancel()
	keeper, err := s.open()
	if err != nil {
		return err
	}
	region := appstatus.Sight(s.name, s.look(ctx))
	_, err = keeper.Observe(ctx, status.Observation{Writer: statusWriter, Regions: []status.Region{region}})
	return err
}

// open makes the directory, if that has not been done.
func (s *statusSite) open() (*status.Keeper, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.store == nil {
		store, err := dirstore.Open(s.dir)
		if err != nil {
			return nil, err
		}
		s.store, s.keeper = store, &status.Keeper{Store: store}
	}
	return s.keeper, nil
}

// problem is what is wrong with the site; empty if nothing is.
func (s *statusSite) problem() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.failure == nil {
		return ""
	}
	return "not written: " + s.failure.Error()
}

// readStatus reads the pipeline as the status function reads a region. It asks the ingest endpoint
// as a client does.
func (p *Pipeline) readStatus(ctx context.Context) *appstatus.Reading {
	s := p.Status()
	now := time.Now()
	r := &appstatus.Reading{Region: statusRegion, NoIngest: p.ingest == nil, NoDelivery: p.hold, Waiting: s.Backlog,
		Alarms: map[string]string{}}
	if s.Backlog > 0 {
		r.Ages = []appstatus.Point{{At: now.Truncate(time.Minute), Value: s.OldestAge.Seconds()}}
	}
	if !s.Canary.At.IsZero() {
		r.Canaries = []appstatus.Point{{At: s.Canary.At, Value: 1}}
	}
	for i := range s.Alarms {
		if a := &s.Alarms[i]; a.Composite {
			r.Alarms[a.Name] = string(a.State)
		}
	}
	names := &p.topology.Names
	s.correct(r.Alarms, names.Alarm("delivery-down"), names.Alarm("delivery-slow"))
	if p.ingest != nil {
		r.Health = appstatus.AskHealth(ctx, nil, p.IngestURL)
	}
	r.At = time.Now()
	return r
}

// correct sets the alarms on the delivery, which look some minutes back, to what is so now: at first
// they have no state, and they fire on after an outage, or even begin to. On AWS nothing knows
// better; here it is seen that events are delivered, if late.
func (s *Status) correct(alarms map[string]string, down, slow string) {
	delivers := s.Degraded == "" && (s.Backlog == 0 || s.Segment.Answered > 0)
	if !delivers || alarms[down] == string(cloudwatch.OK) || alarms[down] == "" {
		return
	}
	alarms[down] = string(cloudwatch.OK)
	if s.OldestAge >= deliversWithin {
		alarms[slow] = string(cloudwatch.Alarm)
	}
}

// deliversWithin is how long an event may wait after an outage while delivery is not called late.
const deliversWithin = time.Minute

// StatusSite serves the status site of the pipeline, as CloudFront serves that of a deployment;
// nil: there is none.
func (p *Pipeline) StatusSite() http.Handler {
	if p.site == nil {
		return nil
	}
	return p.site
}

// onlyPublic are headers for a site on the internet. This one is for programs and pages of this
// machine.
var onlyPublic = map[string]bool{"Strict-Transport-Security": true, "Access-Control-Allow-Origin": true}

// ServeHTTP answers GET and HEAD with a file of the site.
func (s *statusSite) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	for _, h := range status.Headers() {
		if !onlyPublic[h.Name] {
			w.Header().Set(h.Name, h.Value)
		}
	}
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		w.Header().Set("Allow", "GET, HEAD")
		http.Error(w, "a status site is only read: `spillway status` changes it", http.StatusMethodNotAllowed)
		return
	}
	name := strings.TrimPrefix(r.URL.Path, "/")
	if name == "" || strings.HasSuffix(name, "/") {
		name = path.Join(name, "index.html")
	}
	data, version, err := s.file(r.Context(), name)
	switch {
	case errors.Is(err, status.ErrNotFound) && name == "index.html":
		http.Error(w, "the status site is being written for the first time: reload this page", http.StatusServiceUnavailable)
		return
	case errors.Is(err, status.ErrNotFound), errors.Is(err, fs.ErrInvalid):
		http.Error(w, "the status site has no such page", http.StatusNotFound)
		return
	case err != nil:
		http.Error(w, "the status site can't be read: "+err.Error(), http.StatusServiceUnavailable)
		return
	}
	if path.Ext(name) == ".svg" {
		// A logo is shown by pages, which run no script in it. Opened by itself it would be a page
		// of the same origin as the operator's, with all its buttons.
		w.Header().Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'; sandbox")
	}
	w.Header().Set("Content-Type", status.ContentType(name))
	w.Header().Set("Cache-Control", "no-cache") // it is near, and who posts an update wants to see it
	w.Header().Set("Etag", `"`+version+`"`)
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(data))
}

func (s *statusSite) file(ctx context.Context, name string) (data []byte, version string, err error) {
	s.mu.Lock()
	store, failure := s.store, s.failure
	s.mu.Unlock()
	switch {
	case store != nil:
		return store.Read(ctx, name)
	case failure != nil:
		return nil, "", failure
	}
	return nil, "", status.ErrNotFound
}
