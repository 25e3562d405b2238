package awssource

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch/types"
	"github.com/dustin/go-humanize"

	"github.com/spillwayhq/spillway/cmd/spillway/console"
	"github.com/spillwayhq/spillway/cmd/spillway/deployed"
	"github.com/spillwayhq/spillway/cmd/spillway/dlq"
	"github.com/spillwayhq/spillway/cmd/spillway/logs"
	"github.com/spillwayhq/spillway/cmd/spillway/top"
	"github.com/spillwayhq/spillway/infra/topology"
	scloudwatch "github.com/spillwayhq/spillway/shared/cloudwatch"
	"github.com/spillwayhq/spillway/shared/event"
	"github.com/spillwayhq/spillway/shared/heavy"
	"github.com/spillwayhq/spillway/shared/ingest/writekeys"
	"github.com/spillwayhq/spillway/shared/operator"
	prices "github.com/spillwayhq/spillway/shared/price"
	"github.com/spillwayhq/spillway/shared/segment"
	"github.com/spillwayhq/spillway/shared/traffic"
)

// pausedLines is how many of deliver's lines are read for the write keys that Segment refuses.
const pausedLines = 10

// A senderLog has the lines of who sends what that were read last. It is safe for concurrent use.
type senderLog struct {
	mu    sync.Mutex
	at    time.Time // when they were read; zero: never
	since time.Duration
	lines []heavy.Line
}

func (l *senderLog) set(at time.Time, since time.Duration, lines []heavy.Line) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.at, l.since, l.lines = at, since, lines
}

func (l *senderLog) get() (at time.Time, since time.Duration, lines []heavy.Line) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.at, l.since, l.lines
}

// A senderReader reads who sends what, and the write keys. It is safe for concurrent use.
type senderReader struct {
	*pipeline
	state *stateReader
	last  senderLog

	mu    sync.Mutex
	names map[string]string // of write keys, by their fingerprints, as they were read last
}

func newSenderReader(p *pipeline, state *stateReader) *senderReader {
	return &senderReader{pipeline: p, state: state}
}

// senderGroups are the logs that have lines of who sends what.
func (r *senderReader) senderGroups() []string {
	groups := []string{r.logGroup("deliver")}
	if r.hasIngest() {
		groups = append(groups, r.logGroup("ingest"))
	}
	return groups
}

// price says what read would cost, by how much was written to the logs.
func (r *senderReader) price(ctx context.Context, since time.Duration) (string, error) {
	now := time.Now()
	spans := top.Spans(now, since)
	in := &cloudwatch.GetMetricDataInput{StartTime: aws.Time(spans[1].From.Truncate(priceEvery)), EndTime: aws.Time(now)}
	for i, group := range r.senderGroups() {
		in.MetricDataQueries = append(in.MetricDataQueries, types.MetricDataQuery{Id: aws.String(fmt.Sprint("m", i)),
			MetricStat: &types.MetricStat{Period: aws.Int32(int32(priceEvery / time.Second)), Stat: aws.String("Sum"),
				Metric: &types.Metric{Namespace: aws.String("AWS/Logs"), MetricName: aws.String("IncomingBytes"),
					Dimensions: []types.Dimension{{Name: aws.String("LogGroupName"), Value: aws.String(group)}}}}})
	}
	bytes := 0.0
	for pages := cloudwatch.NewGetMetricDataPaginator(r.CloudWatch, in); pages.HasMorePages(); {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return "", deployed.Explain(err, "read how large the logs are", "cloudwatch:GetMetricData")
		}
		r.meter.metrics(len(in.MetricDataQueries))
		for _, result := range page.MetricDataResults {
			for i := range min(len(result.Timestamps), len(result.Values)) {
				begin, end := result.Timestamps[i], result.Timestamps[i].Add(priceEvery)
				if slices.ContainsFunc(spans[:], func(s top.Span) bool { return begin.Before(s.To) && end.After(s.From) }) {
					bytes += result.Values[i]
				}
			}
		}
	}
	return fmt.Sprintf("about %s (%s)", dollars(prices.Usage{ScannedBytes: bytes}),
		humanize.Bytes(uint64(max(0, bytes)))), nil
}

// priceEvery is the period of the logs' sizes.
const priceEvery = 5 * time.Minute

// read asks Logs Insights who sends what, which charges for it.
func (r *senderReader) read(ctx context.Context, since time.Duration) (top.Report, error) {
	log := &scloudwatch.Source{Logs: r.Insights, Pipeline: r.about.Pipeline, LogGroups: r.senderGroups()}
	now := time.Now()
	lines, err := top.Read(ctx, log, now, since)
	r.meter.scanned(log.Scanned()) // what was scanned is paid for in any case
	if err != nil {
		return top.Report{}, deployed.Explain(err, "read who sends what", "logs:StartQuery, GetQueryResults and StopQuery")
	}
	now = time.Now().Add(time.Second) // what was written while the lines were read counts too
	r.last.set(now, since, lines)
	return top.New(r.about.Pipeline, now, since, lines, []heavy.By{heavy.ByEvent, heavy.ByWriteKey}, console.SenderRows),
		nil
}

// writeKeys returns the keys of the parameters, without the keys themselves, and what the lines of
// who sends what say of them, if they have been read. Without the log it is not known which are
// paused.
func (r *senderReader) writeKeys(ctx context.Context) ([]console.WriteKey, error) {
	if !r.hasIngest() {
		return nil, nil
	}
	keys, err := r.configuredKeys(ctx)
	if err != nil {
		return nil, err
	}
	keys = r.withSenders(keys)
	paused, err := r.pausedKeys(ctx)
	if err != nil {
		err = fmt.Errorf("%w: %w", console.ErrPartial, err)
	}
	for i := range keys {
		if slices.Contains(paused, keys[i].ID) {
			keys[i].Paused = "Segment refuses it, see the alarm " + r.about.Topology.Names.Alarm("wrong-credentials")
		}
	}
	byHand, failed := switched(ctx, r.pipeline, topology.PausedKeysParameter, operator.ParseKeys)
	if failed != nil {
		err = errors.Join(err, fmt.Errorf("%w: %w", console.ErrPartial, failed))
	}
	return console.WithPaused(keys, byHand.Paused()), err
}

// configuredKeys reads the documents with the write keys. None: ingest takes any.
func (r *senderReader) configuredKeys(ctx context.Context) ([]console.WriteKey, error) {
	function := r.about.Topology.Names.IngestFunction
	f, err := r.Function(ctx, function)
	if err != nil {
		return nil, deployed.Explain(err, "find the write keys of "+function, "lambda:GetFunctionConfiguration")
	}
	var keys []console.WriteKey
	for _, name := range deployed.KeysDocuments(f.Environment.Variables) {
		data, err := r.keysDocument(ctx, name)
		if err != nil {
			return nil, err
		}
		document, err := writekeys.Parse(data)
		if err != nil {
			return nil, fmt.Errorf("the write keys in %s: %w", name, err)
		}
		for _, e := range document.Entries {
			keys = append(keys, console.WriteKey{Name: e.Name, ID: event.KeyID(e.WriteKey), Disabled: e.Disabled, Quota: e.Quota,
				Burst: e.Burst, Rate: console.Unknown, Refused: console.Unknown})
		}
	}
	names := map[string]string{}
	for _, k := range keys {
		names[k.ID] = k.Name
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.names = names
	return keys, nil
}

// keysDocument reads a document with write keys.
func (r *senderReader) keysDocument(ctx context.Context, name string) ([]byte, error) {
	if deployed.IsObject(name) {
		data, err := r.Object(ctx, name)
		return data, deployed.Explain(err, "read the write keys in "+name, "s3:GetObject")
	}
	value, err := r.Parameters.GetParameter(ctx, name, true)
	return []byte(value.Text), deployed.Explain(err, "read the write keys in "+name, "ssm:GetParameter")
}

// keyName returns what may be shown of a write key.
func (r *senderReader) keyName(writeKey string) string {
	r.mu.Lock()
	defer r.mu.Unlock()
	if name := r.names[event.KeyID(writeKey)]; name != "" && writeKey != "" {
		return dlq.KeyNames(map[string]string{writeKey: name})(writeKey)
	}
	return dlq.KeyNames(nil)(writeKey)
}

// sendersAge is how old the lines of who sends what may be to say something about now.
const sendersAge = 10 * time.Minute

// withSenders adds what the last lines say of the keys, and the keys that are in no document.
func (r *senderReader) withSenders(keys []console.WriteKey) []console.WriteKey {
	at, since, lines := r.last.get()
	if at.IsZero() || time.Since(at) > sendersAge {
		return keys
	}
	byID := map[string]*console.WriteKey{}
	for i := range keys {
		keys[i].Rate, keys[i].Refused = 0, 0
		byID[keys[i].ID], byID[keys[i].Name] = &keys[i], &keys[i]
	}
	var others []*console.WriteKey
	of := func(e *heavy.Entry) *console.WriteKey {
		id := cmp.Or(e.ID, e.Name)
		k := byID[id]
		if k == nil {
			k = &console.WriteKey{ID: id}
			if e.ID != "" {
				k.Name = e.Name
			}
			byID[id] = k
			others = append(others, k)
		}
		return k
	}
	over := min(since, console.RateOver)
	recent := heavy.Between(lines, at.Add(-over), at)
	for _, sender := range traffic.Senders(recent) {
		if sender.By == heavy.ByWriteKey {
			of(&heavy.Entry{ID: sender.ID, Name: sender.Name}).Rate = float64(sender.Events) / over.Seconds()
		}
	}
	for _, l := range heavy.Between(lines, at.Add(-console.RefusedOver), at) {
		for i := range l.Heaviest {
			e := &l.Heaviest[i]
			if e.By != heavy.ByWriteKey {
				continue
			}
			k := of(e)
			if e.Code == "" {
				k.Last = latest(k.Last, l.Time)
			} else if l.Part == heavy.PartIngest {
				k.Refused += int64(e.Events)
			}
		}
	}
	for _, k := range others {
		keys = append(keys, *k)
	}
	return keys
}

// pausedKeys are the fingerprints of the write keys that Segment refuses, by the last lines of the
// deliver function: none unless events are retried for that.
func (r *senderReader) pausedKeys(ctx context.Context) ([]string, error) {
	n, err := r.state.newest(ctx)
	misconfigured := segment.Misconfigured.String()
	if err != nil || n[misconfigured].value == 0 {
		return nil, err
	}
	now := time.Now()
	found, err := find(ctx, r.Logs, logs.Search{Group: r.logGroup("deliver"), From: now.Add(-nowBack), To: now,
		Pattern: logs.Pattern(console.OutcomeRetried, misconfigured), Limit: pausedLines, Calls: samplesCalls})
	if err != nil {
		return nil, err
	}
	var ids []string
	for _, line := range found.Lines {
		if i, ok := logs.Parse(aws.ToString(line.Message)); ok {
			ids = append(ids, i.Misconfigured...)
		}
	}
	return ids, nil
}
