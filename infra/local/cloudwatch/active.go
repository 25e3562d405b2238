package cloudwatch

// idleAfter is how many minutes without activity make SQS stop a queue's metrics (SQS developer
// guide, "Monitoring Amazon SQS queues using CloudWatch").
const idleAfter = 6 * 60

// A span is a time in which a queue was active, in minutes, both ends included.
type span struct{ first, last int64 }

// spans are in their order, and between two there are more than idleAfter minutes.
type spans []span

// maxSpans bounds what is known of one queue: a queue that wakes up every 6 hours, for 25 days.
const maxSpans = 100

// add records a value of a queue's metric. A value above 0 is activity: there are messages, or
// someone sent, received or deleted some. The first value at all is too: someone made the queue.
func (s spans) add(minute int64, value float64) spans {
	if len(s) == 0 {
		return spans{{minute, minute}}
	}
	last := &s[len(s)-1]
	switch {
	case value <= 0 || minute <= last.last:
	case minute <= last.last+idleAfter:
		last.last = minute
	default:
		s = append(s, span{minute, minute})
	}
	return s[max(0, len(s)-maxSpans):]
}

// of returns the span that a minute belongs to, in which the queue had metrics.
func (s spans) of(minute int64) (span, bool) {
	i := len(s) - 1
	for i >= 0 && minute < s[i].first {
		i--
	}
	if i < 0 {
		return span{}, false
	}
	return s[i], minute <= s[i].last+idleAfter
}
