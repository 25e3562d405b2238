package oracle

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/spillwayhq/spillway/infra/local/segmentd"
	"github.com/spillwayhq/spillway/shared/event"
)

// special issues the messages that no drawing would hit upon.
func (i *issuer) special(ctx context.Context) error {
	for _, issue := range []struct {
		is    bool
		issue func(context.Context) error
	}{{i.plan.flood > 0, i.flood}, {i.plan.full, i.full}, {i.plan.full, i.large}, {i.plan.endless, i.endless}} {
		if !issue.is {
			continue
		}
		if err := issue.issue(ctx); err != nil {
			return err
		}
	}
	return nil
}

// floodKey is the write key of the flood alone, because it is paused most of the time.
const floodKey = "key-flood"

// flood issues so many events that Segment rejects that their batch is assumed to be wrong, in one
// message or in one each. Nothing of it may be lost, and it is delivered when Segment takes it.
func (i *issuer) flood(ctx context.Context) error {
	p := parcel{key: floodKey, path: "/v1/batch", common: drawCommon(i.rng)}
	for n := range i.plan.flood + i.rng.IntN(30) {
		e := i.small()
		if n < i.plan.flood {
			e.id, e.mayBeRejected = fmt.Sprintf("flood-%d", n), true
		}
		p.events = append(p.events, e)
	}
	i.rng.Shuffle(len(p.events), func(a, b int) { p.events[a], p.events[b] = p.events[b], p.events[a] })
	if i.plan.flood%2 == 0 {
		return i.issue(ctx, &p)
	}
	p.delay = 1
	for one := range slices.Chunk(p.events, 1) {
		each := p
		each.events = one
		if err := i.issue(ctx, &each); err != nil {
			return err
		}
	}
	return nil
}

// floodRules make Segment reject the flood.
func floodRules(n int) (rules []segmentd.Rule) {
	for i := range n {
		rules = append(rules, segmentd.Rule{Match: segmentd.Match{MessageID: fmt.Sprintf("flood-%d", i)}, Status: 400})
	}
	return rules
}

// small draws a valid event of about 100 bytes.
func (i *issuer) small() draft {
	i.serial++
	return draft{head: fmt.Sprintf(`"type":"track","event":"E","userId":"u1","n":%d`, i.serial), id: i.id(),
		timestamped: true}
}

// full issues pairs of messages that share a batch exactly, and pairs that must not: by the number
// of events, and by bytes. Each pair has a context of its own, so that nothing else is with it.
func (i *issuer) full(ctx context.Context) error {
	for n, second := range []int{1250, 1251} {
		shared := common{context: fmt.Sprintf(`{"app":{"build":"full %d"}}`, n)}
		for _, events := range []int{1250, second} {
			p := parcel{path: "/v1/batch", common: shared}
			for range events {
				p.events = append(p.events, i.small())
			}
			p.delay = 1
			if err := i.issue(ctx, &p); err != nil {
				return err
			}
		}
	}
	for more := range 2 {
		// So large a context that the request's size is the limit, and not the events'.
		shared := common{context: fmt.Sprintf(`{"app":{"build":"%d%s"}}`, more, strings.Repeat("x", 60<<10))}
		room := event.Room(event.Overhead(writeKeys[0], []byte(shared.context), nil)) + 700*more
		first := room/2 + i.rng.IntN(1000)
		for _, bytes := range []int{first, room - first} {
			p := parcel{path: "/v1/batch", common: shared, key: writeKeys[0], events: i.filling(bytes), delay: 1}
			if err := i.issue(ctx, &p); err != nil {
				return err
			}
		}
	}
	return nil
}

// large issues a message larger than a batch, in whose second part Segment rejects an event, and
// messages whose dead letters are too large for one call to SQS.
func (i *issuer) large(ctx context.Context) error {
	p := parcel{path: "/v1/batch", common: drawCommon(i.rng)}
	for n := range 2600 {
		e := i.small()
		if n == 2550 {
			e.id, e.reason = lateRule.Match.MessageID, "rejected"
		}
		p.events = append(p.events, e)
	}
	if err := i.issue(ctx, &p); err != nil {
		return err
	}
	for range 4 {
		p := parcel{path: "/v1/batch", delay: 1}
		for range 12 {
			e := i.small()
			e.reason, e.tail = "too_large", `,"x":"`+i.noise(33<<10)+`"`
			p.events = append(p.events, e)
		}
		if err := i.issue(ctx, &p); err != nil {
			return err
		}
	}
	return nil
}

// lateRule makes Segment reject an event of large.
var lateRule = segmentd.Rule{Match: segmentd.Match{MessageID: "late"}, Status: 400}

// noise is text that does not compress.
func (i *issuer) noise(n int) string {
	text := make([]byte, n)
	for at := range text {
		text[at] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_"[i.rng.IntN(64)]
	}
	return string(text)
}

// filling draws events that have so many bytes, with a comma each.
func (i *issuer) filling(bytes int) (events []draft) {
	const most = 30_000
	for bytes > 0 {
		e := i.small()
		size := min(bytes, most)
		if left := bytes - size; left > 0 && left < 1000 {
			size -= 1000 // the last one needs some room too
		}
		e.tail = `,"x":"`
		e.tail += strings.Repeat("x", size-1-len(e.bytes(e.id, ownTimestamp(&e)))-1) + `"`
		events = append(events, e)
		bytes -= size
	}
	return events
}

// endless issues a message with rejected events among so many that an invocation can't isolate them
// before its deadline as long as Segment is slow.
func (i *issuer) endless(ctx context.Context) error {
	p := parcel{path: "/v1/batch", key: endlessKey, common: drawCommon(i.rng)}
	for n := range 600 {
		e := i.small()
		if n%250 == 100 {
			e.id, e.reason = fmt.Sprintf("endless-%d", n), "rejected"
		}
		p.events = append(p.events, e)
	}
	return i.issue(ctx, &p)
}

const endlessKey = "key-endless"

// endlessRules make Segment reject these events, and be so slow with them.
func endlessRules(slow segmentd.Duration) (rules []segmentd.Rule) {
	for n := 100; n < 600; n += 250 {
		rules = append(rules, segmentd.Rule{Match: segmentd.Match{MessageID: fmt.Sprintf("endless-%d", n)}, Status: 400})
	}
	if slow > 0 {
		rules = append([]segmentd.Rule{{Match: segmentd.Match{WriteKey: endlessKey}, Latency: slow}}, rules...)
	}
	return rules
}
