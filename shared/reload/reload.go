// Package reload keeps a value up to date that is read from outside while the program runs: an SSM
// parameter, a file.
//
// A value never fails the start and never gets worse: the last good one is used until another good
// one has been read, and without any the program runs on and tries again soon. All cold starts of a
// region read at the same time, so a source that is unavailable for a moment, or a typing error in
// it, must not stop what works.
//
// A server refreshes its values by [Group.Run]. A Lambda function is frozen between two
// invocations, and a request under way would time out there: it refreshes by [Group.During], within
// its invocations.
package reload

import (
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"log/slog"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// Interval is how soon a change counts, give or take a tenth: environments that start together
	// must not read together, because SSM's default rate is low (40 a second: AWS general
	// reference, Systems Manager quotas).
	Interval = time.Minute
	// fileInterval is the same for a file, which costs next to nothing to read.
	fileInterval = 5 * time.Second
	// FirstInterval is how soon a value is read again as long as there is none.
	FirstInterval = 5 * time.Second
	// Timeout bounds one reading, and with it what a source that hangs costs the start or an
	// invocation.
	Timeout = 2 * time.Second
)

// A Source is where a value comes from.
type Source struct {
	Name string // for the log
	// Read returns what the source holds now. It must return when its context ends, and its errors
	// must not quote what it has read.
	Read     func(context.Context) ([]byte, error)
	Interval time.Duration // how often a value is read again; 0: [Interval]
}

// Config says what to read and what to make of it.
type Config[T any] struct {
	What    string // the value's name in the log, like "default write key"
	Without string // what happens as long as there is no value, for the log
	Source  Source
	// Parse makes a value of what was read. The attribute goes to the log, so it must hold no
	// secret, and neither must the error.
	Parse  func(data []byte) (value T, shown slog.Attr, err error)
	Logger *slog.Logger
}

// A Value is read again and again. It is safe for concurrent use.
type Value[T any] struct {
	config  Config[T]
	current atomic.Pointer[T]

	mu   sync.Mutex
	seen [sha256.Size]byte // digest of the data that current was made of
	next time.Time         // when it is due
}

// New makes a Value that has not been read yet.
func New[T any](c Config[T]) *Value[T] { return &Value[T]{config: c} }

// Load returns the last good value; ok is false as long as there is none.
func (v *Value[T]) Load() (value T, ok bool) {
	if p := v.current.Load(); p != nil {
		return *p, true
	}
	return value, false
}

// loaded reports whether there is a value.
func (v *Value[T]) loaded() bool { return v.current.Load() != nil }

// Refresh reads the source if it is due, for [Timeout] at most, and logs what is wrong with it.
func (v *Value[T]) Refresh(ctx context.Context) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if time.Now().Before(v.next) {
		return
	}
	reading, cancel := context.WithTimeout(ctx, Timeout)
	defer cancel()
	err := v.read(reading)
	v.next = time.Now().Add(v.interval())
	if err == nil || errors.Is(ctx.Err(), context.Canceled) { // canceled: the program ends
		return
	}
	failure := " could not be read: " + v.config.Without
	if v.loaded() {
		failure = " could not be read again: the last good value is used"
	}
	v.config.Logger.Error("the "+v.config.What+failure, "source", v.config.Source.Name, "error", err)
}

func (v *Value[T]) read(ctx context.Context) error {
	data, err := v.config.Source.Read(ctx)
	if err != nil {
		return err
	}
	digest := sha256.Sum256(data)
	if v.loaded() && digest == v.seen {
		return nil
	}
	value, shown, err := v.config.Parse(data)
	if err != nil {
		return err
	}
	v.seen = digest
	v.current.Store(&value)
	v.config.Logger.Info("the "+v.config.What+" was read", slog.String("source", v.config.Source.Name), shown)
	return nil
}

func (v *Value[T]) interval() time.Duration {
	interval := FirstInterval
	if v.loaded() {
		interval = cmp.Or(v.config.Source.Interval, Interval)
	}
	return interval*9/10 + rand.N(interval/5)
}

// due returns how long it is until the value is due.
func (v *Value[T]) due() time.Duration {
	v.mu.Lock()
	defer v.mu.Unlock()
	return time.Until(v.next)
}

// A Group is the values of one program, of any types. An empty one is valid.
type Group []interface {
	Refresh(context.Context)
	loaded() bool
	due() time.Duration
}

// Refresh reads all values that are due, at the same time.
func (g Group) Refresh(ctx context.Context) {
	var reading sync.WaitGroup
	for _, v := range g {
		reading.Go(func() { v.Refresh(ctx) })
	}
	reading.Wait()
}

// Run refreshes each value whenever it is due until ctx ends.
func (g Group) Run(ctx context.Context) {
	var running sync.WaitGroup
	for _, v := range g {
		running.Go(func() {
			for {
				t := time.NewTimer(v.due())
				select {
				case <-ctx.Done():
					t.Stop()
					return
				case <-t.C:
					v.Refresh(ctx)
				}
			}
		})
	}
	running.Wait()
}

// During calls f and refreshes the values that are due at the same time. A value that has never
// been read is refreshed before, since f may need it. It returns when both have ended.
func (g Group) During(ctx context.Context, f func()) {
	var first Group
	for _, v := range g {
		if !v.loaded() {
			first = append(first, v)
		}
	}
	first.Refresh(ctx)
	var reading sync.WaitGroup
	defer reading.Wait()
	for _, v := range g {
		if v.due() <= 0 {
			reading.Go(func() { v.Refresh(ctx) })
		}
	}
	f()
}
