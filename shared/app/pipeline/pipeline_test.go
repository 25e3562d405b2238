package pipeline

import (
	"testing"

	"github.com/spillwayhq/spillway/shared/canary"
)

func TestThePartsAgreeOnWhatTheyShare(t *testing.T) {
	o := Options{Name: "staging", QueueURL: "http://sqs.test/1/staging-events",
		DeadLetterQueueURL: "http://sqs.test/1/staging-dead-letters", IngestURL: "http://ingest.test"}
	i, d, c := o.Ingest(), o.Deliver(), o.Canary()
	if i.Name != o.Name || d.Name != o.Name || c.Name != o.Name {
		t.Errorf("names %q, %q, %q", i.Name, d.Name, c.Name)
	}
	if i.QueueURL != d.QueueURL || i.DeadLetterQueueURL != d.DeadLetterQueueURL || d.QueueURL != o.QueueURL {
		t.Errorf("queues %q and %q, %q and %q", i.QueueURL, d.QueueURL, i.DeadLetterQueueURL, d.DeadLetterQueueURL)
	}
	if c.WriteKey != d.CanaryWriteKey || c.WriteKey != i.CanaryWriteKey || !canary.EndsBeforeSegment(c.WriteKey) {
		t.Errorf("the canary's write keys %q, %q, %q", c.WriteKey, d.CanaryWriteKey, i.CanaryWriteKey)
	}
}
