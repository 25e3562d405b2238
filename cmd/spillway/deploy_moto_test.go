package main

import (
	"net/url"
	"os"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsconfig "github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	sqstypes "github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"github.com/spillwayhq/spillway/infra/bundle/bundletest"
	"github.com/spillwayhq/spillway/infra/topology"
	"github.com/spillwayhq/spillway/integration/testutil/mototest"
	"github.com/spillwayhq/spillway/shared/signed"
)

// TestAPipelineIsDeployedDeletedAdoptedAndChanged is what the page docs/install-aws.md tells,
// from the first deployment to the last.
func TestAPipelineIsDeployedDeletedAdoptedAndChanged(t *testing.T) {
	if os.Getenv("SPILLWAY_REQUIRE_MOTO") == "" {
		t.Skip("it takes 15 s: set SPILLWAY_REQUIRE_MOTO=1, as .ci/run does; it needs " + mototest.Need)
	}
	mototest.Start(t, "../..")
	config, err := awsconfig.LoadDefaultConfig(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	n, queues, stack := topology.DefaultNames(), sqs.NewFromConfig(config), topology.DefaultNames().Stack("eu-west-1")
	first := bundletest.Write(t, "v1.2.3")
	deploy := func(path string, args ...string) string {
		t.Helper()
		out, _, err := spillway(t.Context(), "", append([]string{"deploy", "--bundle", path}, args...)...)
		if err != nil {
			t.Fatalf("%v: %v\n%s", args, err, out)
		}
		return out
	}
	has := func(out string, wants ...string) {
		t.Helper()
		for _, want := range wants {
			if !strings.Contains(out, want) {
				t.Errorf("it does not print %q:\n%s", want, out)
			}
		}
	}
	queueURL := func() string {
		t.Helper()
		got, err := queues.GetQueueUrl(t.Context(), &sqs.GetQueueUrlInput{QueueName: &n.EventsQueue})
		if err != nil {
			t.Fatal(err)
		}
		return aws.ToString(got.QueueUrl)
	}

	has(deploy(first, "--dry-run"), "  + add       AWS::SQS::Queue                    EventsQueue", "Made the private bucket spillway-deploy-"+mototest.Account+
		"-eu-west-1", "Nothing was changed")
	has(deploy(first, "--yes"), "Note: the parameter /spillway/write-key does not exist", "is deployed (CREATE_COMPLETE",
		"IngestUrl ", "EventsQueueUrl")
	has(deploy(first, "--yes"), "Nothing to change")

	events := queueURL()
	if _, err := queues.SendMessage(t.Context(), &sqs.SendMessageInput{QueueUrl: &events, MessageBody: aws.String("accepted")}); err != nil {
		t.Fatal(err)
	}
	if err := signed.CloudFormation(config).XML(t.Context(), "DeleteStack", "2010-05-15", url.Values{"StackName": {stack}},
		&struct{}{}); err != nil {
		t.Fatal(err)
	}
	has(deploy(first, "--yes"), stack+" adopts the queues spillway-events, spillway-bulk, spillway-dead-letters", "is deployed (CREATE_COMPLETE")
	attributes, err := queues.GetQueueAttributes(t.Context(), &sqs.GetQueueAttributesInput{QueueUrl: aws.String(queueURL()),
		AttributeNames: []sqstypes.QueueAttributeName{sqstypes.QueueAttributeNameAll}})
	if err != nil || attributes.Attributes["ApproximateNumberOfMessages"] != "1" {
		t.Errorf("the queue did not survive with its message: %+v, %v", attributes, err)
	}
	has(deploy(first, "--yes"), "Nothing to change")

	has(deploy(first, "--yes", "--set", "logRetentionDays=90"), "logRetentionDays         30, is now 90", "is deployed (UPDATE_COMPLETE")
	has(deploy(bundletest.Write(t, "v1.2.4"), "--yes", "--set", "logRetentionDays=90"), "Uploaded s3://", "Version              v1.2.4")
	// Back to the release before, whose code is still there.
	back := deploy(first, "--yes", "--set", "logRetentionDays=90")
	has(back, "Version              v1.2.3")
	if strings.Contains(back, "/functions/") {
		t.Errorf("the code of the release before was uploaded again:\n%s", back)
	}
}
