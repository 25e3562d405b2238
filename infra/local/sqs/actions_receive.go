package sqs

import (
	"slices"
	"strings"
	"time"
)

type receiveMessageInput struct {
	queueURL
	AttributeNames              []string
	MessageSystemAttributeNames []string
	MessageAttributeNames       []string
	MaxNumberOfMessages         *int
	VisibilityTimeout           *int
	WaitTimeSeconds             *int
}

func receiveMessage(c call, body []byte) (any, func(), error) {
	var in receiveMessageInput
	if err := decode(body, &in); err != nil {
		return nil, nil, err
	}
	q, err := c.queue(in.QueueUrl)
	if err != nil {
		return nil, nil, err
	}
	limit, wait, visibility, err := in.limits(q.settings.Load())
	if err != nil {
		return nil, nil, err
	}
	system, err := in.systemFilter()
	if err != nil {
		return nil, nil, err
	}
	got, err := q.receive(c.ctx, limit, wait, visibility)
	if err != nil {
		return nil, nil, err
	}
	undo := func() {
		fs := make([]*flight, len(got))
		for i := range got {
			fs[i] = got[i].flight
		}
		q.release(fs)
	}
	return &receiveMessageOutput{q, got, system, in.MessageAttributeNames}, undo, nil
}

// limits checks the numbers; the defaults are the queue's.
func (in *receiveMessageInput) limits(st *settings) (limit int, wait, visibility time.Duration, err error) {
	limit, wait, visibility = 1, st.wait, st.visibility
	if n := in.MaxNumberOfMessages; n != nil {
		if *n < 1 || *n > 10 {
			return 0, 0, 0, errInvalidParameter("Value %d for parameter MaxNumberOfMessages is invalid. Reason: Must be "+
				"between 1 and 10, if provided.", *n)
		}
		limit = *n
	}
	if n := in.WaitTimeSeconds; n != nil {
		if *n < 0 || *n > maxWait {
			return 0, 0, 0, errInvalidParameter("Value %d for parameter WaitTimeSeconds is invalid. Reason: Must be >= 0 and "+
				"<= %d, if provided.", *n, maxWait)
		}
		wait = time.Duration(*n) * time.Second
	}
	if n := in.VisibilityTimeout; n != nil {
		if err := checkVisibility(*n); err != nil {
			return 0, 0, 0, err
		}
		visibility = time.Duration(*n) * time.Second
	}
	return limit, wait, visibility, nil
}

func checkVisibility(seconds int) error {
	if seconds < 0 || seconds > maxVisibility {
		return errInvalidParameter("Value %d for parameter VisibilityTimeout is invalid. Reason: Must be between 0 and "+
			"%d, if provided.", seconds, maxVisibility)
	}
	return nil
}

// systemFilter returns which system attributes are requested. The two lists are an older and a newer
// parameter with the same meaning.
func (in *receiveMessageInput) systemFilter() (func(name string) bool, error) {
	names := append(slices.Clip(in.AttributeNames), in.MessageSystemAttributeNames...)
	for _, n := range names {
		switch n {
		case "All", "SenderId", "SentTimestamp", "ApproximateReceiveCount", "ApproximateFirstReceiveTimestamp",
			"SequenceNumber", "MessageDeduplicationId", "MessageGroupId", "AWSTraceHeader", "DeadLetterQueueSourceArn":
		default:
			return nil, errInvalidAttributeName(n)
		}
	}
	all := slices.Contains(names, "All")
	return func(name string) bool { return all || slices.Contains(names, name) }, nil
}

// wantsAttribute reports whether MessageAttributeNames includes a name: All, * or .*, the name, or a
// prefix followed by .*.
func wantsAttribute(names []string, name string) bool {
	for _, n := range names {
		if n == "All" || n == "*" || n == ".*" || n == name {
			return true
		}
		if prefix, ok := strings.CutSuffix(n, ".*"); ok && strings.HasPrefix(name, prefix) {
			return true
		}
	}
	return false
}
