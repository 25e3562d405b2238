package topology

import (
	"encoding/json"
	"fmt"
	"slices"
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

// RedriveAllowPolicy is the attribute of a dead-letter queue that says which queues may have it as
// theirs. It is not among those of Attributes, because SQS refuses a queue that is not in it: a queue
// that has no such attribute takes any. queueARN is that of any queue in the same region and account.
func (t *Topology) RedriveAllowPolicy(dead, queueARN string) string {
	policy := allowPolicy{Permission: "byQueue"}
	for _, q := range t.Queues {
		if q.DeadLetterQueue == dead {
			policy.Sources = append(policy.Sources, queueARN[:strings.LastIndex(queueARN, ":")+1]+q.Name)
		}
	}
	text, _ := json.Marshal(policy) // texts: it can't fail
	return string(text)
}

// Permits reports whether a dead-letter queue with these attributes takes dead letters of all queues
// of the topology that have it as theirs.
func (t *Topology) Permits(dead string, has map[string]string) bool {
	var want, policy allowPolicy
	_ = json.Unmarshal([]byte(t.RedriveAllowPolicy(dead, has["QueueArn"])), &want)
	_ = json.Unmarshal([]byte(has[redriveAllowPolicy]), &policy) // without one it takes any
	switch policy.Permission {
	case "denyAll":
		return false
	case want.Permission:
		return !slices.ContainsFunc(want.Sources, func(arn string) bool { return !slices.Contains(policy.Sources, arn) })
	}
	return true
}

type allowPolicy struct {
	Permission string   `json:"redrivePermission"`
	Sources    []string `json:"sourceQueueArns,omitempty"`
}

const (
	redrivePolicy      = "RedrivePolicy"
	redriveAllowPolicy = "RedriveAllowPolicy"
)

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
