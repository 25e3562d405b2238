package sqs

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/cockroachdb/pebble/v2"
)

// Pebble compacts by the number and the size of what it writes. Deletes are
// small: those of 10 GB of large messages fit into one memtable, and without
// more writes the space would never come back. So what messages take is counted
// when they are deleted, and their keys are compacted after reclaimBytes, or
// reclaimQuietBytes once no more are deleted. On a full disk, where sends wait
// for it, reclaimFullBytes are worth it.
const (
	reclaimEvery      = 3 * time.Second
	reclaimBytes      = 64 << 20
	reclaimQuietBytes = 4 << 20
	reclaimFullBytes  = 1 << 20
	// unknownBytes is what a message counts that was not read before it was
	// deleted: about what an event takes.
	unknownBytes = 1 << 10
)

// garbage counts the bytes of deleted messages whose space was not given back,
// by queue. It may be used by many goroutines at once.
type deletedBytes struct {
	mu     sync.Mutex
	queues map[uint32]*garbageCount
}

type garbageCount struct {
	bytes     int64 // since the last reclaim
	scattered int64 // since the last reclaim of the whole queue
	busy      bool  // some came since the last look
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
			g.queues = map[uint32]*garbageCount{}
		}
		c = &garbageCount{}
		g.queues[queue] = c
	}
	c.bytes += bytes
	c.scattered += bytes
	c.busy = true
}

// reclaimable is a queue with space to give back: below its oldest message, or
// wherever it is.
type reclaimable struct {
	queue uint32
	bytes int64
	whole bool
}

// due returns the queues whose turn it is, and begins to count them anew. used
// returns what the store takes on disk.
//
// A whole queue is compacted only where that writes less than it frees, in
// times without deletes, and never on a full disk, which may not have the room
// for it. Mostly it is not needed, as messages leave in the order they came in.
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

// reclaimer gives the space of deleted messages back until ctx ends.
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
		for _, r := range s.garbage.due(s.disk.full.Load(), s.used) {
			err := s.reclaim(ctx, r)
			if ctx.Err() != nil {
				return
			}
			if err != nil {
				s.log.Warn("can't give back the space of deleted messages; trying again", "error", err)
				s.garbage.add(r.queue, r.bytes)
			}
		}
	}
}

// reclaim flushes and compacts the keys of deleted messages. Sends and
// receives go on meanwhile.
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

// first returns the first key from low on, high if there is none below it.
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

// used is what the store takes on disk, in bytes.
func (s *store) used() int64 { return int64(s.db.Metrics().DiskSpaceUsage()) }
