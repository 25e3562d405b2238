// Package livedrill tries the alarms of a pipeline on AWS: for some minutes the deliver function
// drops the canary's events, and nobody else's, and the package sees whether the alarm, the composite
// and the mail come.
//
// A parameter has the time until which canaries are dropped. The time is the way back too: whoever
// kills the program leaves a parameter behind that is over within 15 minutes.
package livedrill

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch/types"

	"github.com/spillwayhq/spillway/infra/topology"
	"github.com/spillwayhq/spillway/shared/canary"
	"github.com/spillwayhq/spillway/shared/ssm"
)

const (
	// pollEvery is how often CloudWatch is asked, which evaluates alarms once a minute.
	pollEvery = 10 * time.Second
	// mailWithin is how late SNS's metrics may be, after the notification.
	mailWithin = 6 * time.Minute
	// restoreWithin bounds the call that ends the drill, also when the program is interrupted.
	restoreWithin = 10 * time.Second
)

// CloudWatch is what the package needs of a *cloudwatch.Client.
type CloudWatch interface {
	cloudwatch.DescribeAlarmsAPIClient
	cloudwatch.DescribeAlarmHistoryAPIClient
	cloudwatch.GetMetricDataAPIClient
}

// SSM is what the package needs of an *ssm.Client.
type SSM interface {
	PutParameter(ctx context.Context, name, text string, t ssm.Type) error
	DeleteParameter(ctx context.Context, name string) error
}

// A Drill tries the alarms of one pipeline.
type Drill struct {
	Names      topology.Names
	CloudWatch CloudWatch
	SSM        SSM
	// Variables returns the environment of the deliver function; an error means that it can't be
	// read, and is no reason not to go on.
	Variables func(context.Context) (map[string]string, error)
	Say       func(format string, args ...any) // called for each step, with what happened
}

// A Result is what was seen. Times that are zero were not.
type Result struct {
	Pipeline   string    `json:"pipeline"`
	Began      time.Time `json:"began"`
	Until      time.Time `json:"until"` // at the latest; see Restored
	Alarm      Firing    `json:"alarm"`
	Composite  Firing    `json:"composite"`
	Notified   time.Time `json:"notified,omitzero"` // when CloudWatch notified the topic
	Topic      string    `json:"topic"`
	Deliveries int       `json:"deliveries"` // to subscribers of the topic, as SNS counts them
	Failures   int       `json:"failures"`   // the same
	Restored   time.Time `json:"restored,omitzero"`
}

// A Firing is an alarm, and when it fired.
type Firing struct {
	Name  string    `json:"name"`
	Fired time.Time `json:"fired,omitzero"`
}

// Run tries the alarms, which takes up to 20 minutes. Whatever happens, canaries are delivered again
// in the end. An error says what did not come, or that nothing was tried.
func (d *Drill) Run(ctx context.Context) (r Result, err error) {
	t := topology.New(topology.Options{Names: d.Names})
	r = Result{Pipeline: d.Names.Pipeline, Alarm: Firing{Name: d.Names.Alarm("canary-silent")}}
	c, ok := t.CompositeOf(r.Alarm.Name)
	if !ok {
		return r, fmt.Errorf("the alarm %s is part of no composite alarm in this version", r.Alarm.Name)
	}
	r.Composite.Name, r.Topic = c.Name, t.Notifies(c.Name)
	if err := d.ready(ctx, &r); err != nil {
		return r, err
	}
	r.Began = time.Now()
	r.Until = r.Began.Add(canary.MaxDrill)
	parameter := d.Names.Parameter(topology.DrillParameter)
	if err := d.SSM.PutParameter(ctx, parameter, canary.DrillText(r.Until), ssm.String); err != nil {
		return r, fmt.Errorf("begin the drill: put the parameter %s: %w", parameter, err)
	}
	d.Say("until %s at the latest the deliver function drops the canary's events, and no others (parameter %s)",
		r.Until.UTC().Format("15:04:05 UTC"), parameter)
	err = d.watch(ctx, &r)
	if restoring := d.restore(ctx, &r, parameter); restoring != nil {
		return r, errors.Join(err, restoring)
	}
	if err != nil {
		return r, err
	}
	return r, d.mail(ctx, &r)
}

// ready refuses a drill that could show nothing.
func (d *Drill) ready(ctx context.Context, r *Result) error {
	states, err := d.states(ctx, r)
	if err != nil {
		return err
	}
	for _, name := range []string{r.Alarm.Name, r.Composite.Name} {
		a, exists := states[name]
		switch {
		case !exists:
			return fmt.Errorf("the alarm %s does not exist: is a pipeline %s with a canary deployed in this region?", name,
				r.Pipeline)
		case a.state != types.StateValueOk:
			return fmt.Errorf("the alarm %s is in the state %s: a drill would show nothing new", name, a.state)
		case !a.enabled:
			return fmt.Errorf("the alarm %s has its actions disabled: enable them first (aws cloudwatch "+
				"enable-alarm-actions --alarm-names %[1]s)", name)
		}
	}
	variables, err := d.Variables(ctx)
	if err == nil && variables["SPILLWAY_DRILL_PARAMETER"] != d.Names.Parameter(topology.DrillParameter) {
		return fmt.Errorf("the deployed deliver function knows no drill: deploy this version, with the canary turned on")
	}
	return nil
}

// watch waits until both alarms have fired and the topic was notified.
func (d *Drill) watch(ctx context.Context, r *Result) error {
	for {
		states, err := d.states(ctx, r)
		if err != nil {
			return err
		}
		for _, f := range []*Firing{&r.Alarm, &r.Composite} {
			if a := states[f.Name]; f.Fired.IsZero() && a.state == types.StateValueAlarm {
				f.Fired = a.since
				d.Say("%s fired", f.Name)
			}
		}
		if !r.Composite.Fired.IsZero() {
			if r.Notified, err = d.notified(ctx, r); err != nil {
				return err
			}
			if !r.Notified.IsZero() {
				d.Say("CloudWatch notified the topic %s", r.Topic)
				return nil
			}
		}
		if left := time.Until(r.Until); left <= 0 {
			return d.missed(r)
		}
		if err := sleep(ctx, pollEvery); err != nil {
			return err
		}
	}
}

// missed says what did not come in time.
func (d *Drill) missed(r *Result) error {
	switch minutes := canary.MaxDrill.Minutes(); {
	case r.Alarm.Fired.IsZero():
		return fmt.Errorf("the alarm %s did not fire within %.0f minutes: does the canary run, and does the deliver "+
			"function's log say that it drops canaries (canaries_dropped)?", r.Alarm.Name, minutes)
	case r.Composite.Fired.IsZero():
		return fmt.Errorf("%s fired, and %s did not within %.0f minutes", r.Alarm.Name, r.Composite.Name, minutes)
	default:
		return fmt.Errorf("%s fired, and notified nobody: its history says why (aws cloudwatch describe-alarm-history "+
			"--alarm-name %[1]s)", r.Composite.Name)
	}
}

// restore ends the drill, also after ctx has ended.
func (d *Drill) restore(ctx context.Context, r *Result, parameter string) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), restoreWithin)
	defer cancel()
	if err := d.SSM.DeleteParameter(ctx, parameter); err != nil && !ssm.NotFound(err) {
		return fmt.Errorf("the parameter %s could not be deleted; canaries are delivered again at %s all the same: %w",
			parameter, r.Until.UTC().Format("15:04 UTC"), err)
	}
	r.Restored = time.Now()
	d.Say("canaries are delivered again within a minute; the alarms end some minutes later")
	return nil
}

// mail waits until SNS says what it has delivered to the topic's subscribers.
func (d *Drill) mail(ctx context.Context, r *Result) error {
	for end := r.Notified.Add(mailWithin); ; {
		if err := d.count(ctx, r); err != nil {
			return err
		}
		switch {
		case r.Failures > 0:
			return fmt.Errorf("SNS failed to deliver %d notifications of %s: see its delivery status logs", r.Failures, r.Topic)
		case r.Deliveries > 0:
			d.Say("SNS delivered %d to the topic's subscribers", r.Deliveries)
			return nil
		case time.Now().After(end):
			return fmt.Errorf("SNS delivered nothing of %s within %.0f minutes: is anybody subscribed? (spillway doctor --name "+
				"%s)", r.Topic, mailWithin.Minutes(), r.Pipeline)
		}
		if err := sleep(ctx, pollEvery); err != nil {
			return err
		}
	}
}

type state struct {
	state   types.StateValue
	since   time.Time
	enabled bool
}

// states are those of the two alarms, by name.
func (d *Drill) states(ctx context.Context, r *Result) (map[string]state, error) {
	out, err := d.CloudWatch.DescribeAlarms(ctx, &cloudwatch.DescribeAlarmsInput{
		AlarmNames: []string{r.Alarm.Name, r.Composite.Name},
		AlarmTypes: []types.AlarmType{types.AlarmTypeMetricAlarm, types.AlarmTypeCompositeAlarm},
	})
	if err != nil {
		return nil, fmt.Errorf("read the alarms: %w", err)
	}
	all := map[string]state{}
	for _, a := range out.MetricAlarms { // whose actions are its composite's
		all[aws.ToString(a.AlarmName)] = state{a.StateValue, aws.ToTime(a.StateUpdatedTimestamp), true}
	}
	for _, a := range out.CompositeAlarms {
		all[aws.ToString(a.AlarmName)] = state{a.StateValue, aws.ToTime(a.StateUpdatedTimestamp),
			aws.ToBool(a.ActionsEnabled)}
	}
	return all, nil
}

// notified is when the composite's action was executed; zero: not yet.
func (d *Drill) notified(ctx context.Context, r *Result) (time.Time, error) {
	out, err := d.CloudWatch.DescribeAlarmHistory(ctx, &cloudwatch.DescribeAlarmHistoryInput{
		AlarmName: aws.String(r.Composite.Name), HistoryItemType: types.HistoryItemTypeAction,
		AlarmTypes: []types.AlarmType{types.AlarmTypeCompositeAlarm},
		StartDate:  aws.Time(r.Began), EndDate: aws.Time(time.Now().Add(time.Minute)),
	})
	if err != nil {
		return time.Time{}, fmt.Errorf("read the history of %s: %w", r.Composite.Name, err)
	}
	for _, item := range out.AlarmHistoryItems {
		summary := aws.ToString(item.HistorySummary)
		if strings.Contains(summary, "Successfully executed") && strings.Contains(summary, ":"+r.Topic) {
			return aws.ToTime(item.Timestamp), nil
		}
	}
	return time.Time{}, nil
}

// count reads what SNS has delivered since the drill began.
func (d *Drill) count(ctx context.Context, r *Result) error {
	query := func(id, metric string) types.MetricDataQuery {
		return types.MetricDataQuery{Id: aws.String(id), MetricStat: &types.MetricStat{
			Metric: &types.Metric{Namespace: aws.String("AWS/SNS"), MetricName: aws.String(metric),
				Dimensions: []types.Dimension{{Name: aws.String("TopicName"), Value: aws.String(r.Topic)}}},
			Period: aws.Int32(60), Stat: aws.String("Sum"),
		}}
	}
	out, err := d.CloudWatch.GetMetricData(ctx, &cloudwatch.GetMetricDataInput{
		StartTime: aws.Time(r.Notified.Truncate(time.Minute)), EndTime: aws.Time(time.Now().Add(time.Minute)),
		MetricDataQueries: []types.MetricDataQuery{query("delivered", "NumberOfNotificationsDelivered"),
			query("failed", "NumberOfNotificationsFailed")},
	})
	if err != nil {
		return fmt.Errorf("read the metrics of SNS: %w", err)
	}
	sums := map[string]float64{}
	for _, m := range out.MetricDataResults {
		for _, v := range m.Values {
			sums[aws.ToString(m.Id)] += v
		}
	}
	r.Deliveries, r.Failures = int(sums["delivered"]), int(sums["failed"])
	return nil
}

func sleep(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-time.After(d):
		return nil
	}
}
