// Package reload rereads values, such as an SSM parameter or a file, while the program runs.
//
// A failed reading never stops the program: it uses the last good value, and without one it starts
// all the same and tries again soon. So a source that is unavailable for a moment, or a typing
// error in it, can't break all cold starts of a region. [Value.Failure] tells that the value in use
// may be old. Where the source keeps versions, a program that starts while the newest one is wrong
// can find the last good one: see [Config].Earlier.
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
	"fmt"
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
	fileInterval = time.Second
	// FirstInterval is the time between two readings while there is no good value.
	FirstInterval = 5 * time.Second
	// Timeout bounds one reading, so that a source that hangs delays the start or an invocation by
	// no more. Where earlier versions are read as well, it bounds them together again.
	Timeout = 2 * time.Second
	// earlierSpread is how long a program waits at most, at random, before it reads earlier
	// versions: all environments that start while the newest one is wrong do so.
	earlierSpread = time.Second
)

// ErrUnreadable says that a version of a source can't be read, however often it is tried: it is
// gone, or the program may not decrypt it. An earlier one may be readable.
var ErrUnreadable = errors.New("this version can't be read")

// ErrFirst says that there is no version before one.
var ErrFirst = errors.New("there is no earlier version")

// A Content is what a source held at one time.
type Content struct {
	Data    []byte
	Version string // as the source calls it; empty: it has no versions
}

// A Source is where a value comes from.
type Source struct {
	Name string // for the log
	// Read returns what the source holds now. It must return when its context ends, and its errors
	// must not quote what it has read. With an error it returns the Version if it knows that.
	Read func(context.Context) (Content, error)
	// Before is Read for the version before one; nil: the source has no versions. Its errors may be
	// ErrUnreadable, with the Version that can't be read, or ErrFirst.
	Before   func(ctx context.Context, version string) (Content, error)
	Interval time.Duration // how often a value is read again; 0: [Interval]
}

// Else returns a source that holds data where s fails with an error that missing reports to say that
// there is nothing to read: where that is a value like another. It has no versions.
func (s Source) Else(data []byte, missing func(error) bool) Source {
	read := s.Read
	s.Read = func(ctx context.Context) (Content, error) {
		c, err := read(ctx)
		if err != nil && missing(err) {
			return Content{Data: data}, nil
		}
		return c, err
	}
	s.Before = nil
	return s
}

// Config says what to read and how to parse it.
type Config[T any] struct {
	What    string // the value's name in the log, like "default write key"
	Without string // what happens as long as there is no value, for the log
	Source  Source
	// Parse makes a value of what was read. The attribute goes to the log, so it must hold no
	// secret, and neither must the error.
	Parse func(ctx context.Context, data []byte) (value T, shown slog.Attr, err error)
	// Default is the value until a first one was read. Nothing waits for that, and a source that
	// can't be read is tried again after its interval. Nil: there is none.
	Default *T
	// Earlier is how many earlier versions of the source may be read for a first value, over the
	// whole life of the program: 0 for a value that is harmful when it is old.
	Earlier int
	Logger  *slog.Logger
}

// A Value is the last good value of a source. It is safe for concurrent use.
type Value[T any] struct {
	config  Config[T]
	current atomic.Pointer[T]
	failure atomic.Pointer[error] // of the last reading; nil: it succeeded

	mu      sync.Mutex
	seen    [sha256.Size]byte // digest of the data that current was made of
	next    time.Time         // when it is due
	looking bool              // readEarlier has begun
	version string            // the version before which it reads next
	earlier int               // how many it has read
}

// New returns a Value that has not been read yet.
func New[T any](c Config[T]) *Value[T] {
	v := &Value[T]{config: c}
	v.current.Store(c.Default)
	return v
}

// Load returns the last good value; ok is false if there is none yet.
func (v *Value[T]) Load() (value T, ok bool) {
	if p := v.current.Load(); p != nil {
		return *p, true
	}
	return value, false
}

// loaded reports whether there is a value.
func (v *Value[T]) loaded() bool { return v.current.Load() != nil }

// Failure returns why the last reading failed: the value in use may be older than what the source
// holds. It is nil after a reading that succeeded, and before the first.
func (v *Value[T]) Failure() error {
	if err := v.failure.Load(); err != nil {
		return *err
	}
	return nil
}

// Refresh reads the source if it is due, for [Timeout] at most, and logs what is wrong with it.
func (v *Value[T]) Refresh(ctx context.Context) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if time.Now().Before(v.next) {
		return
	}
	newest, err := v.read(ctx)
	defer func() { v.next = time.Now().Add(v.interval()) }()
	if err == nil {
		v.failure.Store(nil)
		return
	}
	if errors.Is(ctx.Err(), context.Canceled) { // the program ends
		return
	}
	v.failure.Store(&err)
	if !v.loaded() {
		v.readEarlier(ctx, newest, err)
	}
	failure := " could not be read: " + v.config.Without
	if v.loaded() {
		failure = " could not be read again: the last good value is used"
	}
	v.config.Logger.ErrorContext(ctx, "the "+v.config.What+failure, "source", v.config.Source.Name, "error", err)
}

// read reads the source, and returns the version that it has, if that is known.
func (v *Value[T]) read(ctx context.Context) (version string, err error) {
	ctx, cancel := context.WithTimeout(ctx, Timeout)
	defer cancel()
	content, err := v.config.Source.Read(ctx)
	if err != nil {
		return content.Version, err
	}
	return content.Version, v.use(ctx, content)
}

// use makes a value of a content, and logs that.
func (v *Value[T]) use(ctx context.Context, c Content) error {
	digest := sha256.Sum256(c.Data)
	if v.loaded() && digest == v.seen {
		return nil
	}
	value, shown, err := v.config.Parse(ctx, c.Data)
	if err != nil {
		return err
	}
	v.seen = digest
	v.current.Store(&value)
	attrs := []any{slog.String("source", v.config.Source.Name), shown}
	if c.Version != "" {
		attrs = append(attrs, slog.String("version", c.Version))
	}
	v.config.Logger.InfoContext(ctx, "the "+v.config.What+" was read", attrs...)
	return nil
}

// readEarlier looks for a first value among the versions before newest, which cause keeps from
// being one. A version that could not be read for the moment is read again with the next Refresh.
func (v *Value[T]) readEarlier(ctx context.Context, newest string, cause error) {
	if v.config.Source.Before == nil || v.earlier >= v.config.Earlier || !v.looking && newest == "" {
		return
	}
	if !v.looking {
		v.looking, v.version = true, newest
		select {
		case <-time.After(rand.N(earlierSpread)):
		case <-ctx.Done():
			return
		}
	}
	ctx, cancel := context.WithTimeout(ctx, Timeout)
	defer cancel()
	for v.earlier < v.config.Earlier {
		content, err := v.config.Source.Before(ctx, v.version)
		if errors.Is(err, ErrFirst) {
			v.earlier = v.config.Earlier
			return
		}
		v.earlier++
		if err == nil {
			err = v.use(ctx, content)
		} else if !errors.Is(err, ErrUnreadable) {
			v.logEarlier(ctx, slog.LevelError, "can't be read now", content.Version, err)
			return
		}
		if err == nil {
			v.logEarlier(ctx, slog.LevelWarn, "is used, because the newest could not be read", content.Version, cause)
			return
		}
		v.logEarlier(ctx, slog.LevelError, "can't be used", content.Version, err)
		v.version = content.Version
	}
}

func (v *Value[T]) logEarlier(ctx context.Context, level slog.Level, what, version string, err error) {
	v.config.Logger.Log(ctx, level, fmt.Sprintf("an earlier version of the %s %s", v.config.What, what),
		"source", v.config.Source.Name, "version", version, "error", err)
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
