package report

import (
	"fmt"
	"time"

	"github.com/spillwayhq/spillway/integration/peers/peer"
	"github.com/spillwayhq/spillway/shared/chart"
	"github.com/spillwayhq/spillway/shared/price"
)

// latency is that of the tables, and of the chart.
const latency = 50 * time.Millisecond

// none is the cell of what was not measured.
const none = "–"

// Tables are all tables, in the order of the page.
func (r *Results) Tables() []Table {
	tables := []Table{r.draining(), r.losing()}
	for _, p := range r.Parts {
		tables = append(tables, p.Tables...)
	}
	return tables
}

// draining is the table of speed, use and price.
func (r *Results) draining() Table {
	t := Table{Title: "A backlog drained",
		Head: []string{"", "events", "drained in", "events/s", "at 0 ms", "CPU an event: worker + queue",
			"peak RSS: worker, queue", "a million on AWS"}}
	for _, p := range r.Peers {
		d := r.drain(p.Name, latency)
		if d == nil {
			continue
		}
		quick := none
		if at0 := r.drain(p.Name, 0); at0 != nil {
			quick = rate(at0)
		}
		t.Rows = append(t.Rows, []string{p.What, chart.Number(float64(d.Events)), fmt.Sprintf("%.1f s", d.Took.Seconds()),
			rate(d), quick, perEvent(d.WorkerCPU, d) + " + " + perEvent(d.QueueCPU, d) + " µs", memory(d), dollars(&p, d)})
	}
	return t
}

func rate(d *Drain) string {
	if v := arrivedPerSecond(d); v >= 10 {
		return chart.Number(v)
	}
	return chart.Digits(arrivedPerSecond(d))
}

func arrivedPerSecond(d *Drain) float64 {
	if d.Took <= 0 {
		return 0
	}
	return float64(int64(d.Events)-d.Lost) / d.Took.Seconds()
}

func perEvent(cpu time.Duration, d *Drain) string {
	return chart.Digits(float64(cpu) / float64(time.Microsecond) / float64(d.Events))
}

func memory(d *Drain) string {
	worker := fmt.Sprintf("%d MB", megabytes(d.WorkerRSS))
	if d.Processes > 1 {
		worker = fmt.Sprintf("%d x %s", d.Processes, worker)
	}
	return fmt.Sprintf("%s, %d MB", worker, megabytes(d.QueueRSS))
}

func megabytes(bytes int64) int64 { return (bytes + 500_000) / 1_000_000 }

// lambdaLines are the bytes of the lines START, END and REPORT that Lambda itself logs for an
// invocation, as CloudWatch bills them with 26 bytes a line.
const lambdaLines = 450

// Usage is what the run would have used of AWS, for a million events.
func (d *Drain) Usage() price.Usage {
	return price.Usage{SQSRequests: float64(d.Requests), Invocations: float64(d.Invocations), GBSeconds: d.GBSeconds,
		LogBytes:    float64(d.LogBytes) + lambdaLines*float64(d.Invocations),
		EgressBytes: float64(d.WireBytes)}.Times(1e6 / float64(d.Events))
}

// dollars is what a million events cost. A worker that is no function needs a server, which costs
// the same whether events come or not.
func dollars(p *peer.Peer, d *Drain) string {
	text := fmt.Sprintf("$%.3f", d.Usage().Bill().Total())
	switch {
	case p.Function != nil:
		return text
	case p.Queue == peer.Redis:
		return text + " + servers for Redis and workers"
	default:
		return text + " + a server"
	}
}

// losing is the table of what is lost and doubled.
func (r *Results) losing() Table {
	t := Table{Title: "Events lost and doubled",
		Head: []string{"", "nothing fails", "the worker is killed (-9)", "Segment is away for " + r.away()}}
	for _, p := range r.Peers {
		cells := []string{p.What}
		d := r.drain(p.Name, latency)
		if d == nil {
			cells = append(cells, none)
		} else {
			cells = append(cells, d.text())
		}
		for _, kind := range []string{"kill", "away"} {
			if f := r.fault(p.Name, kind); f == nil {
				cells = append(cells, none)
			} else {
				cells = append(cells, f.text())
			}
		}
		t.Rows = append(t.Rows, cells)
	}
	return t
}

// away is for how long Segment was away.
func (r *Results) away() string {
	for _, p := range r.Peers {
		if f := r.fault(p.Name, "away"); f != nil && f.Away != time.Minute {
			return f.Away.String()
		}
	}
	return "a minute"
}

func outcome(lost, doubled int64, of int) string {
	text := "0 lost"
	if lost > 0 {
		text = fmt.Sprintf("**%s lost of %s**", chart.Number(float64(lost)), chart.Number(float64(of)))
	}
	if doubled > 0 {
		text += ", " + chart.Number(float64(doubled)) + " doubled"
	}
	return text
}

func (d *Drain) text() string {
	if d.Left > 0 {
		return waiting(d.Lost)
	}
	return outcome(d.Lost, d.Doubled, d.Events)
}

// waiting is the outcome of a run that ended while messages were in the queue.
func waiting(events int64) string {
	return chart.Number(float64(events)) + " still in flight when the run ended"
}

func (f *Fault) text() string {
	if f.Left > 0 {
		return waiting(f.Lost)
	}
	text := outcome(f.Lost, f.Doubled, f.Events)
	if f.Kind == "away" && f.Lost < int64(f.Events) {
		text += fmt.Sprintf("; the last after %.0f s", f.Took.Seconds())
	}
	return text
}
