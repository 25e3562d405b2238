package main

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch/schemas"
	cwtypes "github.com/aws/aws-sdk-go-v2/service/cloudwatch/types"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs"
	logtypes "github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs/types"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/smithy-go/transport/http/protocol/awsjson"

	"github.com/spillwayhq/spillway/cmd/spillway/console"
	"github.com/spillwayhq/spillway/cmd/spillway/console/awssource"
	"github.com/spillwayhq/spillway/infra/topology"
	"github.com/spillwayhq/spillway/integration/testutil/policytest"
	"github.com/spillwayhq/spillway/shared/ssm"
)

// inJSON makes a client of CloudWatch speak JSON: moto does not know CBOR.
func inJSON(o *cloudwatch.Options) { o.Protocol = awsjson.New10(schemas.GraniteServiceVersion20100801) }

// A recorder makes requests, and keeps which permissions they need.
type recorder struct {
	mu     sync.Mutex
	needed map[string]bool
}

var lambdaCalls = []struct {
	path       *regexp.Regexp
	permission string
}{
	{regexp.MustCompile(`/functions/[^/]+/configuration$`), "lambda:GetFunctionConfiguration"},
	{regexp.MustCompile(`/event-source-mappings$`), "lambda:ListEventSourceMappings"},
}

func (r *recorder) Do(request *http.Request) (*http.Response, error) {
	permission := request.Method + " " + request.URL.Path
	if service, action, ok := strings.Cut(request.Header.Get("X-Amz-Target"), "."); ok {
		prefix := map[string]string{"GraniteServiceVersion20100801": "cloudwatch", "AmazonSQS": "sqs", "AmazonSSM": "ssm",
			"Logs_20140328": "logs"}[service]
		permission = prefix + ":" + action
	}
	for _, c := range lambdaCalls {
		if c.path.MatchString(request.URL.Path) {
			permission = c.permission
		}
	}
	r.mu.Lock()
	r.needed[permission] = true
	r.mu.Unlock()
	return http.DefaultClient.Do(request)
}

// watch looks at the operator's page of a pipeline that has just been deployed: it finds everything
// by the pipeline's name, with the permissions that docs/console.md lists.
func (c *cloud) watch(t *testing.T, n topology.Names) {
	t.Helper()
	c.fill(t, n)
	asked := &recorder{needed: map[string]bool{}}
	config := c.config.Copy()
	config.HTTPClient, config.Region, config.RetryMaxAttempts = asked, "eu-west-1", 1
	api := awssource.NewAPI(config)
	api.CloudWatch = cloudwatch.NewFromConfig(config, inJSON)
	source, err := awssource.New(t.Context(), api, n, t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer source.Close()
	server := httptest.NewServer(console.New(console.Config{Source: source}))
	defer server.Close()
	for path, wants := range map[string][]string{
		"/": {"2 messages wait", "segment-failing", "requests to Segment fail", "1,234", "too_large", ">web<",
			"reading has cost", "when alarms fired before"}, // moto has no history of alarms
		"/?span=24h":                            {"1,234"},
		"/samples?outcome=retried":              {"transient", "4 of 9 events"},
		"/samples?outcome=refused":              {"too_large", "3 requests"},
		"/alarms/" + n.Alarm("segment-failing"): {"it is away"},
		"/dead-letters":                         {"Dead letters"},
		"/find?q=3f0c1a2b-nobody-x":             {"no log on AWS has events"},
	} {
		answer, err := http.Get(server.URL + path)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(answer.Body)
		answer.Body.Close()
		if err != nil {
			t.Fatal(err)
		}
		for _, want := range wants {
			if answer.StatusCode != http.StatusOK || !strings.Contains(string(body), want) {
				t.Errorf("%s answers %d, without %q\n%s", path, answer.StatusCode, want, body)
			}
		}
		if strings.Contains(string(body), "verysecret") {
			t.Errorf("%s shows a write key", path)
		}
	}
	allowed := policytest.Actions(t, filepath.Join("..", "..", "docs", "console.md"), "### Permissions")
	for permission := range asked.needed {
		if !slices.Contains(allowed, permission) {
			t.Errorf("the page needs %s, which docs/console.md does not allow", permission)
		}
	}
	c.empty(t, n)
}

// fill does what a pipeline does in which Segment is away: metrics, an alarm, lines, and messages.
func (c *cloud) fill(t *testing.T, n topology.Names) {
	t.Helper()
	config := c.config.Copy()
	config.Region = "eu-west-1"
	metrics := cloudwatch.NewFromConfig(config, inJSON)
	minute := time.Now().Add(-2 * time.Minute).Truncate(time.Minute)
	put := func(name, function string, value float64, dimension ...string) {
		m := topology.Metric{Pipeline: n.Pipeline, Own: function, Name: name}
		if len(dimension) == 2 {
			m.Dimension, m.Value = dimension[0], dimension[1]
		}
		at := m.Location(topology.EndpointMetrics{})
		datum := cwtypes.MetricDatum{MetricName: aws.String(at.Name), Value: aws.Float64(value), Timestamp: aws.Time(minute)}
		for _, d := range at.Dimensions {
			datum.Dimensions = append(datum.Dimensions, cwtypes.Dimension{Name: aws.String(d.Name), Value: aws.String(d.Value)})
		}
		if _, err := metrics.PutMetricData(t.Context(), &cloudwatch.PutMetricDataInput{Namespace: aws.String(at.Namespace),
			MetricData: []cwtypes.MetricDatum{datum}}); err != nil {
			t.Fatal(err)
		}
	}
	put("EventsAccepted", "ingest", 1240)
	put("EventsDelivered", "deliver", 1234)
	put("EventsRetried", "deliver", 4, "Class", "transient")
	put("RequestsRefused", "ingest", 3)
	if _, err := metrics.SetAlarmState(t.Context(),
		&cloudwatch.SetAlarmStateInput{AlarmName: aws.String(n.Alarm("segment-failing")),
			StateValue: cwtypes.StateValueAlarm, StateReason: aws.String("it is away")}); err != nil {
		t.Fatal(err)
	}
	if err := ssm.New(config).PutParameter(t.Context(), n.Parameter("write-keys"),
		`{"writeKeys":[{"name":"web","writeKey":"verysecret1"}]}`, ssm.SecureString); err != nil {
		t.Fatal(err)
	}
	c.write(t, n.FunctionLog(n.DeliverFunction),
		fmt.Sprintf(`{"time":%q,"level":"WARN","msg":"delivered","messages":2,"events":9,`+
			`"delivered":5,"retried":{"transient":4},"dead_lettered":{},"flushes":1,"slowest_flush_ms":10000,"oldest_ms":1000,"breaker":"closed"}`,
			minute.UTC().Format(time.RFC3339)))
	c.write(t, n.FunctionLog(n.IngestFunction), `{"_aws":{},"Codes":{"too_large":3},"RequestsRefused":3}`)
	c.send(t, "eu-west-1", n.EventsQueue, "{}")
	c.send(t, "eu-west-1", n.EventsQueue, "{}")
}

// write writes a line to a log.
func (c *cloud) write(t *testing.T, group, line string) {
	t.Helper()
	logs := cloudwatchlogs.NewFromConfig(c.config, func(o *cloudwatchlogs.Options) { o.Region = "eu-west-1" })
	stream := aws.String("environment")
	_, err := logs.CreateLogStream(t.Context(),
		&cloudwatchlogs.CreateLogStreamInput{LogGroupName: &group, LogStreamName: stream})
	if err == nil {
		_, err = logs.PutLogEvents(t.Context(), &cloudwatchlogs.PutLogEventsInput{LogGroupName: &group, LogStreamName: stream,
			LogEvents: []logtypes.InputLogEvent{{Message: &line,
				Timestamp: aws.Int64(time.Now().Add(-2 * time.Minute).UnixMilli())}}})
	}
	if err != nil {
		t.Fatal(err)
	}
}

// empty removes what fill has left that a deployment would find.
func (c *cloud) empty(t *testing.T, n topology.Names) {
	t.Helper()
	queues := c.queues("eu-west-1")
	url, err := queues.GetQueueUrl(t.Context(), &sqs.GetQueueUrlInput{QueueName: &n.EventsQueue})
	if err == nil {
		_, err = queues.PurgeQueue(t.Context(), &sqs.PurgeQueueInput{QueueUrl: url.QueueUrl})
	}
	if err != nil {
		t.Fatal(err)
	}
}
