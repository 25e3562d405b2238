package awssource

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs/types"

	"github.com/spillwayhq/spillway/cmd/spillway/console"
	"github.com/spillwayhq/spillway/cmd/spillway/deployed"
	"github.com/spillwayhq/spillway/cmd/spillway/logs"
	"github.com/spillwayhq/spillway/cmd/spillway/terminal"
	"github.com/spillwayhq/spillway/infra/topology"
)

const (
	// samplesBack is how far back samples are looked for.
	samplesBack = 24 * time.Hour
	// samplesCalls and refusalsCalls bound the calls of one reading: an account has 5
	// FilterLogEvents a second in a region (CloudWatch Logs quotas).
	samplesCalls  = 12
	refusalsCalls = 8
	// refusalsSpan is how long a time of a log is read at a time.
	refusalsSpan = 15 * time.Minute
	// linesLate is how late a line may be.
	linesLate = 30 * time.Second
	// notRead is the code of refused requests whose lines have not been read.
	notRead = "other"
)

// refusalsPattern selects the lines of ingest's metrics with what it refused: requests by their
// codes, or events by theirs.
const refusalsPattern = `?Codes ?EventsRejected`

// A refusal is a line of ingest that counts what it refused.
type refusal struct {
	at             time.Time
	Codes          map[string]float64 // requests, by their codes
	Code           string             // of the events in EventsRejected
	EventsRejected float64
}

// parseRefusal reads a line of ingest's metrics.
func parseRefusal(line types.FilteredLogEvent) (r refusal, ok bool) {
	r.at = time.UnixMilli(aws.ToInt64(line.Timestamp)).UTC()
	ok = json.Unmarshal([]byte(aws.ToString(line.Message)), &r) == nil
	return r, ok && (len(r.Codes) > 0 || r.Code != "" && r.EventsRejected > 0)
}

func keepRefusals(line types.FilteredLogEvent) bool {
	_, ok := parseRefusal(line)
	return ok
}

// find reads lines of a function's log.
func find(ctx context.Context, api cloudwatchlogs.FilterLogEventsAPIClient, s logs.Search) (logs.Found, error) {
	found, err := logs.Newest(ctx, api, s)
	if _, missing := errors.AsType[*types.ResourceNotFoundException](err); missing {
		return found, fmt.Errorf("the log group %s does not exist in this region", s.Group)
	}
	return found, deployed.Explain(err, "read the log group "+s.Group, "logs:FilterLogEvents")
}

// A refusalReader has what ingest refused, by its lines. It is safe for concurrent use.
type refusalReader struct {
	api   cloudwatchlogs.FilterLogEventsAPIClient
	group string

	mu          sync.Mutex
	from, until time.Time // the log has been read for this time
	lines       []refusal // oldest first
}

// sums returns what was refused in a time, as far as the log has been read: a long time of a large
// log takes several calls of this.
func (r *refusalReader) sums(ctx context.Context, from, to time.Time) (console.Refusals, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.until.IsZero() || from.Before(r.from) {
		r.from, r.until, r.lines = from, from, nil
	}
	start := latest(r.from, r.until.Add(-linesLate))
	for calls := 0; start.Before(to) && calls < refusalsCalls; calls++ {
		end := start.Add(refusalsSpan)
		if end.After(to) {
			end = to
		}
		found, err := find(ctx, r.api, logs.Search{Group: r.group, Pattern: refusalsPattern, From: start, To: end,
			Calls: refusalsCalls, Keep: keepRefusals})
		if err != nil {
			return console.Refusals{}, err
		}
		r.take(start, end, found)
		if !found.Whole {
			break
		}
		start = end
	}
	sums := console.Refusals{Requests: map[string]float64{}, Events: map[string]float64{}}
	for _, l := range r.lines {
		if l.at.Before(from) || !l.at.Before(to) {
			continue
		}
		for code, n := range l.Codes {
			sums.Requests[code] += n
		}
		if l.Code != "" {
			sums.Events[l.Code] += l.EventsRejected
		}
	}
	return sums, nil
}

// take keeps the lines that were found from start on, instead of those that were known.
func (r *refusalReader) take(start, end time.Time, found logs.Found) {
	r.from = latest(r.from, end.Add(-samplesBack))
	r.lines = slices.DeleteFunc(r.lines, func(l refusal) bool { return !l.at.Before(start) || l.at.Before(r.from) })
	for _, line := range found.Lines {
		if l, ok := parseRefusal(line); ok {
			r.lines = append(r.lines, l)
		}
	}
	switch n := len(found.Lines); {
	case found.Whole:
		r.until = end
	case n > 0: // the next call goes on from there
		r.until = time.UnixMilli(aws.ToInt64(found.Lines[n-1].Timestamp)).Add(linesLate)
	default:
		r.until = start.Add(linesLate)
	}
}

// A lineReader reads what the functions' lines tell. It is safe for concurrent use.
type lineReader struct {
	*pipeline
	refusals refusalReader
}

func newLineReader(p *pipeline) *lineReader {
	return &lineReader{pipeline: p, refusals: refusalReader{api: p.Logs, group: p.logGroup("ingest")}}
}

// refused returns what was refused: by which codes by the log, and how many requests by the
// metrics, which have all.
func (r *lineReader) refused(ctx context.Context, from, to time.Time) (console.Refusals, error) {
	if !r.hasIngest() {
		return console.Refusals{}, nil
	}
	from, to = from.Truncate(time.Minute), to.Truncate(time.Minute)
	total, err := r.countRefused(ctx, from, to)
	if err != nil {
		return console.Refusals{}, err
	}
	sums, err := r.refusals.sums(ctx, from, to)
	if err != nil {
		return console.Refusals{}, err
	}
	for _, n := range sums.Requests {
		total -= n
	}
	if total > 0 {
		sums.Requests[notRead] += total
	}
	return sums, nil
}

// countRefused is how many requests ingest refused.
func (r *lineReader) countRefused(ctx context.Context, from, to time.Time) (total float64, err error) {
	n := int(to.Sub(from) / time.Minute)
	if n <= 0 {
		return 0, nil
	}
	values, err := r.values(ctx, []topology.Metric{r.own("ingest", "RequestsRefused", "Sum"),
		r.own("ingest", "RequestsShed", "Sum")}, from, time.Minute, n)
	for _, of := range values {
		for _, v := range of {
			if v > 0 {
				total += v
			}
		}
	}
	return total, err
}

// reasonRule is what a reason may be in a pattern: those that the functions write are.
var reasonRule = regexp.MustCompile(`^[a-z_]*$`)

// samples returns what became of events. On AWS no log has them: what can be shown is what became
// of several together, an invocation of deliver or a line of ingest at a time.
func (r *lineReader) samples(ctx context.Context, q console.SampleQuery) ([]console.Sample, error) {
	if !reasonRule.MatchString(q.Reason) {
		return nil, fmt.Errorf("unknown reason %q", q.Reason)
	}
	var delivered, refused []console.Sample
	var deliveredErr, refusedErr error
	var reading sync.WaitGroup
	if q.Outcome != console.OutcomeRefused {
		reading.Go(func() { delivered, deliveredErr = r.invocations(ctx, q) })
	}
	if (q.Outcome == "" || q.Outcome == console.OutcomeRefused) && r.hasIngest() {
		reading.Go(func() { refused, refusedErr = r.refusedSamples(ctx, q) })
	}
	reading.Wait()
	if err := errors.Join(deliveredErr, refusedErr); err != nil {
		return nil, err
	}
	all := append(delivered, refused...)
	slices.SortStableFunc(all, func(a, b console.Sample) int { return b.At.Compare(a.At) })
	return all[:min(len(all), q.Limit)], nil
}

// invocations are samples of the lines of the deliver function.
func (r *lineReader) invocations(ctx context.Context, q console.SampleQuery) ([]console.Sample, error) {
	keep := func(line types.FilteredLogEvent) bool {
		i, ok := logs.Parse(aws.ToString(line.Message))
		return ok && len(samplesOf(&i, q)) > 0
	}
	now := time.Now()
	found, err := find(ctx, r.Logs, logs.Search{Group: r.logGroup("deliver"), Pattern: logs.Pattern(q.Outcome, q.Reason),
		From: now.Add(-samplesBack), To: now, Limit: q.Limit, Calls: samplesCalls, Keep: keep})
	if err != nil {
		return nil, err
	}
	var all []console.Sample
	for _, line := range slices.Backward(found.Lines) {
		i, _ := logs.Parse(aws.ToString(line.Message))
		all = append(all, samplesOf(&i, q)...)
	}
	return all, nil
}

// samplesOf are what became of an invocation's events, as far as the query asks for it.
func samplesOf(i *logs.Invocation, q console.SampleQuery) []console.Sample {
	var all []console.Sample
	add := func(outcome, reason string, n int) {
		if n == 0 || q.Outcome != "" && q.Outcome != outcome || q.Reason != "" && q.Reason != reason {
			return
		}
		slowest := time.Duration(i.SlowestFlush) * time.Millisecond
		s := console.Sample{At: i.Time, Outcome: outcome, Reason: reason,
			Type: terminal.Number(int64(n)) + " of " + terminal.Plural(int64(i.Events), "event"),
			Answer: fmt.Sprintf("the slowest of %s took %v; breaker %s", terminal.Plural(int64(i.Flushes), "call"), slowest,
				i.Breaker),
			Age: time.Duration(i.Oldest) * time.Millisecond}
		if reason == "misconfigured" {
			s.WriteKey = strings.Join(i.Misconfigured, ", ")
		}
		all = append(all, s)
	}
	for _, reason := range slices.Sorted(maps.Keys(i.DeadLettered)) {
		add(console.OutcomeDeadLettered, reason, i.DeadLettered[reason])
	}
	for _, reason := range slices.Sorted(maps.Keys(i.Retried)) {
		add(console.OutcomeRetried, reason, i.Retried[reason])
	}
	add(console.OutcomeDelivered, "", i.Delivered)
	return all
}

// refusedSamples are samples of the lines of ingest.
func (r *lineReader) refusedSamples(ctx context.Context, q console.SampleQuery) ([]console.Sample, error) {
	keep := func(line types.FilteredLogEvent) bool {
		l, ok := parseRefusal(line)
		return ok && len(l.Codes) > 0 && (q.Reason == "" || l.Codes[q.Reason] > 0)
	}
	now := time.Now()
	found, err := find(ctx, r.Logs, logs.Search{Group: r.logGroup("ingest"), Pattern: refusalsPattern,
		From: now.Add(-samplesBack), To: now, Limit: q.Limit, Calls: samplesCalls, Keep: keep})
	if err != nil {
		return nil, err
	}
	var all []console.Sample
	for _, line := range slices.Backward(found.Lines) {
		l, _ := parseRefusal(line)
		codes := slices.SortedFunc(maps.Keys(l.Codes), func(a, b string) int {
			return cmp.Or(cmp.Compare(l.Codes[b], l.Codes[a]), cmp.Compare(a, b))
		})
		for _, code := range codes {
			if q.Reason == "" || q.Reason == code {
				all = append(all, console.Sample{At: l.at, Outcome: console.OutcomeRefused, Reason: code, Age: console.Unknown,
					Type: terminal.Plural(int64(l.Codes[code]), "request")})
			}
		}
	}
	return all, nil
}
