package topology

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
)

// Attributes are those that SQS must have of the queue, by their names in its API. queueARN is that
// of any queue in the same region and account: the dead-letter queue is named by its ARN.
func (q Queue) Attributes(queueARN string) map[string]string {
	attributes := map[string]string{
		"VisibilityTimeout":      strconv.Itoa(int(q.VisibilityTimeout.Seconds())),
		"MessageRetentionPeriod": strconv.Itoa(int(q.Retention.Seconds())),
	}
	if q.DeadLetterQueue != "" {
		target := queueARN[:strings.LastIndex(queueARN, ":")+1] + q.DeadLetterQueue
		attributes[redrivePolicy] = fmt.Sprintf(`{"deadLetterTargetArn":%q,"maxReceiveCount":"%d"}`, target,
			q.MaxReceiveCount)
	}
	return attributes
}

// Differing are the attributes that SQS must have of the queue, without those that it has. nil: they
// were not read, and nothing differs.
func (q Queue) Differing(has map[string]string) map[string]string {
	if has == nil {
		return nil
	}
	differ := map[string]string{}
	for name, want := range q.Attributes(has["QueueArn"]) {
		if has[name] != want && (name != redrivePolicy || parsePolicy(has[name]) != parsePolicy(want)) {
			differ[name] = want
		}
	}
	return differ
}

const redrivePolicy = "RedrivePolicy"

type policy struct {
	Target string      `json:"deadLetterTargetArn"`
	Count  json.Number `json:"maxReceiveCount"` // which SQS returns as a number, and takes as a text too
}

// parsePolicy reads a redrive policy. Without one both fields are empty, which is none that a
// topology has.
func parsePolicy(text string) (p policy) {
	_ = json.Unmarshal([]byte(text), &p)
	return p
}
