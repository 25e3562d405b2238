package doctor

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch"
	cwtypes "github.com/aws/aws-sdk-go-v2/service/cloudwatch/types"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"github.com/aws/smithy-go"

	"github.com/spillwayhq/spillway/cmd/spillway/deployed"
	"github.com/spillwayhq/spillway/infra/local"
	emulated "github.com/spillwayhq/spillway/infra/local/cloudwatch"
	"github.com/spillwayhq/spillway/infra/topology"
	"github.com/spillwayhq/spillway/shared/operator"
	"github.com/spillwayhq/spillway/shared/s3"
	"github.com/spillwayhq/spillway/shared/signed"
)

// The topics of the pipeline.
const (
	pages   = "arn:aws:sns:eu-west-1:123456789012:spillway-alarms"
	tickets = "arn:aws:sns:eu-west-1:123456789012:spillway-tickets"
)

const queueARN = "arn:aws:sqs:eu-west-1:123456789012:spillway-events"

func code(c string) error { return &smithy.GenericAPIError{Code: c, Message: "as AWS says it"} }

// healthy is a pipeline on AWS in which nothing is wrong.
func healthy() (first, second) {
	o := topology.DefaultOptions()
	o.Rollout = true
	t := topology.New(o)
	f := first{functions: map[string]read[function]{}, live: map[string]live{},
		queues: map[string]read[map[string]string]{}}
	variables := map[string]string{deployed.VarVersion: "v1", deployed.VarKeyParameter: "/key",
		deployed.VarKeysParameters: "/keys,/more",
		deployed.VarKeysObject:     "s3://keys/web.json",
		deployed.VarEndpoint:       "https://api.segment.io", deployed.VarIngestURL: "https://ingest.test"}
	for _, of := range t.Functions {
		v := function{State: "Active", LastUpdateStatus: "Successful", Timeout: int(of.Timeout.Seconds())}
		v.Environment.Variables = variables
		f.functions[of.Name] = read[function]{value: v}
	}
	for _, name := range []string{t.Names.DeliverFunction, t.Names.IngestFunction} {
		f.live[name] = live{alias: read[signed.Alias]{value: signed.Alias{FunctionVersion: "7"}}, version: f.functions[name]}
	}
	source := eventSource{EventSourceArn: queueARN, State: "Enabled",
		FunctionArn:                    "arn:aws:lambda:eu-west-1:123456789012:function:spillway-deliver:live",
		BatchSize:                      t.EventSources[0].BatchSize,
		MaximumBatchingWindowInSeconds: int(t.EventSources[0].BatchingWindow.Seconds()),
		FunctionResponseTypes:          []string{"ReportBatchItemFailures"}}
	source.ScalingConfig.MaximumConcurrency = t.EventSources[0].MaximumConcurrency
	bulk := source
	bulk.EventSourceArn = strings.TrimSuffix(queueARN, t.Names.EventsQueue) + t.Names.BulkQueue
	bulk.ScalingConfig.MaximumConcurrency = t.EventSources[1].MaximumConcurrency
	f.source.value = []eventSource{bulk, source} // Lambda says no order
	f.reserved.value = 12
	f.account.value.AccountLimit.ConcurrentExecutions, f.account.value.AccountLimit.UnreservedConcurrentExecutions = 1000,
		990
	for _, q := range t.Queues {
		attributes := q.Attributes(queueARN)
		attributes["QueueArn"], attributes["Policy"] = queueARN, `{"Condition":{"Bool":{"aws:SecureTransport":"false"}}}`
		f.queues[q.Name] = read[map[string]string]{value: attributes}
	}
	s := second{
		alarms: read[map[string]alarm]{value: map[string]alarm{}},
		topics: map[string]read[[]subscription]{},
		parameters: map[string]read[string]{"/key": {value: "segmentkey"},
			"/keys":              {value: `{"writeKeys":[{"name":"a","writeKey":"k1"}]}`},
			"/more":              {value: `{"writeKeys":[{"name":"b","writeKey":"k2"}]}`},
			"s3://keys/web.json": {value: `{"writeKeys":[{"name":"c","writeKey":"k3"}]}`}},
		health:  &read[answer]{value: answer{url: "https://ingest.test/health", status: 200, body: `{"success":true}`}},
		segment: &read[answer]{value: answer{url: "https://api.segment.io", status: 404}},
	}
	for _, name := range t.AlarmNames() {
		s.alarms.value[name] = alarm{state: "OK", actionsEnabled: true,
			actions: []string{"arn:aws:sns:x:y:" + t.Notifies(name)}}
	}
	for _, a := range t.Routing {
		s.alarms.value[a.Name] = alarm{state: "OK"}
	}
	for _, topic := range f.topics(&t) {
		s.topics[topic] = read[[]subscription]{value: []subscription{{"arn:aws:sns:x:y:z", "email", "ops@example.com"}}}
	}
	return f, s
}

// diagnose judges as Deployed does.
func diagnose(f *first, s *second) Report {
	t := f.topology(topology.DefaultNames())
	return newReport("spillway", "eu-west-1", judge(&t, f, s, f.environment(), f.topics(&t), "eu-west-1"))
}

// notOK are the findings of a report that are not ok, a line each.
func notOK(r Report) string {
	var lines []string
	for _, c := range r.Checks {
		if c.Result != OK {
			lines = append(lines, fmt.Sprintf("%s %s: %s %s", c.Result, c.Check, c.Says, c.Permission))
			if c.Do == "" {
				lines = append(lines, c.Check+" does not say what to do")
			}
		}
	}
	return strings.Join(lines, "\n")
}

func TestAHealthyPipelineHasNoFinding(t *testing.T) {
	f, s := healthy()
	if got := notOK(diagnose(&f, &s)); got != "" && !strings.HasPrefix(got, "warning versions") {
		t.Error(got)
	}
	if r := diagnose(&f, &s); len(r.Checks) < 15 || r.Err() != nil {
		t.Errorf("%d checks, %v", len(r.Checks), r.Err())
	}
}

func TestASubscriptionThatWasEndedByTheLinkInAMailIsMadeAnewAndNotConfirmed(t *testing.T) {
	ended := read[[]subscription]{value: []subscription{{"Deleted", "email", "ops@example.com"}}}
	f := judgeTopic("arn:aws:sns:x:1:spillway-alarms", Failed, ended)
	if f.Result != Failed || f.Says != "nobody is told when one of its alarms fires" ||
		!strings.HasPrefix(f.Do, "aws sns subscribe --topic-arn arn:aws:sns:x:1:spillway-alarms ") {
		t.Errorf("%+v", f)
	}
}

func TestEachFaultOfADeploymentIsFound(t *testing.T) {
	n := topology.DefaultNames()
	parameter := func(name, value string, err error) func(*first, *second) {
		return func(_ *first, s *second) { s.parameters[name] = read[string]{value, err, "ssm:GetParameter"} }
	}
	source := func(change func(*eventSource)) func(*first, *second) {
		return func(f *first, _ *second) { change(&f.source.value[1]) }
	}
	subscribed := func(to ...subscription) func(*first, *second) {
		return func(_ *first, s *second) {
			s.topics[pages] = read[[]subscription]{value: to}
		}
	}
	alarmed := func(a alarm) func(*first, *second) {
		return func(_ *first, s *second) { s.alarms.value[n.Alarm("delivery-stalled")] = a }
	}
	lived := func(change func(*live)) func(*first, *second) {
		return func(f *first, _ *second) {
			l := f.live[n.DeliverFunction]
			change(&l)
			f.live[n.DeliverFunction] = l
		}
	}
	for name, c := range map[string]struct {
		breaks func(*first, *second)
		want   string // the beginning of the only line
	}{
		"nobody subscribed": {subscribed(), "failed subscriptions spillway-alarms: nobody is told"},
		"nobody gets tickets": {func(_ *first, s *second) { s.topics[tickets] = read[[]subscription]{} },
			"warning subscriptions spillway-tickets: nobody is told"},
		"unconfirmed": {subscribed(subscription{"PendingConfirmation", "email", "ops@example.com"}),
			"failed subscriptions spillway-alarms: nobody is told when one of its alarms fires: all subscriptions wait " +
				"for a click"},
		"one unconfirmed": {subscribed(subscription{"arn:x", "https", "x"},
			subscription{"PendingConfirmation", "email", "ops@example.com"}),
			"warning subscriptions spillway-alarms: 1 confirmed; others wait for a click in SNS's mail, which SNS forgets " +
				"after 2 days: ops@example.com"},
		"no subscriptions may be read": {func(_ *first, s *second) {
			s.topics[pages] = read[[]subscription]{nil, code("AuthorizationError"), "sns:ListSubscriptionsByTopic"}
		}, "unknown subscriptions spillway-alarms: as AWS says it sns:ListSubscriptionsByTopic"},
		"an alarm is gone": {func(_ *first, s *second) { delete(s.alarms.value, n.Alarm("in-flight")) },
			"failed alarms: 1 of"},
		"an alarm fires": {alarmed(alarm{state: "ALARM", actionsEnabled: true,
			since: time.Date(2026, 11, 24, 3, 4, 0, 0, time.UTC)}),
			"failed alarms: 1 of"},
		"an alarm has no data": {alarmed(alarm{state: "INSUFFICIENT_DATA", actionsEnabled: true}), "warning alarms: 1 of"},
		"actions are disabled": {func(_ *first, s *second) {
			s.alarms.value[n.Alarm("delivery-down")] = alarm{state: "OK", actions: []string{pages}}
		}, "failed alarms: 1 of"},
		"an alarm notifies another topic": {func(_ *first, s *second) {
			s.alarms.value[n.Alarm("delivery-down")] = alarm{state: "OK", actionsEnabled: true, actions: []string{tickets}}
		}, "failed alarms: 1 of"},
		"alarms may not be read": {func(_ *first, s *second) {
			s.alarms = read[map[string]alarm]{nil, code("AccessDenied"), "cloudwatch:DescribeAlarms"}
		}, "unknown alarms: as AWS says it cloudwatch:DescribeAlarms"},
		"the region is drained": {func(_ *first, s *second) {
			s.drained.value = operator.Mark{Since: time.Date(2026, 11, 24, 3, 4, 0, 0, time.UTC), By: "ada", Reason: "a test"}
			s.alarms.value[n.Alarm("drained")] = alarm{state: "ALARM"}
		}, "warning traffic: the region is drained since 2026-11-24 03:04 UTC by ada: a test"},
		"Route 53 leaves the region": {func(_ *first, s *second) {
			s.alarms.value[n.Alarm("route-ingest")] = alarm{state: "ALARM"}
		}, "failed traffic: where regions share a name, Route 53 leaves this one out: firing is spillway-route-ingest"},
		"Route 53 can't see the region": {func(_ *first, s *second) { delete(s.alarms.value, n.Alarm("route-gone")) },
			"failed traffic: Route 53 can't see whether the region is well: there is no alarm spillway-route-gone"},
		"the mark can't be read": {func(_ *first, s *second) {
			s.drained = read[operator.Mark]{operator.Mark{}, code("AccessDenied"), "ssm:GetParameter"}
		}, "unknown traffic: as AWS says it ssm:GetParameter"},
		"a slow clock": {func(f *first, _ *second) { f.skew.value = 5 * time.Minute },
			"failed clock: this machine's is 5m0s slow"},
		"a fast clock": {func(f *first, _ *second) { f.skew.value = -time.Minute },
			"warning clock: this machine's is 1m0s fast"},
		"the source is off": {source(func(s *eventSource) { s.State = "Disabled" }), "failed event source: it is disabled"},
		"no source": {func(f *first, _ *second) { f.source.value = nil },
			"failed event source: nothing feeds\nfailed bulk event source: nothing feeds"},
		"reports are ignored": {source(func(s *eventSource) { s.FunctionResponseTypes = nil }),
			"failed event source: it ignores which messages failed"},
		"another queue": {source(func(s *eventSource) { s.EventSourceArn = "arn:aws:sqs:x:y:other" }),
			"failed event source: nothing feeds the queue to the deliver function\nfailed other event sources: 1 event " +
				"source of other queues"},
		"the bulk queue's source is off": {func(f *first, _ *second) { f.source.value[0].State = "Disabled" },
			"failed bulk event source: it is disabled"},
		"an earlier version, without a bulk queue": {func(f *first, _ *second) {
			f.source.value = f.source.value[1:]
			f.queues[n.BulkQueue] = read[map[string]string]{err: &types.QueueDoesNotExist{}}
		}, "failed bulk event source: nothing feeds the queue to the deliver function\nfailed queue spillway-bulk: does " +
			"not exist"},
		"it may not receive": {source(func(s *eventSource) {
			s.LastProcessingResult = "PROBLEM: Function call failed"
		}), "failed event source: PROBLEM"},
		"too much at a time": {func(f *first, _ *second) { f.reserved.value = 5 },
			"failed concurrency: the event sources may run 11 at a time, and 5 are reserved"},
		"a new account": {func(f *first, _ *second) {
			f.reserved.value, f.account.value.AccountLimit.UnreservedConcurrentExecutions = 0, 9
		}, "failed concurrency: deliver may use all 9"},
		"little is left": {func(f *first, _ *second) { f.account.value.AccountLimit.UnreservedConcurrentExecutions = 99 },
			"warning concurrency: 99 of the account's 1000 are left"},
		"another redrive policy": {func(f *first, _ *second) { f.queues[n.EventsQueue].value["RedrivePolicy"] = "" },
			"failed queue spillway-events: RedrivePolicy must be"},
		"a queue made by hand": {func(f *first, _ *second) { delete(f.queues[n.DeadLetterQueue].value, "Policy") },
			"warning queue spillway-dead-letters: its policy does not deny requests without TLS"},
		"no dead-letter queue": {func(f *first, _ *second) {
			f.queues[n.DeadLetterQueue] = read[map[string]string]{err: &types.QueueDoesNotExist{}}
		}, "failed queue spillway-dead-letters: does not exist"},
		"dead letters": {func(f *first,
			_ *second) {
			f.queues[n.DeadLetterQueue].value["ApproximateNumberOfMessagesNotVisible"] = "2"
		},
			"warning dead letters: the dead-letter queue holds 2 messages"},
		"no key": {parameter("/key", "", &smithy.GenericAPIError{Code: "ParameterNotFound"}),
			"failed default write key: the parameter /key does not exist"},
		"a wrong key": {parameter("/key", "two words", nil),
			"failed default write key: the parameter /key: is not a write key"},
		"a key that may not be read": {parameter("/key", "", code("AccessDeniedException")),
			"unknown default write key: as AWS says it ssm:GetParameter"},
		"a broken set": {parameter("/more", "{", nil), "failed write keys: the parameter /more: it: "},
		"an unknown field": {parameter("/more", `{"writeKeys":[{"name":"b","writeKey":"k2","disabled":true}]}`, nil),
			"warning write keys: the parameter /more has fields that this version does not know, and ingest ignores"},
		"twice in a set": {parameter("/more", `{"writeKeys":[{"name":"a","writeKey":"k2"}]}`, nil),
			"failed write keys: they can't be used together"},
		"a broken object": {parameter("s3://keys/web.json", "{", nil),
			"failed write keys: the object s3://keys/web.json: it: "},
		"a missing object": {parameter("s3://keys/web.json", "", &s3.Error{Status: 404, Code: "NoSuchKey"}),
			"failed write keys: the object s3://keys/web.json does not exist"},
		"a function's change failed": {func(f *first, _ *second) {
			r := f.functions[n.DeliverFunction]
			r.value.LastUpdateStatus, r.value.LastUpdateStatusReason = "Failed", "no role"
			f.functions[n.DeliverFunction] = r
		}, "failed function spillway-deliver: its last change failed: no role"},
		"another timeout": {func(f *first, _ *second) {
			r := f.functions[n.IngestFunction]
			r.value.Timeout = 3
			f.functions[n.IngestFunction] = r
		}, "warning function spillway-ingest: its timeout must be 15s, is 3 s"},
		"a deployment is under way": {lived(func(l *live) {
			l.alias.value.RoutingConfig.AdditionalVersionWeights = map[string]float64{"8": 0.1}
		}), "warning version of spillway-deliver: 7, and 8 gets 10 % of the invocations"},
		"a deployment went back": {lived(func(l *live) { l.version.value.CodeSha256 = "other" }),
			"warning version of spillway-deliver: 7 (v1) is in use, and not what was deployed last (v1)"},
		"an alias without a version": {lived(func(l *live) { l.alias.err = code("ResourceNotFoundException") }),
			"failed version of spillway-deliver: the event source feeds the alias live, which does not exist"},
		"the alias may not be read": {lived(func(l *live) {
			l.alias = read[signed.Alias]{err: code("AccessDeniedException"), permission: "lambda:GetAlias"}
		}), "unknown version of spillway-deliver: as AWS says it lambda:GetAlias"},
		"the source feeds the function": {source(func(s *eventSource) {
			s.FunctionArn = strings.TrimSuffix(s.FunctionArn,
				":live")
		}),
			"failed version of spillway-deliver: the event source feeds the function and not its alias live"},
		"no deliver": {func(f *first,
			_ *second) {
			f.functions[n.DeliverFunction] = read[function]{err: code("ResourceNotFoundException")}
		},
			"failed function spillway-deliver: does not exist"},
		"ingest is away": {func(_ *first, s *second) { s.health = &read[answer]{err: errors.New("no such host")} },
			"failed ingest endpoint:"},
		"ingest is down": {func(_ *first, s *second) { s.health.value.status = 503 },
			"failed ingest endpoint: https://ingest.test/health answers 503"},
		"old keys": {func(_ *first, s *second) { s.health.value.body = `{"warning":"write_keys_old"}` },
			"warning ingest endpoint:"},
		"slow": {func(_ *first, s *second) { s.health.value.took = 4 * time.Second },
			"warning ingest endpoint: https://ingest.test/health answers 200, after 4s"},
		"the shared name is not known to DNS": {func(_ *first, s *second) {
			s.shared = &read[answer]{value: answer{url: "https://events.test/health"}, err: errors.New("no such host")}
		}, "failed shared name: https://events.test/health does not answer: no such host"},
		"the shared name leads to a region that is down": {func(_ *first, s *second) {
			s.shared = &read[answer]{value: answer{url: "https://events.test/health", status: 503, body: "no"}}
		}, "failed shared name: https://events.test/health answers 503: no"},
		"no URL":          {func(_ *first, s *second) { s.health = nil }, "unknown ingest endpoint: its URL is not known"},
		"Segment is away": {func(_ *first, s *second) { s.segment.err = errors.New("timeout") }, "failed Segment:"},
		"Segment is down": {func(_ *first, s *second) { s.segment.value.status = 503 },
			"failed Segment: https://api.segment.io answers 503"},
		"calls fail": {func(_ *first, s *second) { s.calls.value = errors.New("calls to Segment are failing") },
			"failed calls to Segment:"},
		"no network": {func(_ *first, s *second) {
			s.calls.err = fmt.Errorf("operation: %w",
				&url.Error{Op: "Get", URL: "https://monitoring.x/y", Err: errors.New("refused")})
		}, "unknown calls to Segment: monitoring.x can't be reached: refused"},
	} {
		f, s := healthy()
		c.breaks(&f, &s)
		r := diagnose(&f, &s)
		var lines []string
		for line := range strings.Lines(notOK(r)) {
			if !strings.HasPrefix(line, "warning versions") { // of this test
				lines = append(lines, line)
			}
		}
		if !slices.EqualFunc(lines, strings.Split(c.want, "\n"), strings.HasPrefix) {
			t.Errorf("%s: found\n%swant only %s", name, strings.Join(lines, ""), c.want)
		}
		if (r.Err() == nil) != strings.HasPrefix(c.want, "warning") {
			t.Errorf("%s: the exit code's error is %v", name, r.Err())
		}
	}
}

func TestAPipelineWithoutIngestIsNotAskedForOne(t *testing.T) {
	f, s := healthy()
	n := topology.DefaultNames()
	none := read[function]{err: code("ResourceNotFoundException")}
	f.functions[n.IngestFunction], f.functions[n.CanaryFunction] = none, none
	s.health = nil
	for _, name := range []string{"ingest-down", "ingest-errors"} {
		delete(s.alarms.value, n.Alarm(name))
	}
	if got := notOK(diagnose(&f, &s)); strings.Contains(got, "ingest") {
		t.Error(got)
	}
}

func TestVersionsAreCompared(t *testing.T) {
	for name, c := range map[string]struct {
		own   string
		parts map[string]string
		want  string
	}{
		"the same": {"v1", map[string]string{"deliver": "v1", "ingest": "v1"},
			"ok all are v1, as this program is"},
		"another": {"v2", map[string]string{"deliver": "v1"}, "warning this program is v2, and not deliver v1"},
		"go run": {"devel", map[string]string{"deliver": "v1"},
			"ok deliver v1; `go run` does not know its own to compare them with"},
		"a half deployment": {"v2", map[string]string{"deliver": "v1", "ingest": "v2"},
			"warning the parts have several: deliver v1, ingest v2"},
		"a half one and go run": {"devel", map[string]string{"deliver": "v1", "ingest": "v2"},
			"warning the parts have several: deliver v1, ingest v2"},
	} {
		f := judgeVersions(c.own, c.parts)
		if got := string(f.Result) + " " + f.Says; got != c.want {
			t.Errorf("%s: %s, want %s", name, got, c.want)
		}
	}
}

func TestTheStatusOfUpIsJudged(t *testing.T) {
	now := time.Now()
	for name, c := range map[string]struct {
		status local.Status
		want   string
	}{
		"healthy":        {local.Status{At: now, Canary: local.Canary{On: true, At: now}}, ""},
		"a full disk":    {local.Status{Store: "events are refused"}, "failed store: events are refused "},
		"degraded":       {local.Status{Degraded: "Segment is down"}, "failed delivery: Segment is down "},
		"without canary": {local.Status{}, ""},
		"an archive": {local.Status{ArchiveDir: "/data/archive", Archive: local.Archive{Bytes: 1 << 20, Oldest: now}},
			""},
		"a status site that is not written": {local.Status{StatusSite: "not written: no space"},
			"warning status site: not written: no space "},
		"an archive that takes nothing": {local.Status{Archive: local.Archive{Failure: "no space"}},
			"failed archive: no space "},
	} {
		if got := notOK(newReport("spillway", "", judgeStatus(c.status, "--queue-url URL"))); got != c.want {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
}

func TestAnAlarmThatFiresHereSaysWhatToDo(t *testing.T) {
	quiet := []local.Alarm{{Name: "a", State: emulated.OK}, {Name: "b", State: emulated.InsufficientData}}
	if got := judgeLocalAlarms(quiet); got.Result != OK {
		t.Errorf("%+v", got)
	}
	at := time.Date(2026, 11, 24, 12, 34, 0, 0, time.Local)
	got := judgeLocalAlarms(append(quiet, local.Alarm{Name: "c", State: emulated.Alarm, Since: at, Text: "look at c"},
		local.Alarm{Name: "all", Composite: true, State: emulated.Alarm, Since: at, Text: "look at the parts"}))
	if got.Result != Failed || got.Says != "2 of 4 fire: c since 12:34, all since 12:34" || got.Do != "look at c" {
		t.Errorf("%+v", got)
	}
}

func TestAReportNamesTheMissingPermissionAndWhatToDo(t *testing.T) {
	r := newReport("spillway", "eu-west-1", []Finding{ok("a", "fine"),
		read[int]{0, code("AccessDeniedException"), "lambda:GetAccountSettings"}.unknown("quotas"),
		finding(Failed, "b", "do\x1b[31m this", "it\nfails")})
	var out strings.Builder
	r.Print(&out)
	for _, want := range []string{"  ok       a       fine\n", "needs the permission lambda:GetAccountSettings\n",
		"it fails\n",
		"→ do [31m this\n", "1 ok, 0 warning, 1 failed, 1 unknown"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("lacks %q:\n%s", want, &out)
		}
	}
	if r.Result != Failed || r.Err() == nil || r.Err().Error() != "1 check failed, 1 check could not be made" {
		t.Errorf("%s, %v", r.Result, r.Err())
	}
}

// pagedAlarms is CloudWatch with an alarm of each kind, a page each.
type pagedAlarms struct{ since time.Time }

func (p pagedAlarms) DescribeAlarms(_ context.Context, in *cloudwatch.DescribeAlarmsInput,
	_ ...func(*cloudwatch.Options)) (*cloudwatch.DescribeAlarmsOutput, error) {
	if len(in.AlarmTypes) != 2 || len(in.AlarmNames) != 2 {
		return nil, errors.New("without both types CloudWatch leaves composite alarms out")
	}
	if in.NextToken == nil {
		return &cloudwatch.DescribeAlarmsOutput{NextToken: aws.String("2"), MetricAlarms: []cwtypes.MetricAlarm{
			{AlarmName: aws.String("metric"), StateValue: cwtypes.StateValueAlarm, ActionsEnabled: aws.Bool(true),
				StateUpdatedTimestamp: aws.Time(p.since), AlarmActions: []string{pages}}}}, nil
	}
	return &cloudwatch.DescribeAlarmsOutput{CompositeAlarms: []cwtypes.CompositeAlarm{
		{AlarmName: aws.String("composite"), StateValue: cwtypes.StateValueOk, ActionsEnabled: aws.Bool(false)}}}, nil
}

func TestMetricAndCompositeAlarmsOfAllPagesAreRead(t *testing.T) {
	since := time.Now()
	got, err := alarms(t.Context(), pagedAlarms{since}, []string{"metric", "composite"})
	if err != nil || len(got) != 2 || got["metric"].state != "ALARM" || got["metric"].since != since ||
		!got["metric"].actionsEnabled ||
		!slices.Equal(got["metric"].actions, []string{pages}) ||
		got["composite"].state != "OK" || got["composite"].actionsEnabled {
		t.Errorf("%+v, %v", got, err)
	}
}

// Route 53 answers with the healthy regions: a doctor that asked it would find the wrong one well.
func TestTheRegionItselfIsAskedUnderTheNameThatRegionsShare(t *testing.T) {
	var asked []string
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked = append(asked, r.Host+r.URL.Path)
		_, _ = io.WriteString(w, `{"success":true}`)
	}))
	defer server.Close()
	r := &reader{client: http.DefaultClient}
	got := r.health(t.Context(), "http://events.invalid/", server.Listener.Addr().String())
	if got.err != nil || got.value.status != http.StatusOK || !slices.Equal(asked, []string{"events.invalid/health"}) {
		t.Errorf("asked for %v, which says %+v", asked, got)
	}
	if got := r.health(t.Context(), "http://events.invalid", "a b"); got.err == nil {
		t.Error("a host that is none is dialed")
	}
}

func TestWhereTheIngestEndpointIsAsked(t *testing.T) {
	alone := map[string]string{deployed.VarIngestURL: "https://abc.execute-api.test"}
	behind := map[string]string{deployed.VarIngestURL: "https://abc.execute-api.test",
		deployed.VarPublicURL: "https://cdn.test"}
	shared := map[string]string{deployed.VarIngestURL: "https://events.test", deployed.VarIngestDial: "d-abc.test"}
	both := map[string]string{deployed.VarIngestURL: "https://events.test", deployed.VarIngestDial: "d-abc.test",
		deployed.VarPublicURL: "https://cdn.test"}
	for _, c := range []struct {
		given string
		from  map[string]string
		want  ingest
	}{
		{"", nil, ingest{}},
		{"", alone, ingest{url: "https://abc.execute-api.test"}},
		{"", behind, ingest{url: "https://cdn.test"}},
		{"", shared, ingest{"https://events.test", "d-abc.test", "https://events.test"}},
		{"", both, ingest{"https://events.test", "d-abc.test", "https://cdn.test"}},
		{"https://given.test", both, ingest{url: "https://given.test"}},
	} {
		if got := whereToAsk(c.given, c.from); got != c.want {
			t.Errorf("%q, %v: %+v, want %+v", c.given, c.from, got, c.want)
		}
	}
}

func TestAFunctionWithoutVersionsIsNoFault(t *testing.T) {
	f, s := healthy()
	for name := range f.live {
		f.live[name] = live{alias: read[signed.Alias]{err: code("ResourceNotFoundException")}}
	}
	for i := range f.source.value {
		f.source.value[i].FunctionArn = strings.TrimSuffix(f.source.value[i].FunctionArn, ":live")
	}
	if got := notOK(diagnose(&f, &s)); got != "" && !strings.HasPrefix(got, "warning versions") {
		t.Error(got)
	}
}
