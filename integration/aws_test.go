//go:build aws

package integration

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch"
	cwtypes "github.com/aws/aws-sdk-go-v2/service/cloudwatch/types"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"github.com/spillwayhq/spillway/infra/topology"
	"github.com/spillwayhq/spillway/shared/emf"
	"github.com/spillwayhq/spillway/shared/message"
)

// How long AWS may take: metrics appear after one to three minutes, those of a queue that was idle
// after up to 15.
const (
	awsPatience = 20 * time.Minute
	awsPause    = 15 * time.Second
)

// awsKey is a write key that no source has. Segment answers 200 to it and drops the events, so they
// reach nobody's data.
const awsKey = "spillwayIntegrationTest"

// cloud is a deployment in somebody's account.
type cloud struct {
	region, stack string
	names         topology.Names
	outputs       map[string]string
	config        aws.Config
	sqs           *sqs.Client
	watch         *cloudwatch.Client
	began         time.Time
}

// newCloud is a pipeline in a region that is not deployed yet. The test fails if there is one: it
// would delete it.
func newCloud(t *testing.T, region string, names topology.Names) *cloud {
	t.Helper()
	there, err := config.LoadDefaultConfig(t.Context(), config.WithRegion(region))
	if err != nil {
		t.Fatal(err)
	}
	c := &cloud{region: region, stack: names.Stack(region), names: names, config: there, sqs: sqs.NewFromConfig(there),
		watch: cloudwatch.NewFromConfig(there), began: time.Now()}
	for _, name := range names.Queues() {
		if _, err := c.sqs.GetQueueUrl(t.Context(), &sqs.GetQueueUrlInput{QueueName: &name}); err == nil {
			t.Fatalf("%s has a queue %s: this test does not touch an existing pipeline: name another region", region, name)
		} else if !strings.Contains(err.Error(), "NonExistentQueue") && !strings.Contains(err.Error(), "QueueDoesNotExist") {
			t.Fatalf("look for a pipeline in %s: %v", region, err)
		}
	}
	return c
}

// deleteQueues deletes the queues, which outlive their stack.
func (c *cloud) deleteQueues(t *testing.T) {
	t.Helper()
	ctx := context.Background() // the test's is over
	for _, name := range c.names.Queues() {
		if found, err := c.sqs.GetQueueUrl(ctx, &sqs.GetQueueUrlInput{QueueName: &name}); err == nil {
			if _, err := c.sqs.DeleteQueue(ctx, &sqs.DeleteQueueInput{QueueUrl: found.QueueUrl}); err != nil {
				t.Errorf("delete the queue %s: %v", name, err)
			}
		}
	}
}

// TestDeployed deploys the pipeline into an account, sends events in every way and checks what
// becomes of them. At the end it destroys everything, the queues included. It costs some cents and
// takes about half an hour. Run it with
//
//	SPILLWAY_AWS_TEST_REGION=eu-west-1 go test -tags aws -run TestDeployed -timeout 90m -v ./integration
//
// with the AWS credentials of an account, in a region that is bootstrapped for the CDK (npx cdk
// bootstrap) and has no Spillway: the test refuses to touch an existing one. Run npm ci first.
func TestDeployed(t *testing.T) {
	t.Parallel()
	region := os.Getenv("SPILLWAY_AWS_TEST_REGION")
	if region == "" {
		t.Skip("needs an AWS account: set SPILLWAY_AWS_TEST_REGION to a region that has no Spillway and is bootstrapped " +
			"for the CDK; the test deploys the pipeline there and destroys it again")
	}
	c := deploy(t, region)

	c.postGzip(t)

	const events = 500
	c.send(t, events)
	c.post(t, 3)
	c.sendInvalid(t)

	c.await(t, "the events to be delivered", func(ctx context.Context) (string, bool) {
		delivered := c.sum(ctx, t, "deliver", "EventsDelivered")
		want := float64(events + 3 + len(gzipContentTypes))
		return fmt.Sprintf("%v of %v", delivered, want), delivered == want
	})
	c.await(t, "the queue to be empty", func(ctx context.Context) (string, bool) {
		waiting := c.waiting(ctx, t)
		return strconv.Itoa(waiting), waiting == 0
	})
	c.await(t, "the dead letter with its reason", func(ctx context.Context) (string, bool) {
		reasons := c.reasons(ctx, t)
		return fmt.Sprint(reasons), len(reasons) == 1 && reasons[0] == message.ReasonInvalid
	})
	for name, want := range map[string]cwtypes.StateValue{
		"spillway-dead-letters": cwtypes.StateValueAlarm, "spillway-canary-silent": cwtypes.StateValueOk,
		"spillway-ingest-silent":    cwtypes.StateValueOk,
		"spillway-delivery-stalled": cwtypes.StateValueOk, "spillway-backlog-age-critical": cwtypes.StateValueOk,
	} {
		c.await(t, name+" to be "+string(want), func(ctx context.Context) (string, bool) {
			state := c.alarm(ctx, t, name)
			return string(state), state == want
		})
	}
	// What metric math makes of missing data can't be tested elsewhere: no alarm without a cause
	// fires.
	for _, a := range topology.Default().Alarms {
		if state := c.alarm(t.Context(), t, a.Name); state == cwtypes.StateValueAlarm &&
			!strings.HasPrefix(a.Name, "spillway-dead-letters") {
			t.Errorf("%s fires", a.Name)
		}
	}
}

// deploy deploys to a region without Spillway, and destroys the deployment at the end of the test.
func deploy(t *testing.T, region string) *cloud {
	t.Helper()
	c := newCloud(t, region, topology.DefaultNames())
	settings := []string{"-c", "regions=" + region}
	t.Cleanup(func() {
		cdk(t, settings, "destroy", c.stack, "--force")
		c.deleteQueues(t)
	})
	c.outputs = cdkDeploy(t, settings, c.stack)[c.stack]
	return c
}

// cdkDeploy deploys stacks, or --all, and returns the outputs of each stack.
func cdkDeploy(t *testing.T, settings []string, stacks string) (outputs map[string]map[string]string) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "outputs.json")
	cdk(t, settings, "deploy", stacks, "--require-approval", "never", "--outputs-file", file)
	content, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(content, &outputs); err != nil {
		t.Fatal(err)
	}
	return outputs
}

// cdkSettings begin each command of the CDK. A new account has no concurrency to reserve and no
// parameters to read.
func cdkSettings() []string {
	return []string{"cdk", "-c", "reservedConcurrency=none", "-c", "writeKeyParameter=none", "-c",
		"writeKeysParameter=none", "-c", "terminationProtection=false"}
}

// cdk runs a command of the CDK.
func cdk(t *testing.T, settings []string, args ...string) {
	t.Helper()
	command := exec.Command("npx", slices.Concat(cdkSettings(), settings, args)...)
	command.Dir = ".."
	command.Stdout, command.Stderr = os.Stderr, os.Stderr
	if err := command.Run(); err != nil {
		t.Fatalf("npx cdk %s: %v", strings.Join(args, " "), err)
	}
}

// await calls done until it reports true.
func (c *cloud) await(t *testing.T, what string, done func(context.Context) (string, bool)) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), awsPatience)
	defer cancel()
	for {
		seen, ok := done(ctx)
		if ok {
			t.Logf("%s: %s", what, seen)
			return
		}
		select {
		case <-ctx.Done():
			t.Fatalf("waited %v for %s, the last was: %s", awsPatience, what, seen)
		case <-time.After(awsPause):
		}
	}
}

// send sends events to the queue, ten messages in a call.
func (c *cloud) send(t *testing.T, count int) {
	t.Helper()
	for first := 0; first < count; first += 10 {
		var entries []types.SendMessageBatchRequestEntry
		for i := first; i < min(first+10, count); i++ {
			body := fmt.Sprintf(`{"writeKey":%q,"batch":[{"type":"track","userId":"u","event":"Test","messageId":"aws-%d-%d"}]}`,
				awsKey, c.began.Unix(), i)
			entries = append(entries, types.SendMessageBatchRequestEntry{Id: aws.String(strconv.Itoa(i)), MessageBody: &body})
		}
		out, err := c.sqs.SendMessageBatch(t.Context(),
			&sqs.SendMessageBatchInput{QueueUrl: aws.String(c.outputs["EventsQueueUrl"]), Entries: entries})
		if err != nil || len(out.Failed) > 0 {
			t.Fatalf("send: %v, failed: %v", err, out)
		}
	}
}

// sendInvalid sends a track without a name, which Segment would answer with 200 and drop.
func (c *cloud) sendInvalid(t *testing.T) {
	t.Helper()
	body := fmt.Sprintf(`{"writeKey":%q,"batch":[{"type":"track","userId":"u"}]}`, awsKey)
	if _, err := c.sqs.SendMessage(t.Context(),
		&sqs.SendMessageInput{QueueUrl: aws.String(c.outputs["EventsQueueUrl"]), MessageBody: &body}); err != nil {
		t.Fatal(err)
	}
}

// post sends events to the ingest endpoint, each in a request of its own.
func (c *cloud) post(t *testing.T, count int) {
	t.Helper()
	for i := range count {
		body := fmt.Sprintf(`{"batch":[{"type":"track","userId":"u","event":"Test","messageId":"aws-ingest-%d-%d"}]}`,
			c.began.Unix(), i)
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPost,
			strings.TrimSuffix(c.outputs["IngestUrl"], "/")+"/v1/batch", bytes.NewBufferString(body))
		if err != nil {
			t.Fatal(err)
		}
		r.SetBasicAuth(awsKey, "")
		answer, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		answer.Body.Close()
		if answer.StatusCode != http.StatusOK {
			t.Fatalf("the ingest endpoint answers %s", answer.Status)
		}
	}
}

// gzipContentTypes are those with which SDKs send gzip: Kotlin text/plain, C# none at all, Python,
// PHP and Android application/json. The last one is binary beyond doubt.
var gzipContentTypes = []string{"text/plain", "text/plain; charset=utf-8", "", "application/json", "application/octet-stream"}

// postGzip sends an event compressed under each of the content types. No documentation says whether
// the gateway hands such a body over in base64, decompressed, or as text, which destroys it. So this
// comes first, and all of them must be accepted.
func (c *cloud) postGzip(t *testing.T) {
	t.Helper()
	for i, contentType := range gzipContentTypes {
		var body bytes.Buffer
		z := gzip.NewWriter(&body)
		fmt.Fprintf(z, `{"batch":[{"type":"track","userId":"u","event":"Test","messageId":"aws-gzip-%d-%d"}]}`, c.began.Unix(), i)
		if err := z.Close(); err != nil {
			t.Fatal(err)
		}
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPost,
			strings.TrimSuffix(c.outputs["IngestUrl"], "/")+"/v1/b", &body)
		if err != nil {
			t.Fatal(err)
		}
		r.SetBasicAuth(awsKey, "")
		r.Header.Set("Content-Encoding", "gzip")
		if contentType != "" {
			r.Header.Set("Content-Type", contentType)
		}
		answer, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(answer.Body)
		answer.Body.Close()
		if err != nil || answer.StatusCode != http.StatusOK {
			t.Errorf("gzip with Content-Type %q is answered %s %s, %v: say so in docs/ingest.md", contentType, answer.Status,
				text, err)
		}
	}
}

// sum is the sum of one of our metrics since the test began.
func (c *cloud) sum(ctx context.Context, t *testing.T, function, name string) float64 {
	t.Helper()
	out, err := c.watch.GetMetricStatistics(ctx, &cloudwatch.GetMetricStatisticsInput{
		Namespace: aws.String(emf.Namespace), MetricName: &name,
		Dimensions: []cwtypes.Dimension{
			{Name: aws.String(emf.PipelineDimension), Value: &c.names.Pipeline},
			{Name: aws.String(emf.FunctionDimension), Value: &function},
		},
		StartTime: aws.Time(c.began.Truncate(time.Minute)), EndTime: aws.Time(time.Now().Add(time.Minute)),
		Period:     aws.Int32(60),
		Statistics: []cwtypes.Statistic{cwtypes.StatisticSum},
	})
	if err != nil {
		t.Fatal(err)
	}
	var sum float64
	for _, point := range out.Datapoints {
		sum += aws.ToFloat64(point.Sum)
	}
	return sum
}

func (c *cloud) alarm(ctx context.Context, t *testing.T, name string) cwtypes.StateValue {
	t.Helper()
	out, err := c.watch.DescribeAlarms(ctx, &cloudwatch.DescribeAlarmsInput{AlarmNames: []string{name}})
	if err != nil || len(out.MetricAlarms) != 1 {
		t.Fatalf("look at the alarm %s: %v, %d alarms", name, err, len(out.MetricAlarms))
	}
	return out.MetricAlarms[0].StateValue
}

func (c *cloud) waiting(ctx context.Context, t *testing.T) int {
	t.Helper()
	names := []types.QueueAttributeName{types.QueueAttributeNameApproximateNumberOfMessages,
		types.QueueAttributeNameApproximateNumberOfMessagesNotVisible}
	out, err := c.sqs.GetQueueAttributes(ctx,
		&sqs.GetQueueAttributesInput{QueueUrl: aws.String(c.outputs["EventsQueueUrl"]), AttributeNames: names})
	if err != nil {
		t.Fatal(err)
	}
	sum := 0
	for _, name := range names {
		n, _ := strconv.Atoi(out.Attributes[string(name)])
		sum += n
	}
	return sum
}

// reasons are those of the dead letters, which are not deleted.
func (c *cloud) reasons(ctx context.Context, t *testing.T) []string {
	t.Helper()
	out, err := c.sqs.ReceiveMessage(ctx, &sqs.ReceiveMessageInput{
		QueueUrl: aws.String(c.outputs["DeadLetterQueueUrl"]), MaxNumberOfMessages: 10, WaitTimeSeconds: 10,
		VisibilityTimeout: 1, MessageAttributeNames: []string{"All"},
	})
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for _, m := range out.Messages {
		all = append(all, aws.ToString(m.MessageAttributes[message.AttrReason].StringValue))
	}
	return all
}
