package awssource

import (
	"errors"
	"fmt"
	"math"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch/types"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/smithy-go"

	"github.com/spillwayhq/spillway/cmd/spillway/console"
	"github.com/spillwayhq/spillway/infra/topology"
	"github.com/spillwayhq/spillway/integration/testutil/localtest"
	"github.com/spillwayhq/spillway/shared/signed"
)

func TestAPipelineIsFoundByItsName(t *testing.T) {
	c := newCloud(t)
	a := c.open(t).About()
	if a.Pipeline != "shop" || a.Region != "eu-west-1" || a.Local || a.Version != "v1.2.3" ||
		a.IngestURL != "https://ingest.test" ||
		!strings.HasSuffix(a.EventsURL, "/shop-events") || !strings.HasSuffix(a.DeadLetterURL, "/shop-dead-letters") ||
		a.DashboardURL != "https://eu-west-1.console.aws.amazon.com/cloudwatch/home?region=eu-west-1#dashboards/dashboard/shop-eu-west-1" ||
		a.SegmentURL != "https://api.segment.io" {
		t.Errorf("%+v", a)
	}
	c.names, _ = topology.NewNames("other")
	if _, err := New(t.Context(), c.api(), c.names, ""); err == nil ||
		!strings.Contains(err.Error(), "there is no queue other-") ||
		!strings.Contains(err.Error(), "in eu-west-1: is a pipeline with --name other deployed") {
		t.Errorf("a pipeline that does not exist: %v", err)
	}
}

func TestOnlyThePartsThatAreDeployedAreShown(t *testing.T) {
	for name, c := range map[string]struct {
		change         func(*cloud)
		ingest, canary bool
	}{
		"all":       {func(*cloud) {}, true, true},
		"no canary": {func(c *cloud) { delete(c.vars, c.names.CanaryFunction) }, true, false},
		"no ingest": {func(c *cloud) { delete(c.vars, c.names.IngestFunction); delete(c.vars, c.names.CanaryFunction) },
			false, false},
		"no ingest, by its alarms": {func(c *cloud) {
			c.denied["lambda:GetFunctionConfiguration"] = denial
			c.whole = slices.DeleteFunc(c.whole, func(a types.CompositeAlarm) bool { return *a.AlarmName == "shop-ingest-down" })
			c.metric = slices.DeleteFunc(c.metric,
				func(a types.MetricAlarm) bool { return *a.AlarmName == "shop-canary-stopped" })
		}, false, false},
		"nothing may be read": {func(c *cloud) {
			for _, p := range []string{"lambda:GetFunctionConfiguration", "cloudwatch:DescribeAlarms",
				"lambda:ListEventSourceMappings", "sqs:GetQueueUrl"} {
				c.denied[p] = denial
			}
		}, true, true},
	} {
		t.Run(name, func(t *testing.T) {
			cl := newCloud(t)
			c.change(cl)
			s := cl.open(t)
			if s.hasIngest() != c.ingest || s.hasCanary() != c.canary {
				t.Errorf("ingest %t, canary %t", s.hasIngest(), s.hasCanary())
			}
		})
	}
}

func TestCredentialsThatNothingCanBeReadWithEndTheCommand(t *testing.T) {
	c := newCloud(t)
	c.denied["sqs:GetQueueUrl"] = &smithy.GenericAPIError{Code: "ExpiredToken", Message: "expired"}
	if _, err := New(t.Context(), c.api(), c.names, ""); err == nil || !strings.Contains(err.Error(), "sign in again") {
		t.Errorf("%v", err)
	}
}

func alarm(t *testing.T, alarms []console.Alarm, name string) console.Alarm {
	t.Helper()
	i := slices.IndexFunc(alarms, func(a console.Alarm) bool { return a.Name == "shop-"+name })
	if i < 0 {
		t.Fatalf("there is no alarm %s", name)
	}
	return alarms[i]
}

func spansText(a console.Alarm) string {
	var parts []string
	for _, s := range a.Firings {
		to := "now"
		if !s.To.IsZero() {
			to = fmt.Sprint(time.Since(s.To).Round(time.Minute))
		}
		parts = append(parts, fmt.Sprint(time.Since(s.From).Round(time.Minute))+" to "+to)
	}
	return strings.Join(parts, ", ")
}

func TestAlarmsSayWhenTheyFired(t *testing.T) {
	c := newCloud(t)
	c.changes("segment-slow", "OK", "ALARM", 30*time.Hour, "OK", 20*time.Hour, "ALARM", 3*time.Hour, "OK", 2*time.Hour)
	c.changes("segment-failing", "OK", "ALARM", 50*time.Minute)
	c.changes("delivery-down", "OK", "ALARM", 49*time.Minute)
	c.changes("delivery-slow", "OK", "ALARM", 48*time.Minute)
	c.changes("dead-letters", "OK", "ALARM", 50*time.Hour)
	c.changes("backlog-growing", "ALARM", "OK", 23*time.Hour)
	for i := range c.whole {
		if *c.whole[i].AlarmName == "shop-delivery-slow" {
			c.whole[i].ActionsSuppressedBy = types.ActionsSuppressedByAlarm
			c.whole[i].ActionsSuppressor = aws.String("arn:aws:cloudwatch:eu-west-1:1:alarm:shop-delivery-down")
		}
	}
	c.metric = slices.DeleteFunc(c.metric, func(a types.MetricAlarm) bool { return *a.AlarmName == "shop-in-flight" })
	s := c.open(t)
	since := time.Now().Add(-24 * time.Hour)
	alarms, err := s.Alarms(t.Context(), since)
	if err != nil || len(alarms) != len(s.about.Topology.Alarms)+len(s.about.Topology.Composites) {
		t.Fatalf("%d alarms, %v", len(alarms), err)
	}
	for name, want := range map[string]string{
		"segment-slow": "24h0m0s to 20h0m0s, 3h0m0s to 2h0m0s", "segment-failing": "50m0s to now",
		"dead-letters":    "24h0m0s to now",
		"backlog-growing": "24h0m0s to 23h0m0s", "segment-throttling": "",
	} {
		if got := spansText(alarm(t, alarms, name)); got != want {
			t.Errorf("%s fired %q, want %q", name, got, want)
		}
	}
	if a := alarm(t, alarms, "segment-failing"); a.Notified || a.State != console.StateAlarm ||
		a.Severity != topology.Critical || a.Composite {
		t.Errorf("a part of a composite: %+v", a)
	}
	if a := alarm(t, alarms, "delivery-down"); !a.Notified || !a.Composite {
		t.Errorf("a composite: %+v", a)
	}
	if a := alarm(t, alarms, "delivery-slow"); a.Notified || a.SuppressedBy != "shop-delivery-down" {
		t.Errorf("a composite whose notification is held back: %+v", a)
	}
	if a := alarm(t, alarms, "in-flight"); a.State != console.StateUnknown ||
		!strings.Contains(a.Reason, "no such alarm") {
		t.Errorf("an alarm that somebody has deleted: %+v", a)
	}
	if n := c.calls("cloudwatch:DescribeAlarmHistory"); n != 5 {
		t.Errorf("the history of %d alarms was read, and 5 have changed", n)
	}
	if _, err := s.Alarms(t.Context(), since.Add(time.Minute)); err != nil ||
		c.calls("cloudwatch:DescribeAlarmHistory") != 5 {
		t.Errorf("the history of what has not changed was read again: %d, %v", c.calls("cloudwatch:DescribeAlarmHistory"),
			err)
	}
	c.changes("segment-failing", "ALARM", "OK", 0*time.Second)
	if alarms, err = s.Alarms(t.Context(), since); err != nil ||
		spansText(alarm(t, alarms, "segment-failing")) != "50m0s to 0s" {
		t.Errorf("after its end: %s, %v", spansText(alarm(t, alarms, "segment-failing")), err)
	}
}

func TestAlarmsAreThereWithoutTheirHistory(t *testing.T) {
	c := newCloud(t)
	c.changes("segment-failing", "OK", "ALARM", 50*time.Minute)
	c.denied["cloudwatch:DescribeAlarmHistory"] = denial
	s := c.open(t)
	alarms, err := s.Alarms(t.Context(), time.Now().Add(-24*time.Hour))
	if !errors.Is(err, console.ErrPartial) || !strings.Contains(err.Error(), "allow your role cloudwatch:DescribeAlarmHistory") ||
		spansText(alarm(t, alarms, "segment-failing")) != "50m0s to now" {
		t.Errorf("%v, %v", alarms, err)
	}
	c.denied["cloudwatch:DescribeAlarms"] = denial
	if _, err := s.Alarms(t.Context(), time.Now()); err == nil ||
		!strings.Contains(err.Error(), "allow your role cloudwatch:DescribeAlarms (") {
		t.Errorf("%v", err)
	}
}

func TestTheMetricsOfTheEndpointAreFoundByItsAlarms(t *testing.T) {
	minute := time.Now().Truncate(time.Minute)
	requests := topology.Metric{IngestEndpoint: true, Name: "Requests", Statistic: "Sum"}
	accepted := topology.Metric{Pipeline: "shop", Own: "ingest", Name: "EventsAccepted", Statistic: "Sum"}
	read := func(s *Source) [][]float64 {
		values, err := s.Metrics(t.Context(), []topology.Metric{accepted, requests}, minute.Add(-2*time.Minute), time.Minute,
			2)
		if err != nil {
			t.Fatal(err)
		}
		return values
	}
	c := newCloud(t)
	c.put("Count/api123", minute.Add(-time.Minute), 7)
	c.put("EventsAccepted", minute.Add(-2*time.Minute), 9)
	if got := read(c.open(t)); got[1][1] != 7 || got[0][0] != 9 || !math.IsNaN(got[0][1]) {
		t.Errorf("%v", got)
	}
	c.denied["cloudwatch:DescribeAlarms"] = denial
	s := c.open(t)
	if got := read(s); !math.IsNaN(got[1][1]) || got[0][0] != 9 {
		t.Errorf("without the alarms: %v", got)
	}
	delete(c.denied, "cloudwatch:DescribeAlarms")
	if _, err := s.Alarms(t.Context(), time.Now()); err != nil {
		t.Fatal(err)
	}
	if got := read(s); got[1][1] != 7 {
		t.Errorf("after the permission was given: %v", got)
	}
}

func (c *cloud) send(t *testing.T, queue string, n int) {
	t.Helper()
	url, err := c.queue.GetQueueUrl(t.Context(), &sqs.GetQueueUrlInput{QueueName: aws.String(queue)})
	if err != nil {
		t.Fatal(err)
	}
	for range n {
		if _, err := c.queue.SendMessage(t.Context(),
			&sqs.SendMessageInput{QueueUrl: url.QueueUrl, MessageBody: aws.String("{}")}); err != nil {
			t.Fatal(err)
		}
	}
}

// remove deletes a queue.
func (c *cloud) remove(t *testing.T, queue string) {
	t.Helper()
	url, err := c.queue.GetQueueUrl(t.Context(), &sqs.GetQueueUrlInput{QueueName: aws.String(queue)})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.queue.DeleteQueue(t.Context(), &sqs.DeleteQueueInput{QueueUrl: url.QueueUrl}); err != nil {
		t.Fatal(err)
	}
}

func TestNowIsWhatTheQueuesAndTheNewestMetricsSay(t *testing.T) {
	minute := time.Now().Truncate(time.Minute)
	ago := func(n int) time.Time { return minute.Add(time.Duration(-n) * time.Minute) }
	healthy := func(c *cloud) {
		c.send(t, c.names.EventsQueue, 3)
		c.send(t, c.names.DeadLetterQueue, 2)
		c.put("EventAge", ago(1), 42)
		c.put("ApproximateAgeOfOldestMessage", ago(4), 12)
		c.put("BreakerOpen", ago(1), 0)
		c.put("CanaryAccepted", ago(1), 1)
		c.put("CanaryDelivered", ago(2), 1)
		c.put("CanaryLatency", ago(2), 1500)
	}
	for name, c := range map[string]struct {
		change func(*cloud)
		want   func(n console.Now) bool
	}{
		"all is well": {func(*cloud) {}, func(n console.Now) bool {
			return n.Messages == 3 && n.DeadLetters == 2 && n.OldestAge == 42*time.Second && n.Degraded == "" &&
				n.Canary == "" &&
				n.CanaryLatency == 1500*time.Millisecond && n.CanaryAge > 2*time.Minute && n.CanaryAge < 4*time.Minute &&
				n.Events == console.Unknown && !n.BreakerOpen
		}},
		"Segment is away": {func(c *cloud) {
			c.put("EventsRetried/transient", ago(2), 10)
			c.put("EventsRetried/transient", ago(1), 120)
			c.put("EventsRetried/throttled", ago(1), 3)
			c.put("BreakerOpen", ago(1), 1)
		}, func(n console.Now) bool {
			return n.BreakerOpen && n.Degraded == "Segment fails or can't be reached: 120 events in the minute of "+
				ago(1).UTC().Format("15:04")+" are retried"
		}},
		"that was long ago": {func(c *cloud) {
			c.put("EventsRetried/transient", ago(9), 120)
		}, func(n console.Now) bool { return n.Degraded == "" }},
		"the canary is lost": {func(c *cloud) {
			c.metrics["CanaryDelivered"] = nil
			c.put("CanaryDelivered", ago(8), 1)
		}, func(n console.Now) bool { return strings.HasPrefix(n.Canary, "no canary has arrived for 8m") }},
		"the canary is refused": {func(c *cloud) {
			c.metrics["CanaryDelivered"] = nil
			c.put("CanaryAccepted", ago(1), 0)
		}, func(n console.Now) bool {
			return strings.Contains(n.Canary, "does not accept the canary") && n.CanaryAge == console.Unknown
		}},
		"the canary's function is away": {func(c *cloud) {
			c.metrics["CanaryDelivered"], c.metrics["CanaryAccepted"] = nil, nil
		}, func(n console.Now) bool { return strings.Contains(n.Canary, "no canary has been sent") }},
		"deliveries are paused": {func(c *cloud) { c.sources[0].State = "Disabled" },
			func(n console.Now) bool {
				return n.Paused == "the event source is disabled" && n.Degraded == "delivery is paused"
			}},
		"a person has paused them": {func(c *cloud) {
			c.sources[0].State = "Disabled"
			c.values["/shop/paused"] = `{"since":"2026-01-31T12:00:00Z","by":"ann","reason":"Segment migrates"}`
		}, func(n console.Now) bool { return n.Paused == "since 2026-01-31 12:00 UTC by ann: Segment migrates" }},
		"a person has paused a write key, which its row says": {func(c *cloud) {
			c.put("EventsRetried/paused", ago(1), 12)
		}, func(n console.Now) bool { return n.Degraded == "" }},
		"a person has paused a write key while Segment fails": {func(c *cloud) {
			c.put("EventsRetried/paused", ago(1), 12)
			c.put("EventsRetried/transient", ago(1), 3)
		}, func(n console.Now) bool {
			return strings.HasPrefix(n.Degraded, "Segment fails or can't be reached: 3 events in the minute of")
		}},
		"Lambda can't read the queue": {func(c *cloud) { c.sources[0].LastProcessingResult = "PROBLEM: no access" },
			func(n console.Now) bool { return n.Degraded == "Lambda can't read the queue: PROBLEM: no access" }},
		"nobody reads the bulk queue": {func(c *cloud) { c.sources[1].State = "Disabled" },
			func(n console.Now) bool {
				return n.Paused == "" && n.Degraded == "nothing of the bulk queue is delivered: its event source is disabled"
			}},
		"a redrive is under way": {func(c *cloud) { c.send(t, c.names.BulkQueue, 7) },
			func(n console.Now) bool { return n.Messages == 3 && n.Bulk == 7 && n.Degraded == "" }},
		"an earlier version has no bulk queue": {func(c *cloud) { c.remove(t, c.names.BulkQueue); c.sources = c.sources[:1] },
			func(n console.Now) bool { return n.Messages == 3 && n.Bulk == console.Unknown && n.Degraded == "" }},
		"no event source": {func(c *cloud) { c.sources = []signed.EventSource{} },
			func(n console.Now) bool { return strings.Contains(n.Degraded, "no event source") }},
		"metrics may not be read": {func(c *cloud) { c.denied["cloudwatch:GetMetricData"] = denial },
			func(n console.Now) bool {
				return n.Messages == 3 && n.OldestAge == console.Unknown &&
					strings.Contains(n.Degraded, "is not known: can't read the metrics: allow your role cloudwatch:GetMetricData")
			}},
	} {
		t.Run(name, func(t *testing.T) {
			cl := newCloud(t)
			healthy(cl)
			c.change(cl)
			now, err := cl.open(t).Now(t.Context())
			if err != nil || !c.want(now) {
				t.Errorf("%+v, %v", now, err)
			}
		})
	}
}

func TestAWrongClockIsNamed(t *testing.T) {
	for skew, want := range map[time.Duration]string{20*time.Minute + 30*time.Second: "this machine's clock is 20m slow", -2*time.Hour - 10*time.Second: "2h00m fast",
		30 * time.Second: ""} {
		c := newCloud(t)
		c.queue = localtest.Client(c.url, func(o *sqs.Options) {
			o.HTTPClient = answersAt{skew}
		})
		now, err := c.open(t).Now(t.Context())
		if err != nil || !strings.Contains(now.Degraded, want) || want == "" && now.Degraded != "" {
			t.Errorf("%v: %q, %v", skew, now.Degraded, err)
		}
	}
}

// answersAt makes requests, and changes the time in the answers by so much.
type answersAt struct{ by time.Duration }

func (a answersAt) Do(request *http.Request) (*http.Response, error) {
	answer, err := http.DefaultClient.Do(request)
	if err == nil {
		answer.Header.Set("Date", time.Now().Add(a.by).UTC().Format(http.TimeFormat))
	}
	return answer, err
}

func TestAQueueThatCanNotBeReadSaysWhy(t *testing.T) {
	c := newCloud(t)
	c.denied["sqs:GetQueueUrl"] = denial
	s := c.open(t)
	if _, err := s.Now(t.Context()); err == nil || !strings.Contains(err.Error(), "allow your role sqs:GetQueueUrl") {
		t.Errorf("%v", err)
	}
	delete(c.denied, "sqs:GetQueueUrl")
	c.denied["sqs:GetQueueAttributes"] = denial
	if _, err := s.Now(t.Context()); err == nil ||
		!strings.Contains(err.Error(), "allow your role sqs:GetQueueAttributes") {
		t.Errorf("%v", err)
	}
	delete(c.denied, "sqs:GetQueueAttributes")
	if _, err := s.Now(t.Context()); err != nil {
		t.Errorf("after the permissions were given: %v", err)
	}
	url, _ := s.state.url(t.Context(), c.names.EventsQueue)
	if _, err := c.queue.DeleteQueue(t.Context(), &sqs.DeleteQueueInput{QueueUrl: aws.String(url)}); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Now(t.Context()); err == nil || !strings.Contains(err.Error(), "shop-events does not exist any more") {
		t.Errorf("after the pipeline was removed: %v", err)
	}
}

const (
	fine = `{"time":%q,"level":"INFO","msg":"delivered","messages":2,"events":1234,"delivered":1234,"retried":{},"dead_lettered":{},"flushes":3,"slowest_flush_ms":81,"oldest_ms":1500,"breaker":"closed"}`
	bad  = `{"time":%q,"level":"WARN","msg":"delivered","messages":2,"events":9,"delivered":1,"retried":{"transient":4,"misconfigured":1},"dead_lettered":{"rejected":1,"invalid":2},"flushes":1,"slowest_flush_ms":10000,"oldest_ms":7200000,"breaker":"open","misconfigured_keys":["3a1f"]}`
)

func (c *cloud) invocation(line string, at time.Time) {
	c.write("deliver", at, fmt.Sprintf(line, at.UTC().Format(time.RFC3339)))
}

func samplesText(samples []console.Sample) string {
	var parts []string
	for _, s := range samples {
		parts = append(parts, strings.TrimSpace(s.Outcome+" "+s.Reason))
	}
	return strings.Join(parts, ", ")
}

func TestSamplesAreInvocationsAndRefusedRequests(t *testing.T) {
	c := newCloud(t)
	now := time.Now()
	for i := range 300 {
		c.invocation(fine, now.Add(time.Duration(-300+i)*time.Second))
	}
	c.invocation(bad, now.Add(-10*time.Minute))
	c.write("deliver", now.Add(-time.Minute), "START RequestId")
	c.write("ingest", now.Add(-20*time.Minute),
		`{"_aws":{},"Codes":{"invalid_write_key":12,"too_large":1},"RequestsRefused":13}`)
	c.write("ingest", now.Add(-2*time.Hour), `{"_aws":{},"Codes":{"too_large":1}}`)
	s := c.open(t)
	for _, q := range []struct {
		outcome, reason string
		limit           int
		want            string
	}{
		{"retried", "", 10, "retried misconfigured, retried transient"},
		{"retried", "transient", 10, "retried transient"},
		{"dead_lettered", "", 10, "dead_lettered invalid, dead_lettered rejected"},
		{"dead_lettered", "rejected", 10, "dead_lettered rejected"},
		{"dead_lettered", "expired", 10, ""},
		{"delivered", "", 3, "delivered, delivered, delivered"},
		{"refused", "", 10, "refused invalid_write_key, refused too_large, refused too_large"},
		{"refused", "too_large", 1, "refused too_large"},
		{"", "", 2, "delivered, delivered"},
	} {
		got, err := s.Samples(t.Context(), console.SampleQuery{Outcome: q.outcome, Reason: q.reason, Limit: q.limit})
		if err != nil || samplesText(got) != q.want {
			t.Errorf("%s %s: %s, want %s: %v", q.outcome, q.reason, samplesText(got), q.want, err)
		}
	}
	got, _ := s.Samples(t.Context(), console.SampleQuery{Outcome: "retried", Reason: "misconfigured", Limit: 1})
	if x := got[0]; x.WriteKey != "3a1f" || x.Age != 2*time.Hour ||
		x.Type != "1 of 9 events" ||
		x.Answer != "the slowest of 1 call took 10s; breaker open" {
		t.Errorf("%+v", x)
	}
	if _, err := s.Samples(t.Context(), console.SampleQuery{Reason: `x" || true`, Limit: 1}); err == nil {
		t.Error("a reason can change the pattern")
	}
	c.denied["logs:FilterLogEvents"] = denial
	if _, err := s.Samples(t.Context(), console.SampleQuery{Limit: 1}); err == nil ||
		!strings.Contains(err.Error(), "allow your role logs:FilterLogEvents") {
		t.Errorf("%v", err)
	}
}

func TestRefusalsAreCountedByMetricsAndNamedByTheLog(t *testing.T) {
	c := newCloud(t)
	now := time.Now().Truncate(time.Minute)
	refuse := func(at time.Time, requests float64, codes string) {
		c.put("RequestsRefused", at, requests)
		c.write("ingest", at.Add(10*time.Second), `{"_aws":{},"Codes":`+codes+`}`)
	}
	refuse(now.Add(-70*time.Minute), 5, `{"too_large":5}`)
	refuse(now.Add(-40*time.Minute), 20, `{"invalid_write_key":12}`)
	c.put("RequestsShed", now.Add(-30*time.Minute), 2)
	c.write("ingest", now.Add(-30*time.Minute), `{"_aws":{},"Code":"no_user_anon_id","EventsRejected":4}`)
	c.write("ingest", now.Add(-30*time.Minute), "no JSON: Codes")
	s := c.open(t)
	refusals := func(from, to time.Duration) string {
		got, err := s.Refusals(t.Context(), now.Add(-from), now.Add(-to))
		return fmt.Sprint(got, err)
	}
	hour := "{map[invalid_write_key:12 other:10] map[no_user_anon_id:4]} <nil>"
	for _, q := range []struct {
		from, to time.Duration
		want     string
	}{
		{time.Hour, 0, hour}, {2 * time.Hour, time.Hour, "{map[too_large:5] map[]} <nil>"}, {time.Hour, 0, hour},
		{2 * time.Hour, time.Hour, "{map[too_large:5] map[]} <nil>"}, {time.Hour, 0, hour},
	} {
		if got := refusals(q.from, q.to); got != q.want {
			t.Errorf("from %v to %v before now: %s, want %s", q.from, q.to, got, q.want)
		}
	}
	before := c.calls("logs:FilterLogEvents")
	refusals(time.Hour, 0)
	if n := c.calls("logs:FilterLogEvents") - before; n > 1 {
		t.Errorf("%d calls read what was read before", n)
	}
	refuse(now.Add(-20*time.Second), 3, `{"too_large":3}`)
	if got := refusals(time.Hour, -time.Minute); !strings.Contains(got, " too_large:3]") {
		t.Errorf("a new line is not seen: %s", got)
	}
	c.denied["logs:FilterLogEvents"] = denial
	if got := refusals(3*time.Hour, 0); !strings.Contains(got, "allow your role logs:FilterLogEvents") {
		t.Errorf("%s", got)
	}
}

func heaviest(at time.Time, part string, entries string) string {
	return fmt.Sprintf(`{"time":%q,"level":"INFO","msg":"heaviest","pipeline":"shop","part":%q,"from":%q,"events":600,"bytes":60000,"refused":9,"missed":0,"heaviest":[%s]}`,
		at.UTC().Format(time.RFC3339), part, at.Add(-time.Minute).UTC().Format(time.RFC3339), entries)
}

func TestSendersAreReadForAPriceThatIsNamedBefore(t *testing.T) {
	c := newCloud(t)
	now := time.Now()
	c.put("IncomingBytes//aws/lambda/shop-ingest", now.Add(-30*time.Minute), 3e9)
	c.put("IncomingBytes//aws/lambda/shop-deliver", now.Add(-24*time.Hour-20*time.Minute), 1e9)
	c.put("IncomingBytes//aws/lambda/shop-deliver", now.Add(-10*time.Hour), 1e12) // of no time that is asked about
	c.write("ingest", now.Add(-2*time.Minute), heaviest(now.Add(-2*time.Minute), "ingest",
		`{"by":"event","name":"Order Completed","events":600,"bytes":60000},{"by":"write-key","name":"web","id":"77aa","events":600,"bytes":60000},`+
			`{"by":"write-key","name":"web","id":"77aa","code":"too_large","events":9,"bytes":9}`))
	s := c.open(t)
	before := s.meter.total.ScannedBytes
	price, err := s.SendersPrice(t.Context(), time.Hour)
	if err != nil || price != "about $0.0200 (4.0 GB)" || s.meter.total.ScannedBytes != before ||
		len(c.queries) > 0 {
		t.Errorf("%s, %v, after %d queries", price, err, len(c.queries))
	}
	report, err := s.Senders(t.Context(), time.Hour)
	if err != nil || report.Events != 600 || report.Tables[0].Heaviest[0].Name != "Order Completed" ||
		s.meter.total.ScannedBytes != 4e9 {
		t.Errorf("%+v, %v, %v bytes counted", report, err, s.meter.total.ScannedBytes)
	}
	c.denied["logs:StartQuery"] = denial
	if _, err := s.Senders(t.Context(), time.Hour); err == nil ||
		!strings.Contains(err.Error(), "allow your role logs:StartQuery") {
		t.Errorf("%v", err)
	}
}

func TestWriteKeysAreShownByNameAndNeverThemselves(t *testing.T) {
	c := newCloud(t)
	c.values["/shop/write-keys"] = `{"writeKeys":[{"name":"web","writeKey":"verysecretweb","quota":50,"burst":200},` +
		`{"name":"old","writeKey":"verysecretold","enabled":false}]}`
	now := time.Now()
	c.put("EventsRetried/misconfigured", now.Add(-time.Minute), 5)
	s := c.open(t)
	keys, err := s.WriteKeys(t.Context())
	if err != nil || len(keys) != 2 || keys[0].Name != "web" || keys[0].Quota != 50 || keys[0].Burst != 200 ||
		keys[0].Rate != console.Unknown ||
		!keys[1].Disabled || strings.Contains(fmt.Sprintf("%+v", keys), "verysecret") {
		t.Fatalf("%+v, %v", keys, err)
	}
	if got := s.DeadLetters().KeyName("verysecretweb"); got != "web" {
		t.Errorf("a dead letter's key is %s", got)
	}
	c.write("ingest", now.Add(-2*time.Minute), heaviest(now.Add(-2*time.Minute), "ingest",
		fmt.Sprintf(`{"by":"write-key","name":"web","id":%q,"events":600,"bytes":1},{"by":"write-key","name":"web","id":%q,"code":"too_large","events":9,"bytes":9},`+
			`{"by":"write-key","name":"ffff0000","events":30,"bytes":1}`, keys[0].ID, keys[0].ID)))
	c.write("deliver", now.Add(-time.Minute),
		strings.Replace(fmt.Sprintf(bad, now.UTC().Format(time.RFC3339)), "3a1f", keys[0].ID, 1))
	if _, err := s.Senders(t.Context(), time.Hour); err != nil {
		t.Fatal(err)
	}
	keys, err = s.WriteKeys(t.Context())
	if err != nil || len(keys) != 3 || keys[0].Rate != 2 || keys[0].Refused != 9 ||
		time.Since(keys[0].Last) > 3*time.Minute ||
		keys[1].Rate != 0 || keys[2].ID != "ffff0000" || keys[2].Rate != 0.1 {
		t.Errorf("%+v, %v", keys, err)
	}
	if !strings.Contains(keys[0].Paused, "shop-wrong-credentials") || keys[1].Paused != "" {
		t.Errorf("paused: %+v", keys)
	}
	c.denied["logs:FilterLogEvents"] = denial
	if keys, err := s.WriteKeys(t.Context()); len(keys) != 3 || !errors.Is(err, console.ErrPartial) ||
		!strings.Contains(err.Error(), "can't read the log group") {
		t.Errorf("without the log: %v, %v", keys, err)
	}
	for permission, says := range map[string]string{"ssm:GetParameter": "can't read the write keys in " +
		"/shop/write-keys: allow your role ssm:GetParameter",
		"lambda:GetFunctionConfiguration": "allow your role lambda:GetFunctionConfiguration"} {
		clear(c.denied)
		c.denied[permission] = denial
		if _, err := s.WriteKeys(t.Context()); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%v", err)
		}
	}
	c.values["/shop/write-keys"] = `{"writeKeys":[{"name":"web","writeKey":"verysecretweb"`
	clear(c.denied)
	if _, err := s.WriteKeys(t.Context()); err == nil || strings.Contains(err.Error(), "verysecret") {
		t.Errorf("a broken document: %v", err)
	}
}

func TestEveryPartOfThePageSaysWhyItIsMissing(t *testing.T) {
	for _, c := range []struct {
		err  error
		says string
	}{
		{&smithy.GenericAPIError{Code: "ThrottlingException", Message: "Rate exceeded"}, "AWS throttles"},
		{&smithy.GenericAPIError{Code: "ExpiredTokenException", Message: "expired"}, "sign in again"},
		{&smithy.GenericAPIError{Code: "InvalidSignatureException", Message: "Signature expired: is now earlier than"},
			"set it by NTP"},
		{denial, "allow your role"},
		{errors.New("connection reset"), "connection reset"},
	} {
		cl := newCloud(t)
		cl.values["/shop/write-keys"] = `{"writeKeys":[{"name":"web","writeKey":"verysecretweb"}]}`
		s := cl.open(t)
		for _, permission := range []string{"cloudwatch:GetMetricData", "cloudwatch:DescribeAlarms", "sqs:GetQueueAttributes",
			"logs:FilterLogEvents", "logs:StartQuery", "ssm:GetParameter"} {
			cl.denied[permission] = c.err
		}
		minute := time.Now().Truncate(time.Minute)
		errs := map[string]error{}
		_, errs["metrics"] = s.Metrics(t.Context(), []topology.Metric{s.own("deliver", "EventsDelivered", "Sum")}, minute,
			time.Minute, 1)
		_, errs["now"] = s.Now(t.Context())
		_, errs["alarms"] = s.Alarms(t.Context(), minute)
		_, errs["refusals"] = s.Refusals(t.Context(), minute.Add(-time.Hour), minute)
		_, errs["samples"] = s.Samples(t.Context(), console.SampleQuery{Limit: 1})
		_, errs["senders"] = s.Senders(t.Context(), time.Hour)
		_, errs["price"] = s.SendersPrice(t.Context(), time.Hour)
		_, errs["write keys"] = s.WriteKeys(t.Context())
		for part, err := range errs {
			if err == nil || !strings.Contains(err.Error(), c.says) || !strings.Contains(err.Error(), "can't ") {
				t.Errorf("%s: %v, want %s", part, err, c.says)
			}
		}
	}
}
