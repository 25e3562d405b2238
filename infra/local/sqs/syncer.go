package sqs

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/cockroachdb/pebble/v2"
)

// syncWithin is how long a write that nobody waits for may stay unsynced. Until
// then it is lost with the process and not only with the machine, because
// Pebble keeps the end of its log in memory of its own.
const syncWithin = time.Second

// unsynced says whether something was written that no later sync has covered.
type unsynced struct {
	writes  atomic.Int64  // of those that were not synced themselves
	covered atomic.Int64  // how many of them are on disk for certain
	some    chan struct{} // holds an item after such a write
}

func (u *unsynced) add() {
	u.writes.Add(1)
	select {
	case u.some <- struct{}{}:
	default:
	}
}

// cover notes a sync that began after n writes.
func (u *unsynced) cover(n int64) {
	for {
		c := u.covered.Load()
		if c >= n || u.covered.CompareAndSwap(c, n) {
			return
		}
	}
}

// syncer syncs what was written without a sync within syncWithin, unless
// somebody else's sync did, until ctx ends. What is left then is synced by
// close.
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
			s.log.Error("can't sync what was deleted", "error", err)
		}
	}
}

// sync puts everything that was committed on disk.
func (s *store) sync() error {
	b := s.db.NewBatch()
	if err := b.LogData(nil, nil); err != nil {
		return err
	}
	return s.commit(b, pebble.Sync)
}
