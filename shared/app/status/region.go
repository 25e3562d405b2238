package status

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
)

// regionTimeout bounds the reading of a region. All are read at the same time, so one that hangs
// costs only what is known of itself.
const regionTimeout = 10 * time.Second

// A Source reads a region of the pipeline. Its calls return when their context ends. It is safe for
// concurrent use.
type Source interface {
	// Alarms returns the states, as CloudWatch has them, of those alarms that exist.
	Alarms(ctx context.Context, names []string) (map[string]string, error)
	// Waiting returns how many messages the events queue has, those in flight too.
	Waiting(context.Context) (int64, error)
	// Ages returns the ages of the oldest event in the last minutes, in seconds.
	Ages(context.Context) ([]Point, error)
	// Canaries returns how many test events were delivered, by the minute for which each was sent.
	Canaries(context.Context) ([]Point, error)
	// IngestURL returns the URL of the ingest endpoint.
	IngestURL(context.Context) (string, error)
}

// A Region is a region of the pipeline.
type Region struct {
	Name     string
	Source   Source
	NoIngest bool // the pipeline has no ingest endpoint, and no canary, which goes through it
}

// errUnread is the error of a part until it has been read.
var errUnread = errors.New("it was not read")

// read reads everything that is to be known of a region at the same time.
func (f *Function) read(ctx context.Context, region *Region) *Reading {
	ctx, cancel := context.WithTimeout(ctx, regionTimeout)
	defer cancel()
	s := region.Source
	r := &Reading{Region: region.Name, NoIngest: region.NoIngest, URLErr: errUnread, AlarmsErr: errUnread,
		WaitingErr: errUnread}
	parts := map[string]func(){
		"alarms": func() { r.Alarms, r.AlarmsErr = s.Alarms(ctx, Alarms(f.options.Name, r.NoIngest)) },
		"queue":  func() { readBacklog(ctx, s, r) },
	}
	if !r.NoIngest {
		r.CanariesErr = errUnread
		parts["canaries"] = func() { r.Canaries, r.CanariesErr = s.Canaries(ctx) }
		parts["ingest"] = func() { f.readHealth(ctx, region, r) }
	}
	var all sync.WaitGroup
	for name, part := range parts {
		all.Go(func() {
			defer func() {
				if p := recover(); p != nil { // one that panics must not end the whole function
					f.parts.Logger.ErrorContext(ctx, "a region could not be read: it panicked", "region", region.Name, "part",
						name, "type", fmt.Sprintf("%T", p))
				}
			}()
			part()
		})
	}
	all.Wait()
	r.At = time.Now()
	return r
}

func (f *Function) readHealth(ctx context.Context, region *Region, r *Reading) {
	url, err := f.urls.of(ctx, region)
	if err == nil {
		r.Health = AskHealth(ctx, f.parts.Transport, url)
	}
	r.URLErr = err
}

// readBacklog reads if something waits, and only then for how long, because a metric costs.
func readBacklog(ctx context.Context, s Source, r *Reading) {
	r.Waiting, r.WaitingErr = s.Waiting(ctx)
	if r.WaitingErr != nil || r.Waiting > 0 {
		r.Ages, r.AgesErr = s.Ages(ctx)
	}
}
