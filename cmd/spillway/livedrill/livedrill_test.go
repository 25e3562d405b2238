package livedrill

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch/types"
	"github.com/aws/smithy-go"

	"github.com/spillwayhq/spillway/infra/topology"
	"github.com/spillwayhq/spillway/shared/canary"
	"github.com/spillwayhq/spillway/shared/ssm"
)

const topic = "arn:aws:sns:eu-west-1:123456789012:spillway-alarms"

// account is an AWS account whose alarms follow the parameter as the deployed ones do.
type account struct {
	began time.Time // zero: no parameter
	value string
	// After how long the alarm, the composite and the mail come; 0: never.
	alarm, composite, mail time.Duration
	suppressed             bool // the composite notifies nobody
	state                  types.StateValue
	disabled               bool
	failed                 float64 // notifications
	broken                 error   // of DescribeAlarms, once the drill has begun
}

func (a *account) PutParameter(_ context.Context, name, text string, t ssm.Type) error {
	if name != "/spillway/drill-until" || t != ssm.String {
		return errors.New("another parameter")
	}
	a.began, a.value = time.Now(), text
	return nil
}

func (a *account) DeleteParameter(ctx context.Context, _ string) error {
	if a.value == "" || ctx.Err() != nil {
		return errors.Join(ctx.Err(), &smithy.GenericAPIError{Code: "ParameterNotFound"})
	}
	a.value = ""
	return nil
}

// since reports whether something has come that comes so long after the drill began, and when.
func (a *account) since(after time.Duration) (at time.Time, come bool) {
	at = a.began.Add(after)
	return at, !a.began.IsZero() && after > 0 && !time.Now().Before(at)
}

func (a *account) DescribeAlarms(context.Context, *cloudwatch.DescribeAlarmsInput, ...func(*cloudwatch.Options)) (
	*cloudwatch.DescribeAlarmsOutput, error) {
	if a.broken != nil && !a.began.IsZero() {
		return nil, a.broken
	}
	metric := types.MetricAlarm{AlarmName: aws.String("spillway-canary-silent"), StateValue: a.state}
	if at, fired := a.since(a.alarm); fired {
		metric.StateValue, metric.StateUpdatedTimestamp = types.StateValueAlarm, aws.Time(at)
	}
	wide := types.CompositeAlarm{AlarmName: aws.String("spillway-delivery-down"), StateValue: types.StateValueOk,
		ActionsEnabled: aws.Bool(!a.disabled)}
	if at, fired := a.since(a.composite); fired {
		wide.StateValue, wide.StateUpdatedTimestamp = types.StateValueAlarm, aws.Time(at)
	}
	out := &cloudwatch.DescribeAlarmsOutput{CompositeAlarms: []types.CompositeAlarm{wide}}
	if a.state != "" {
		out.MetricAlarms = []types.MetricAlarm{metric}
	}
	return out, nil
}

func (a *account) DescribeAlarmHistory(_ context.Context, in *cloudwatch.DescribeAlarmHistoryInput,
	_ ...func(*cloudwatch.Options)) (*cloudwatch.DescribeAlarmHistoryOutput, error) {
	out := &cloudwatch.DescribeAlarmHistoryOutput{}
	if at, fired := a.since(a.composite); fired && !a.suppressed && in.HistoryItemType == types.HistoryItemTypeAction {
		out.AlarmHistoryItems = []types.AlarmHistoryItem{
			{HistorySummary: aws.String("Failed to execute action arn:aws:lambda:x"), Timestamp: aws.Time(at)},
			{HistorySummary: aws.String("Successfully executed action " + topic), Timestamp: aws.Time(at.Add(time.Second))}}
	}
	return out, nil
}

func (a *account) GetMetricData(_ context.Context, in *cloudwatch.GetMetricDataInput, _ ...func(*cloudwatch.Options)) (
	*cloudwatch.GetMetricDataOutput, error) {
	m := in.MetricDataQueries[0].MetricStat.Metric
	if aws.ToString(m.Namespace) != "AWS/SNS" || aws.ToString(m.Dimensions[0].Value) != "spillway-alarms" {
		return nil, fmt.Errorf("no such metric: %+v", m)
	}
	out := &cloudwatch.GetMetricDataOutput{MetricDataResults: []types.MetricDataResult{
		{Id: aws.String("failed"), Values: []float64{a.failed}}}}
	if _, come := a.since(a.mail); come {
		out.MetricDataResults = append(out.MetricDataResults, types.MetricDataResult{Id: aws.String("delivered"),
			Values: []float64{1, 2}})
	}
	return out, nil
}

// healthy is an account in which everything comes.
func healthy() *account {
	return &account{state: types.StateValueOk, alarm: 5 * time.Minute, composite: 5*time.Minute + 20*time.Second,
		mail: 8 * time.Minute}
}

func (a *account) drill(ctx context.Context, said *strings.Builder) (Result, error) {
	d := &Drill{Names: topology.DefaultNames(), CloudWatch: a, SSM: a,
		Variables: func(context.Context) (map[string]string, error) {
			return map[string]string{"SPILLWAY_DRILL_PARAMETER": "/spillway/drill-until"}, nil
		},
		Say: func(format string, args ...any) { fmt.Fprintf(said, format+"\n", args...) }}
	return d.Run(ctx)
}

func TestADrillSaysWhenAlarmCompositeAndMailCame(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, said := healthy(), &strings.Builder{}
		r, err := a.drill(t.Context(), said)
		if err != nil {
			t.Fatalf("%v\n%s", err, said)
		}
		if r.Alarm.Fired.Sub(r.Began) != 5*time.Minute || r.Composite.Fired.Sub(r.Began) != 5*time.Minute+20*time.Second ||
			r.Notified.Sub(r.Composite.Fired) != time.Second || r.Deliveries != 3 {
			t.Errorf("%+v", r)
		}
		if a.value != "" || r.Restored.Sub(r.Began) > 6*time.Minute {
			t.Errorf("the parameter is %q, the drill lasted %v", a.value, r.Restored.Sub(r.Began))
		}
		for _, want := range []string{"until 00:15:00 UTC at the latest", "spillway-canary-silent fired",
			"spillway-delivery-down fired", "CloudWatch notified the topic spillway-alarms", "delivered again",
			"SNS delivered 3"} {
			if !strings.Contains(said.String(), want) {
				t.Errorf("it did not say %q:\n%s", want, said)
			}
		}
	})
}

func TestWhatDoesNotComeIsAnErrorAndTheDrillEndsAllTheSame(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*account)
		want   string
	}{
		"the alarm": {func(a *account) { a.alarm, a.composite = 0, 0 },
			"spillway-canary-silent did not fire within 15 minutes"},
		"the composite": {func(a *account) { a.composite = 0 }, "and spillway-delivery-down did not within 15 minutes"},
		"the action":    {func(a *account) { a.suppressed = true }, "spillway-delivery-down fired, and notified nobody"},
		"the mail":      {func(a *account) { a.mail = 0 }, "is anybody subscribed?"},
		"a delivery":    {func(a *account) { a.failed = 2 }, "failed to deliver 2 notifications"},
		"CloudWatch":    {func(a *account) { a.broken = errors.New("throttled") }, "read the alarms: throttled"},
	} {
		synctest.Test(t, func(t *testing.T) {
			a := healthy()
			c.change(a)
			_, err := a.drill(t.Context(), &strings.Builder{})
			if err == nil || !strings.Contains(err.Error(), c.want) || a.value != "" {
				t.Errorf("%s: %v, the parameter is %q", name, err, a.value)
			}
		})
	}
}

func TestADrillThatCouldShowNothingIsNotBegun(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*account)
		want   string
	}{
		"it fires already": {func(a *account) { a.state = types.StateValueAlarm }, "is in the state ALARM"},
		"no canary":        {func(a *account) { a.state = "" }, "spillway-canary-silent does not exist"},
		"nobody is told": {func(a *account) { a.disabled = true },
			"enable-alarm-actions --alarm-names spillway-delivery-down"},
		"it has never seen": {func(a *account) { a.state = types.StateValueInsufficientData }, "INSUFFICIENT_DATA"},
	} {
		a := healthy()
		c.change(a)
		if _, err := a.drill(t.Context(), &strings.Builder{}); err == nil || !strings.Contains(err.Error(), c.want) ||
			!a.began.IsZero() {
			t.Errorf("%s: %v, begun %v", name, err, !a.began.IsZero())
		}
	}
	a := healthy()
	d := &Drill{Names: topology.DefaultNames(), CloudWatch: a, SSM: a,
		Variables: func(context.Context) (map[string]string, error) { return nil, nil }}
	if _, err := d.Run(t.Context()); err == nil || !strings.Contains(err.Error(), "knows no drill") || !a.began.IsZero() {
		t.Errorf("an earlier version: %v", err)
	}
}

func TestAnInterruptedDrillIsEnded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := healthy()
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		r, err := a.drill(ctx, &strings.Builder{})
		if !errors.Is(err, context.DeadlineExceeded) || a.value != "" || r.Restored.IsZero() {
			t.Errorf("%v, the parameter is %q, %+v", err, a.value, r)
		}
		if until, err := canary.ParseDrill(canary.DrillText(r.Until), r.Began); err != nil ||
			until.Sub(r.Began) > canary.MaxDrill {
			t.Errorf("until %v, %v", until, err)
		}
	})
}
