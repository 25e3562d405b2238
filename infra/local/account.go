package local

import (
	"context"
	"time"

	"github.com/spillwayhq/spillway/infra/local/cloudwatch"
	"github.com/spillwayhq/spillway/infra/local/cloudwatch/feed"
	"github.com/spillwayhq/spillway/infra/local/sqs"
	"github.com/spillwayhq/spillway/shared/ingest"
)

// An account writes each second what the operator's page needs and no metric of a deployment has:
// the events that came through ingest, without the canary's and as soon as they come, those that
// came otherwise, and the refused requests by their codes. On AWS these are in the metrics of the
// programs that send, and in ingest's log. One goroutine uses it.
type account struct {
	put      feed.Put
	pipeline string
	queue    func() sqs.Stats     // of the events queue
	requests func() ingest.Totals // to ingest, since the start
	canaries func() int64         // accepted by ingest, since the start

	accepted int64             // by ingest, a second ago
	ingest   int64             // events that came through ingest
	sent     [accountLag]int64 // events in the queue, of the last seconds
	seconds  int
	other    int64          // events that came otherwise
	refused  map[string]int // by code
}

// accountLag is after how many seconds what ingest has sent to the queue is surely counted as
// accepted too: the queue has events before their request is answered.
const accountLag = 3

// accountKey is the key of a metric of an account.
func accountKey(pipeline, name string) cloudwatch.Key {
	return cloudwatch.Key{Own: "up", Pipeline: pipeline, Name: name}
}

// ingestKey is the events that came through ingest, without the canary's.
func ingestKey(pipeline string) cloudwatch.Key { return accountKey(pipeline, "IngestEvents") }

// otherKey is the events that came otherwise than through ingest: from publishers and other
// programs, and from the dead-letter queue by a redrive.
func otherKey(pipeline string) cloudwatch.Key { return accountKey(pipeline, "OtherEvents") }

// refusedKey is the requests that ingest refused with a code.
func refusedKey(pipeline, code string) cloudwatch.Key {
	k := accountKey(pipeline, "RequestsRefused")
	k.Dimension, k.Value = "Code", code
	return k
}

// run writes until ctx ends.
func (a *account) run(ctx context.Context) {
	t := time.NewTicker(time.Second)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-t.C:
			a.second(now)
		}
	}
}

// second writes what has been counted since the last one.
func (a *account) second(now time.Time) {
	requests := a.requests()
	for _, codes := range []map[string]int{requests.Refused, requests.Shed} {
		for code, n := range codes {
			a.refuse(now, code, n)
		}
	}
	// A canary counts as sent a moment after it is accepted.
	if ingest := a.accepted - a.canaries(); ingest > a.ingest {
		a.put(now, ingestKey(a.pipeline), float64(ingest-a.ingest))
		a.ingest = ingest
	}
	a.accepted = int64(requests.Accepted)
	at := &a.sent[a.seconds%accountLag]
	before := *at // of accountLag seconds ago
	*at = a.queue().SentEvents
	if a.seconds++; a.seconds <= accountLag {
		return
	}
	// What is accepted and not yet sent, such as spilled events, makes it less and never more.
	if other := before - int64(requests.Accepted); other > a.other {
		a.put(now, otherKey(a.pipeline), float64(other-a.other))
		a.other = other
	}
}

// refuse writes how many requests more there are of a code, of n in all. No code is both of refused
// and of shed requests.
func (a *account) refuse(now time.Time, code string, n int) {
	if a.refused == nil {
		a.refused = map[string]int{}
	}
	if more := n - a.refused[code]; more > 0 {
		a.put(now, refusedKey(a.pipeline, code), float64(more))
		a.refused[code] = n
	}
}
