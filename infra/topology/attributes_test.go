package topology

import (
	"maps"
	"testing"
)

func TestAQueueDiffersByTheAttributesThatItMustHave(t *testing.T) {
	d := Default()
	events, _ := d.Queue(d.Names.EventsQueue)
	const arn = "arn:aws:sqs:eu-west-1:123456789012:spillway-events"
	const policy = `{"deadLetterTargetArn":"arn:aws:sqs:eu-west-1:123456789012:spillway-dead-letters","maxReceiveCount":"1000"}`
	as := func(name, value string) map[string]string {
		has := map[string]string{"QueueArn": arn, "KmsMasterKeyId": "an attribute that nobody asked for"}
		maps.Copy(has, events.Attributes(arn))
		has[name] = value
		return has
	}
	for name, c := range map[string]struct{ has, want map[string]string }{
		"not read":   {nil, nil},
		"as it must": {as("Policy", ""), map[string]string{}},
		"SQS's number": {as("RedrivePolicy",
			`{"maxReceiveCount":1000,"deadLetterTargetArn":"arn:aws:sqs:eu-west-1:123456789012:spillway-dead-letters"}`),
			map[string]string{}},
		"a count": {as("RedrivePolicy",
			`{"deadLetterTargetArn":"arn:aws:sqs:eu-west-1:123456789012:spillway-dead-letters","maxReceiveCount":"5"}`),
			map[string]string{"RedrivePolicy": policy}},
		"no policy":    {as("RedrivePolicy", ""), map[string]string{"RedrivePolicy": policy}},
		"a broken one": {as("RedrivePolicy", "{"), map[string]string{"RedrivePolicy": policy}},
		"retention":    {as("MessageRetentionPeriod", "60"), map[string]string{"MessageRetentionPeriod": "1209600"}},
		"visibility":   {as("VisibilityTimeout", "30"), map[string]string{"VisibilityTimeout": "361"}},
	} {
		if got := events.Differing(c.has); !maps.Equal(got, c.want) {
			t.Errorf("%s: %v, want %v", name, got, c.want)
		}
	}
	dead, _ := d.Queue(d.Names.DeadLetterQueue)
	if got := dead.Attributes(arn); len(got) != 2 {
		t.Errorf("a dead-letter queue has %v, want no redrive policy", got)
	}
}
