package console

import (
	"bytes"
	"context"
	"fmt"
	"html/template"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/spillwayhq/spillway/cmd/spillway/top"
	"github.com/spillwayhq/spillway/shared/chart"
)

// An overview is what the first page shows. Each of its parts has a template "part-…", which the
// stream renders alone.
type overview struct {
	Token    string
	About    About
	Status   statusView
	Switches *switchesView // nil: there are none
	Funnel   funnelView
	Live     []chart.Chart // none: the totals are not known by the second
	Charts   chartsView
	Alarms   alarmsView
	Senders  sendersView
	Keys     keysView
}

// A funnelView is the funnel.
type funnelView struct {
	Known  bool
	Stale  string
	Stages []stage
}

// A chartsView is the charts of one span.
type chartsView struct {
	Known bool
	Stale string
	Span  span
	Spans []span
	All   []chart.Chart
}

// partNames are the parts of the overview that the stream sends, by the IDs of their elements.
var partNames = []string{"status", "switches", "funnel", "live", "charts", "alarms", "senders", "keys"}

// overview reads everything at the same time, so that the slowest part alone says how long it
// takes.
func (c *Console) overview(ctx context.Context, s span) *overview {
	var (
		now      seen[Now]
		alarms   seen[[]Alarm]
		funnel   seen[funnelData]
		measures seen[measured]
		keys     seen[[]WriteKey]
		senders  seen[top.Report]
		price    seen[string]
		all      sync.WaitGroup
	)
	o := &overview{Token: c.token, About: c.about}
	all.Go(func() { now = c.now.get(ctx) })
	all.Go(func() { alarms = c.alarms.get(ctx) })
	all.Go(func() { funnel = c.funnel.get(ctx) })
	all.Go(func() { measures = c.spans[s.ID].get(ctx) })
	all.Go(func() { keys = c.keys.get(ctx) })
	all.Go(func() { senders, price = c.readSenders(ctx) })
	all.Wait()
	t := &c.about.Topology
	rate := c.live.rate()
	if !rate.known && funnel.Known() {
		rate = measuredRate(t.Names, funnel.Value.metrics)
	}
	o.Status = status(&c.about, now, alarms, keys.Value, rate)
	o.Switches = c.switchesNow(now)
	o.Funnel = funnelView{Known: funnel.Known(), Stale: stale(funnel.Err, funnel.At)}
	if funnel.Known() {
		o.Funnel.Stages = stages(t.Names, funnel.Value, now, rate)
	}
	o.Live = c.live.charts()
	o.Charts = chartsView{Known: measures.Known(), Stale: stale(measures.Err, measures.At), Span: s, Spans: spans}
	if measures.Known() {
		o.Charts.All = c.charts(measures.Value, alarms.Value)
	}
	o.Alarms = alarmList(t, alarms)
	if next := o.Alarms.Coming; len(o.Status.Firing) == 0 && o.Status.Class != "good" {
		o.Status.Coming = next[:min(len(next), 1)]
	}
	o.Senders = c.sendersNow(senders, price)
	o.Keys = keysOf(keys)
	return o
}

// parts renders the parts of the overview. If that panics the pages that are open say so, and the
// pipeline goes on that runs in the same process.
func (c *Console) parts(ctx context.Context, s span) (all map[string][]byte) {
	defer func() {
		if p := recover(); p != nil {
			all = map[string][]byte{"status": partFailed(fmt.Sprintf("this page can't be made, which is a bug: %v", p))}
		}
	}()
	o := c.overview(ctx, s)
	all = map[string][]byte{}
	for _, name := range partNames {
		var b bytes.Buffer
		if err := pages["overview"].ExecuteTemplate(&b, "part-"+name, o); err != nil {
			all[name] = partFailed(fmt.Sprintf("make the part %s: %v", name, err))
			continue
		}
		all[name] = b.Bytes()
	}
	return all
}

// partFailed is what a part of the page is that can't be made.
func partFailed(why string) []byte {
	return []byte(`<p class="stale" role="note">` + template.HTMLEscapeString(shortTo(sentence(why), maxError)) + `</p>`)
}

func (c *Console) overviewRoutes(mux *http.ServeMux) {
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, r *http.Request) {
		s := spanOf(r.URL.Query().Get("span"))
		c.renderLive(w, r, "overview", "Overview", s, c.overview(r.Context(), s))
	})
	mux.HandleFunc("GET /events", func(w http.ResponseWriter, r *http.Request) {
		c.stream.serve(w, r, spanOf(r.URL.Query().Get("span")).ID)
	})
}

// notFound answers what no other page of mux does, and the wrong method of one.
func (c *Console) notFound(mux *http.ServeMux) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		var allowed []string
		for _, method := range []string{http.MethodGet, http.MethodPost} {
			as := *r
			as.Method = method
			if _, pattern := mux.Handler(&as); pattern != "/" {
				allowed = append(allowed, method)
			}
		}
		if len(allowed) == 0 {
			c.fail(w, r, http.StatusNotFound, fmt.Errorf("there is no page %s", short(r.URL.Path)))
			return
		}
		w.Header().Set("Allow", strings.Join(allowed, ", "))
		c.fail(w, r, http.StatusMethodNotAllowed, fmt.Errorf("%s is only for %s: if a form has led here, use it again. "+
			"Nothing was changed", short(r.URL.Path), strings.Join(allowed, " and ")))
	}
}

// refreshEvery is how often a page that can't follow the stream loads itself again.
const refreshEvery = 30 * time.Second
