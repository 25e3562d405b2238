package sqs

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/cockroachdb/pebble/v2"
)

// syncWithin is how long a write without a sync may be unsynced. Until then the end of the process
// loses it too, not only that of the machine, because Pebble buffers the end of its log in memory.
const syncWithin = time.Second

// unsynced knows whether there are writes that no later sync includes. It is safe for concurrent use.
type unsynced struct {
	writes  atomic.Int64  // how many writes were without a sync
	covered atomic.Int64  // how many of them a sync has included
	some    chan struct{} // holds an item after such a write
}

func (u *unsynced) add() {
	u.writes.Add(1)
	select {
	case u.some <- struct{}{}:
	default:
	}
}

// cover records a sync that began after n writes.
func (u *unsynced) cover(n int64) {
	for {
		c := u.covered.Load()
		if c >= n || u.covered.CompareAndSwap(c, n) {
			return
		}
	}
}

// syncer syncs within syncWithin what was written without a sync, unless another sync has included
// it, until ctx ends. Then close syncs the rest.
func (s *store) syncer(ctx context.Context) {
	wait := time.NewTimer(syncWithin)
	defer wait.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-s.unsynced.some:
		}
		wait.Reset(syncWithin)
		select {
		case <-ctx.Done():
			return
		case <-wait.C:
		}
		if s.unsynced.covered.Load() >= s.unsynced.writes.Load() {
			continue
		}
		if err := s.sync(); err != nil {
			s.log.Error("can't sync deletes and visibility changes", "error", err)
		}
	}
}

// sync returns when everything committed before is on disk.
func (s *store) sync() error {
	b := s.db.NewBatch()
	if err := b.LogData(nil, nil); err != nil {
		return err
	}
	return s.commit(b, pebble.Sync)
}
