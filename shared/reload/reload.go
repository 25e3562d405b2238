// Package reload rereads values, such as an SSM parameter or a file, while the program runs.
//
// A failed reading never stops the program: it uses the last good value, and without one it starts
// all the same and tries again soon. So a source that is unavailable for a moment, or a typing
// error in it, can't break all cold starts of a region.
//
// A server refreshes its values in the background, by [Group.Run]. A Lambda function is frozen
// between invocations, where a request would time out, so it refreshes within them, by
// [Group.During].
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
	// Interval is the time between two readings, ±10 %, so that environments that start together do
	// not read together: SSM's default rate is low (40 a second: AWS general reference, Systems
	// Manager quotas).
	Interval = time.Minute
	// fileInterval is the same for a file, which costs next to nothing to read.
	fileInterval = 5 * time.Second
	// FirstInterval is the time between two readings while there is no good value.
	FirstInterval = 5 * time.Second
	// Timeout bounds one reading, so that a source that hangs delays the start or an invocation by
	// no more.
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

// Config says what to read and how to parse it.
type Config[T any] struct {
	What    string // the value's name in the log, like "default write key"
	Without string // what happens as long as there is no value, for the log
	Source  Source
	// Parse makes a value of what was read. The attribute goes to the log, so it must hold no
	// secret, and neither must the error.
	Parse  func(data []byte) (value T, shown slog.Attr, err error)
	Logger *slog.Logger
}

// A Value is the last good value of a source. It is safe for concurrent use.
type Value[T any] struct {
	config  Config[T]
	current atomic.Pointer[T]

	mu   sync.Mutex
	seen [sha256.Size]byte // digest of the data that current was made of
	next time.Time         // when it is due
}

// New returns a Value that has not been read yet.
func New[T any](c Config[T]) *Value[T] { return &Value[T]{config: c} }

// Load returns the last good value; ok is false if there is none yet.
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

// Refresh reads all values that are due, concurrently.
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

// During calls f, and refreshes the values that are due concurrently. It refreshes a value that has
// never been read before it calls f, which may need it. It returns when both have ended.
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
