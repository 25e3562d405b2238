package sqs

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/cockroachdb/pebble/v2"
)

// Pebble compacts by the number and size of its writes. Deletes are small: those of 10 GB of large
// messages fit into one memtable, and without more writes the space would never be free again. So the
// sizes of deleted messages are counted, and their keys are compacted after reclaimBytes, or after
// reclaimQuietBytes when there are no more deletes, or after reclaimFullBytes on a full disk, where
// sends wait for the space.
const (
	reclaimEvery      = 3 * time.Second
	reclaimBytes      = 64 << 20
	reclaimQuietBytes = 4 << 20
	reclaimFullBytes  = 1 << 20
	// unknownBytes is the assumed size of a message that was not read before its deletion: about that
	// of an event.
	unknownBytes = 1 << 10
)

// deletedBytes counts the bytes of deleted messages whose space was not reclaimed, by queue. It is
// safe for concurrent use.
type deletedBytes struct {
	mu     sync.Mutex
	queues map[uint32]*deletedCount
}

type deletedCount struct {
	bytes     int64 // since the last reclaim
	scattered int64 // since the last reclaim of the whole queue
	busy      bool  // there were deletes since the last call of due
}

func (g *deletedBytes) add(queue uint32, bytes int64) {
	if bytes == 0 {
		return
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	c := g.queues[queue]
	if c == nil {
		if g.queues == nil {
			g.queues = map[uint32]*deletedCount{}
		}
		c = &deletedCount{}
		g.queues[queue] = c
	}
	c.bytes += bytes
	c.scattered += bytes
	c.busy = true
}

// reclaimable is a queue with space to reclaim: before its oldest message, or anywhere (whole).
type reclaimable struct {
	queue uint32
	bytes int64
	whole bool
}

// due returns the queues to reclaim now and resets their counts. used returns the size of the store on
// disk.
//
// A whole queue is compacted only if that writes less than it frees, when there are no deletes, and
// never on a full disk, which may not have room for it. It is rarely needed, because most messages
// are deleted in the order in which they were sent.
func (g *deletedBytes) due(full bool, used func() int64) []reclaimable {
	g.mu.Lock()
	defer g.mu.Unlock()
	var rs []reclaimable
	for queue, c := range g.queues {
		quiet := !c.busy
		c.busy = false
		whole := quiet && !full && c.scattered >= reclaimBytes && c.scattered >= used()/2
		if !whole && c.bytes < reclaimBytes && !(quiet && c.bytes >= reclaimQuietBytes) &&
			!(full && c.bytes >= reclaimFullBytes) {
			continue
		}
		rs = append(rs, reclaimable{queue, c.bytes, whole})
		c.bytes = 0
		if whole {
			delete(g.queues, queue)
		}
	}
	return rs
}

// reclaimer reclaims the space of deleted messages until ctx ends.
func (s *store) reclaimer(ctx context.Context) {
	tick := time.NewTicker(reclaimEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if s.failure() != nil {
			return
		}
		for _, r := range s.deleted.due(s.disk.full.Load(), s.used) {
			err := s.reclaim(ctx, r)
			if ctx.Err() != nil {
				return
			}
			if err != nil {
				s.log.Warn("can't reclaim the space of deleted messages, retrying", "error", err)
				s.deleted.add(r.queue, r.bytes)
			}
		}
	}
}

// reclaim flushes and compacts the keys of deleted messages. It does not block sends and receives.
func (s *store) reclaim(ctx context.Context, r reclaimable) (err error) {
	defer s.survive(&err)
	for _, kind := range [...]byte{kindMessage, kindReturned, kindVisible} {
		low, high := keyRange(kind, r.queue)
		if !r.whole {
			if high, err = s.first(low, high); err != nil {
				return err
			}
		}
		if string(low) == string(high) {
			continue
		}
		if err := s.db.Compact(ctx, low, high, false); err != nil {
			return fmt.Errorf("compact the queues' store: %w", err)
		}
	}
	return nil
}

// first returns the first key between low and high, or high if there is none.
func (s *store) first(low, high []byte) ([]byte, error) {
	it, err := s.db.NewIter(&pebble.IterOptions{LowerBound: low, UpperBound: high})
	if err != nil {
		return nil, fmt.Errorf("read from the queues' store: %w", err)
	}
	defer it.Close()
	if it.First() {
		return append([]byte(nil), it.Key()...), nil
	}
	if err := it.Error(); err != nil {
		return nil, fmt.Errorf("read from the queues' store: %w", err)
	}
	return high, nil
}

// used is the size of the store on disk, in bytes.
func (s *store) used() int64 { return int64(s.db.Metrics().DiskSpaceUsage()) }
