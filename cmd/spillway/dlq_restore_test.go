package main

import (
	"maps"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"github.com/spillwayhq/spillway/infra/local"
	"github.com/spillwayhq/spillway/infra/topology"
	"github.com/spillwayhq/spillway/integration/testutil/localtest"
)

// Somebody deleted the dead-letter queue. One that `aws sqs create-queue` makes has none of this.
func TestADeadLetterQueueIsRestoredWithAllThatItHad(t *testing.T) {
	t.Parallel()
	const tls = `{"Statement":[{"Sid":"TLSOnly","Effect":"Deny","Principal":"*","Action":"sqs:*","Resource":"ARN",` +
		`"Condition":{"Bool":{"aws:SecureTransport":"false"}}}]}`
	p := localtest.Start(t, local.Config{Hold: true})
	api, names := localtest.Client(p.SQSURL), topology.DefaultNames()
	events, dead := p.QueueURL(names.EventsQueue), p.QueueURL(names.DeadLetterQueue)
	arn := "arn:aws:sqs:" + local.Region + ":" + local.AccountID + ":" + names.EventsQueue
	set := map[string]string{"Policy": strings.ReplaceAll(tls, "ARN", arn), "KmsMasterKeyId": "alias/spillway",
		"KmsDataKeyReusePeriodSeconds": "3600"}
	if _, err := api.SetQueueAttributes(t.Context(), &sqs.SetQueueAttributesInput{QueueUrl: &events, Attributes: set}); err != nil {
		t.Fatal(err)
	}
	if _, err := api.TagQueue(t.Context(), &sqs.TagQueueInput{QueueUrl: &events,
		Tags: map[string]string{"application": "spillway", "team": "data"}}); err != nil {
		t.Fatal(err)
	}
	expect := func(want string) {
		t.Helper()
		out, _, err := spillway(t.Context(), "", "dlq", "restore", "--queue-url="+events)
		if err != nil || !strings.Contains(out, want) {
			t.Errorf("%v, printed %q, want %q", err, out, want)
		}
		got, err := api.GetQueueAttributes(t.Context(), &sqs.GetQueueAttributesInput{QueueUrl: &dead,
			AttributeNames: []types.QueueAttributeName{types.QueueAttributeNameAll}})
		if err != nil {
			t.Fatal(err)
		}
		for name, want := range map[string]string{"MessageRetentionPeriod": "1209600", "VisibilityTimeout": "30",
			"KmsMasterKeyId": "alias/spillway", "KmsDataKeyReusePeriodSeconds": "3600",
			"Policy": strings.ReplaceAll(tls, "ARN", strings.ReplaceAll(arn, names.EventsQueue, names.DeadLetterQueue)),
			"RedriveAllowPolicy": `{"redrivePermission":"byQueue","sourceQueueArns":["` + arn + `","` +
				strings.ReplaceAll(arn, names.EventsQueue, names.BulkQueue) + `"]}`} {
			if got.Attributes[name] != want {
				t.Errorf("%s is %q, want %q", name, got.Attributes[name], want)
			}
		}
		tags, err := api.ListQueueTags(t.Context(), &sqs.ListQueueTagsInput{QueueUrl: &dead})
		if err != nil || !maps.Equal(tags.Tags, map[string]string{"application": "spillway", "team": "data"}) {
			t.Errorf("the tags are %v (%v)", tags, err)
		}
	}
	expect("spillway-dead-letters exists: set KmsDataKeyReusePeriodSeconds, KmsMasterKeyId, Policy, RedriveAllowPolicy")
	expect("exists and has everything")
	if _, err := api.DeleteQueue(t.Context(), &sqs.DeleteQueueInput{QueueUrl: aws.String(dead)}); err != nil {
		t.Fatal(err)
	}
	expect("created spillway-dead-letters with the encryption, policy and tags of spillway-events")
	put(t, p, names.DeadLetterQueue, "no JSON")
	if out, _, err := spillway(t.Context(), "", "dlq", "ls", "--queue-url="+events); err != nil ||
		!strings.Contains(out, "total                    1") {
		t.Errorf("dlq ls: %v, printed %q", err, out)
	}
}

func TestErrorsOfRestoreAreOneLine(t *testing.T) {
	t.Parallel()
	for want, args := range map[string][]string{
		"remove --dead-letter-queue-url": {"--dead-letter-queue-url=http://127.0.0.1:1/0/x-dead-letters"},
		"ends in -events":                {"--queue-url=http://127.0.0.1:1/000000000000/other"},
		"is `spillway up` running?":      {"--queue-url=http://127.0.0.1:1/000000000000/x-events"},
	} {
		_, _, err := spillway(t.Context(), "", append([]string{"dlq", "restore"}, args...)...)
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%v: %v, want %q", args, err, want)
		}
	}
}
