package console

import (
	"context"
	"crypto/rand"
	"net/http"
	"time"

	"github.com/spillwayhq/spillway/cmd/spillway/top"
	"github.com/spillwayhq/spillway/infra/local"
)

// Config configures a Console. Only Source is required.
type Config struct {
	Source Source
	Guard  local.Guard // says which hosts and pages may use it
	// Mounts are further pages, by their path, like "/status/"; they get the path without it, and
	// set a policy of their own.
	Mounts map[string]http.Handler
}

// A Console is the operator's page as an http.Handler. It is safe for concurrent use.
type Console struct {
	source  Source
	priced  Priced // nil: the senders cost nothing
	about   About
	token   string // that the forms of this process carry
	handler http.Handler
	notices notices
	links   []link // of the navigation
	runbook *runbook
	live    live
	stream  stream
	pace    pace

	now     *reading[Now]
	alarms  *reading[[]Alarm]
	funnel  *reading[funnelData]
	spans   map[string]*reading[measured] // by the span's ID
	senders *reading[top.Report]
	price   *reading[string]
	keys    *reading[[]WriteKey]
	samples sampleReadings

	dead deadActions
}

// New returns the page of a source.
func New(c Config) *Console {
	o := &Console{source: c.Source, about: c.Source.About(), token: rand.Text()}
	o.priced, _ = c.Source.(Priced)
	o.runbook = newRunbook(o.about.Topology.Names)
	o.pace = paceOf(o.about.Local)
	o.openReadings()
	o.links = []link{{"/", "Overview"}, {"/samples", "Last events"}, {deadPath, "Dead letters"}, {"/alarms", "Alarms"},
		{"/runbook", "Runbook"}}
	mux := http.NewServeMux()
	o.overviewRoutes(mux)
	o.sampleRoutes(mux)
	o.alarmRoutes(mux)
	o.senderRoutes(mux)
	o.switchRoutes(mux)
	deadPages{o}.routes(mux)
	o.assetRoutes(mux)
	mux.HandleFunc("/", o.notFound(mux))
	outer := http.NewServeMux()
	outer.Handle("/", bounded(mux))
	for path, h := range c.Mounts {
		outer.Handle(path, http.StripPrefix(path[:len(path)-1], h))
		if path == "/status/" {
			o.links = append(o.links, link{path, "Status site"})
		}
	}
	o.handler = c.Guard.Wrap(outer)
	return o
}

// pace is how often things are read: as often as they change, and where reading costs money, as
// often as somebody needs it.
type pace struct {
	deadline time.Duration // of one reading
	tick     time.Duration // between two updates of the pages that are open
	now, metrics, alarms, senders, keys,
	samples time.Duration
}

func paceOf(local bool) pace {
	if local {
		return pace{deadline: 2 * time.Second, tick: liveStep, now: time.Second / 2, metrics: 5 * time.Second,
			alarms: 2 * time.Second, senders: 10 * time.Second, keys: 5 * time.Second, samples: time.Second}
	}
	// CloudWatch's metrics and alarms change once a minute.
	return pace{deadline: 8 * time.Second, tick: 10 * time.Second, now: 10 * time.Second, metrics: time.Minute,
		alarms: time.Minute, senders: 5 * time.Minute, keys: 5 * time.Minute, samples: 10 * time.Second}
}

func (c *Console) openReadings() {
	p := c.pace
	c.now = newReading(p.now, p.deadline, c.source.Now)
	c.alarms = newReading(p.alarms, p.deadline, c.readAlarms)
	c.funnel = newReading(p.metrics, p.deadline, c.readFunnel)
	c.spans = map[string]*reading[measured]{}
	for _, s := range spans {
		c.spans[s.ID] = newReading(p.metrics, p.deadline, func(ctx context.Context) (measured, error) {
			return c.readCharts(ctx, s)
		})
	}
	c.senders = newReading(p.senders, p.deadline, func(ctx context.Context) (top.Report, error) {
		return c.source.Senders(ctx, sendersSince)
	})
	if c.priced != nil {
		c.senders.fresh, c.senders.deadline = 0, pricedDeadline
		c.price = newReading(p.senders, p.deadline, func(ctx context.Context) (string, error) {
			return c.priced.SendersPrice(ctx, sendersSince)
		})
	}
	c.keys = newReading(p.keys, p.deadline, c.source.WriteKeys)
	c.samples = sampleReadings{read: c.source.Samples, fresh: p.samples, deadline: p.deadline}
}

// pricedDeadline is for what somebody has asked and pays for: a query over an hour of logs.
const pricedDeadline = time.Minute

// ServeHTTP answers with the page.
func (c *Console) ServeHTTP(w http.ResponseWriter, r *http.Request) { c.handler.ServeHTTP(w, r) }

// Run keeps the open pages current, until ctx ends. Without viewers it reads nothing but, on this
// machine, the totals for the live charts.
func (c *Console) Run(ctx context.Context) {
	ticker := time.NewTicker(c.pace.tick)
	defer ticker.Stop()
	defer c.stream.close()
	defer c.dead.close()
	for {
		if c.about.Local {
			if now := c.now.get(ctx); now.Err == nil {
				c.live.add(now.Value)
			}
		}
		for _, s := range spans {
			if c.stream.watched(s.ID) {
				c.stream.update(s.ID, c.parts(ctx, s))
			}
		}
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		case <-c.stream.wake():
		}
	}
}
