package writekeys

import (
	"context"
	"crypto/sha256"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync/atomic"
	"time"

	"github.com/spillwayhq/spillway/shared/ingest"
)

const (
	// Interval is how long a change takes to count, give or take a tenth: environments that started
	// together must not read together, for SSM's default rate is low (40 a second: AWS general
	// reference, Systems Manager quotas).
	Interval = time.Minute
	// firstInterval is how soon it is tried again while there is no set at all.
	firstInterval = 5 * time.Second
	// readTimeout bounds one reading, and with it the start.
	readTimeout = 2 * time.Second
)

// A Set is an ingest.KeySet that follows its source. Lookup may be called by several goroutines at
// the same time, also while Run reads a new set.
type Set struct {
	source Source
	logger *slog.Logger
	keys   *ingest.Keys
	loaded atomic.Bool
	seen   [sha256.Size]byte // of the document in use
}

// Load reads the source once, for 2 s at most. It does not fail: what is wrong is logged, and Run
// tries again.
func Load(ctx context.Context, source Source, logger *slog.Logger) *Set {
	keys, err := ingest.NewKeys(nil)
	if err != nil {
		panic(err) // no set is no mistake
	}
	s := &Set{source: source, logger: logger, keys: keys}
	s.reload(ctx)
	return s
}

// Run reads the source again and again until ctx ends. It must be called once at most.
func (s *Set) Run(ctx context.Context) {
	for {
		t := time.NewTimer(s.interval())
		select {
		case <-ctx.Done():
			t.Stop()
			return
		case <-t.C:
			s.reload(ctx)
		}
	}
}

func (s *Set) interval() time.Duration {
	interval := Interval
	if !s.loaded.Load() {
		interval = firstInterval
	}
	return interval*9/10 + rand.N(interval/5)
}

// Lookup implements ingest.KeySet.
func (s *Set) Lookup(writeKey string) (ingest.Key, bool) {
	if !s.loaded.Load() {
		return ingest.Key{}, true
	}
	return s.keys.Lookup(writeKey)
}

func (s *Set) reload(ctx context.Context) {
	reading, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	count, err := s.read(reading)
	switch {
	case ctx.Err() != nil: // the end, and no failure
	case err != nil && s.loaded.Load():
		s.logger.Error("the write keys could not be read again: those that were read last stay in force", "error", err)
	case err != nil:
		s.logger.Error("the write keys could not be read: any well-formed write key is accepted until they are", "error", err)
	case count > 0:
		s.logger.Info("write keys in force", "count", count)
	}
}

// read puts what the source has in force; count is 0 when it is what was there before.
func (s *Set) read(ctx context.Context) (count int, err error) {
	data, err := s.source(ctx)
	if err != nil {
		return 0, err
	}
	sum := sha256.Sum256(data)
	if s.loaded.Load() && sum == s.seen {
		return 0, nil
	}
	keys, err := Parse(data)
	if err != nil {
		return 0, fmt.Errorf("understand the set of write keys: %w", err)
	}
	if err := s.keys.Replace(keys); err != nil {
		return 0, err
	}
	s.seen = sum
	s.loaded.Store(true)
	return len(keys), nil
}
