package awssource

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch/types"

	"github.com/spillwayhq/spillway/cmd/spillway/console"
	"github.com/spillwayhq/spillway/cmd/spillway/deployed"
	"github.com/spillwayhq/spillway/infra/topology"
)

const (
	// namesPerCall is how many alarms DescribeAlarms takes by their names (CloudWatch API
	// reference).
	namesPerCall = 100
	// historyPages bounds the history of one alarm: of 1,000 changes in a day nobody reads the
	// rest.
	historyPages = 10
	// historyCalls run at a time, of the 20 a second that an account has (CloudWatch quotas).
	historyCalls = 4
)

// AlarmAPI is what reading alarms needs of a *cloudwatch.Client.
type AlarmAPI interface {
	cloudwatch.DescribeAlarmsAPIClient
	cloudwatch.DescribeAlarmHistoryAPIClient
}

// An alarmReader reads how alarms stand, and their history, of each alarm only when it has changed.
// It is safe for concurrent use.
type alarmReader struct {
	api   AlarmAPI
	meter *meter

	mu      sync.Mutex
	history map[string]pastStates // by alarm
}

// pastStates are the changes of an alarm.
type pastStates struct {
	since   time.Time
	changed time.Time // the alarm's last change when they were read
	changes []change  // oldest first
}

// A change of an alarm's state.
type change struct {
	at   time.Time
	from string
	to   string
}

func newAlarmReader(api AlarmAPI, m *meter) *alarmReader {
	return &alarmReader{api: api, meter: m, history: map[string]pastStates{}}
}

// A described alarm is what CloudWatch says of one.
type described struct {
	console.Alarm
	metrics []types.MetricDataQuery // of a metric alarm
	arn     string
}

// describe reads the alarms with these names, by name.
func (r *alarmReader) describe(ctx context.Context, names []string) (map[string]described, error) {
	found := map[string]described{}
	for part := range slices.Chunk(names, namesPerCall) {
		pages := cloudwatch.NewDescribeAlarmsPaginator(r.api, &cloudwatch.DescribeAlarmsInput{AlarmNames: part,
			AlarmTypes: []types.AlarmType{types.AlarmTypeMetricAlarm, types.AlarmTypeCompositeAlarm}})
		for pages.HasMorePages() {
			page, err := pages.NextPage(ctx)
			if err != nil {
				return nil, deployed.Explain(err, "read the alarms", "cloudwatch:DescribeAlarms")
			}
			r.meter.requests(1)
			for i := range page.MetricAlarms {
				d := ofMetric(&page.MetricAlarms[i])
				found[d.Name] = d
			}
			for i := range page.CompositeAlarms {
				d := ofComposite(&page.CompositeAlarms[i])
				found[d.Name] = d
			}
		}
	}
	return found, nil
}

func ofMetric(a *types.MetricAlarm) described {
	return described{console.Alarm{Name: aws.ToString(a.AlarmName), State: string(a.StateValue),
		Since: changedAt(a.StateTransitionedTimestamp, a.StateUpdatedTimestamp), Reason: aws.ToString(a.StateReason),
		Notified: notified(a.StateValue, a.ActionsEnabled, a.AlarmActions)}, a.Metrics, aws.ToString(a.AlarmArn)}
}

func ofComposite(a *types.CompositeAlarm) described {
	d := described{Alarm: console.Alarm{Name: aws.ToString(a.AlarmName), State: string(a.StateValue),
		Since: changedAt(a.StateTransitionedTimestamp, a.StateUpdatedTimestamp), Reason: aws.ToString(a.StateReason),
		Notified: notified(a.StateValue, a.ActionsEnabled, a.AlarmActions)}, arn: aws.ToString(a.AlarmArn)}
	if a.ActionsSuppressedBy != "" {
		suppressor := aws.ToString(a.ActionsSuppressor)
		d.SuppressedBy, d.Notified = suppressor[strings.LastIndex(suppressor, ":")+1:], false
	}
	return d
}

// notified reports whether somebody was told that an alarm fires, unless it is suppressed.
func notified(state types.StateValue, enabled *bool, actions []string) bool {
	return state == types.StateValueAlarm && aws.ToBool(enabled) && len(actions) > 0
}

// changedAt is when the state changed; what updates it may leave the state as it is.
func changedAt(transitioned, updated *time.Time) time.Time {
	if transitioned != nil {
		return transitioned.UTC()
	}
	return aws.ToTime(updated).UTC()
}

// firings adds to each alarm when it fired since a time. An alarm that has not changed since has no
// history to read. An error leaves what is known without it.
func (r *alarmReader) firings(ctx context.Context, alarms []console.Alarm, since time.Time) error {
	errs := make(chan error, len(alarms))
	slots := make(chan struct{}, historyCalls)
	var reading sync.WaitGroup
	for i := range alarms {
		a := &alarms[i]
		if a.Since.IsZero() || a.Since.Before(since) {
			a.Firings = spans(nil, a, since)
			continue
		}
		reading.Go(func() {
			slots <- struct{}{}
			defer func() { <-slots }()
			changes, err := r.changes(ctx, a, since)
			errs <- err
			a.Firings = spans(changes, a, since)
		})
	}
	reading.Wait()
	close(errs)
	for err := range errs {
		if err != nil {
			return fmt.Errorf("%w: %w", console.ErrPartial,
				deployed.Explain(err, "read when alarms fired before", "cloudwatch:DescribeAlarmHistory"))
		}
	}
	return nil
}

// changes returns the changes of an alarm since a time.
func (r *alarmReader) changes(ctx context.Context, a *console.Alarm, since time.Time) ([]change, error) {
	r.mu.Lock()
	known := r.history[a.Name]
	r.mu.Unlock()
	if !known.changed.IsZero() && known.changed.Equal(a.Since) && !since.Before(known.since) {
		return known.changes, nil
	}
	changes, err := r.read(ctx, a.Name, since)
	if err != nil {
		return nil, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.history[a.Name] = pastStates{since, a.Since, changes}
	return changes, nil
}

func (r *alarmReader) read(ctx context.Context, name string, since time.Time) ([]change, error) {
	in := &cloudwatch.DescribeAlarmHistoryInput{AlarmName: aws.String(name), StartDate: aws.Time(since),
		EndDate:         aws.Time(time.Now().Add(time.Minute)), // CloudWatch's clock may be before ours
		HistoryItemType: types.HistoryItemTypeStateUpdate, ScanBy: types.ScanByTimestampDescending,
		AlarmTypes: []types.AlarmType{types.AlarmTypeMetricAlarm, types.AlarmTypeCompositeAlarm}}
	var changes []change
	pages := cloudwatch.NewDescribeAlarmHistoryPaginator(r.api, in)
	for n := 0; pages.HasMorePages() && n < historyPages; n++ {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return nil, err
		}
		r.meter.requests(1)
		for i := range page.AlarmHistoryItems {
			if c, ok := parseChange(&page.AlarmHistoryItems[i]); ok {
				changes = append(changes, c)
			}
		}
	}
	slices.SortStableFunc(changes, func(a, b change) int { return a.at.Compare(b.at) })
	return changes, nil
}

// parseChange reads an item of the history.
func parseChange(item *types.AlarmHistoryItem) (c change, ok bool) {
	var data struct {
		OldState struct {
			StateValue string `json:"stateValue"`
		} `json:"oldState"`
		NewState struct {
			StateValue string `json:"stateValue"`
		} `json:"newState"`
	}
	if item.HistoryItemType != types.HistoryItemTypeStateUpdate || item.Timestamp == nil ||
		json.Unmarshal([]byte(aws.ToString(item.HistoryData)), &data) != nil || data.NewState.StateValue == "" {
		return change{}, false
	}
	return change{item.Timestamp.UTC(), data.OldState.StateValue, data.NewState.StateValue}, true
}

// spans are the times since a time in which an alarm fired, by its changes and how it stands now.
// Changes of before say whether it fired at that time.
func spans(changes []change, a *console.Alarm, since time.Time) []console.Span {
	var all []console.Span
	open := time.Time{}
	if len(changes) > 0 && changes[0].from == console.StateAlarm {
		open = since
	}
	for _, c := range changes {
		switch {
		case c.to == console.StateAlarm && open.IsZero():
			open = latest(c.at, since)
		case c.to != console.StateAlarm && !open.IsZero():
			if c.at.After(since) {
				all = append(all, console.Span{From: open, To: c.at})
			}
			open = time.Time{}
		}
	}
	switch fires := a.State == console.StateAlarm; {
	case fires && open.IsZero():
		open = latest(a.Since, since)
		fallthrough
	case fires:
		all = append(all, console.Span{From: open})
	case !open.IsZero(): // its end is not in the history yet
		all = append(all, console.Span{From: open, To: latest(a.Since, open)})
	}
	return all
}

func latest(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// standing are the topology's alarms as CloudWatch describes them, composites last.
func standing(t *topology.Topology, found map[string]described) []console.Alarm {
	var all []console.Alarm
	add := func(name string, severity topology.Severity, composite bool) {
		a := found[name].Alarm
		if a.Name == "" {
			a = console.Alarm{Name: name, State: console.StateUnknown,
				Reason: "CloudWatch has no such alarm: deploy again with --revert-drift"}
		}
		a.Severity, a.Composite = severity, composite
		all = append(all, a)
	}
	for i := range t.Alarms {
		add(t.Alarms[i].Name, t.Alarms[i].Severity, false)
	}
	for i := range t.Composites {
		add(t.Composites[i].Name, t.Composites[i].Severity, true)
	}
	return all
}

// endpointMetrics finds where CloudWatch has the metrics of the ingest endpoint: its alarms know
// it.
func endpointMetrics(t *topology.Topology, found map[string]described) (e topology.EndpointMetrics, ok bool) {
	for i := range t.Alarms {
		for _, m := range t.Alarms[i].Metrics {
			if !m.IngestEndpoint {
				continue
			}
			for _, q := range found[t.Alarms[i].Name].metrics {
				if aws.ToString(q.Id) != m.ID || q.MetricStat == nil || q.MetricStat.Metric == nil ||
					len(q.MetricStat.Metric.Dimensions) != 1 {
					continue
				}
				value := aws.ToString(q.MetricStat.Metric.Dimensions[0].Value)
				if aws.ToString(q.MetricStat.Metric.Namespace) == topology.FunctionURLNamespace {
					return topology.FunctionURLMetrics(value), true
				}
				return topology.HTTPAPIMetrics(value), true
			}
		}
	}
	return e, false
}
