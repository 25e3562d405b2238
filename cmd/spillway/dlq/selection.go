package dlq

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spillwayhq/spillway/cmd/spillway/terminal"
	"github.com/spillwayhq/spillway/shared/deadletter"
	"github.com/spillwayhq/spillway/shared/event"
	"github.com/spillwayhq/spillway/shared/message"
)

// A Selection is which dead letters a person means: what the flags of `spillway dlq` say, or the
// form of the operator's page. The zero value is all of them; within a field one of the values is
// enough.
type Selection struct {
	Reasons, WriteKeys, Events, Users, IDs []string
	OlderThan, NewerThan                   time.Duration // since the events came in; 0: no bound
}

// Filter returns the filter that the selection describes. name returns what may be shown of a write
// key: keys are selected by that or by the key itself.
func (s *Selection) Filter(name func(writeKey string) string) (deadletter.Filter, error) {
	f := deadletter.Filter{Reasons: s.Reasons, IDs: s.IDs, Events: s.Events, Users: s.Users, OlderThan: s.OlderThan,
		NewerThan: s.NewerThan}
	if s.OlderThan < 0 || s.NewerThan < 0 {
		return f, errors.New("the ages of older than and newer than must not be negative")
	}
	if s.NewerThan != 0 && s.OlderThan >= s.NewerThan {
		return f, fmt.Errorf("nothing is older than %v and newer than %v: remove one of the two, or swap their values",
			s.OlderThan, s.NewerThan)
	}
	if len(s.WriteKeys) > 0 {
		f.WriteKey = func(writeKey string) bool {
			return slices.Contains(s.WriteKeys, name(writeKey)) || slices.Contains(s.WriteKeys, writeKey)
		}
	}
	return f, nil
}

// CheckReasons returns an error for a reason that no dead letter can have and none in the queue
// has: a typing error, or one of a newer version. That none has a known reason now is no error, so
// that a redrive can be run again.
func (s *Selection) CheckReasons(seen deadletter.ReasonCounts) error {
	known := message.Reasons()
	for reason := range seen {
		if !slices.Contains(known, reason) {
			known = append(known, reason)
		}
	}
	slices.Sort(known)
	for _, reason := range s.Reasons {
		if slices.Contains(known, reason) {
			continue
		}
		for i, r := range known { // quoted, because a reason is whatever a message says
			known[i] = strconv.Quote(r)
		}
		return fmt.Errorf("no dead letter has the reason %q: the reasons are %s", reason, strings.Join(known, ", "))
	}
	return nil
}

// Flags returns the selection as flags of `spillway dlq`, to be pasted into a shell; empty for all.
func (s *Selection) Flags() string {
	var flags strings.Builder
	for _, f := range []struct {
		name   string
		values []string
	}{{"reason", s.Reasons}, {"write-key", s.WriteKeys}, {"event", s.Events}, {"user", s.Users}, {"id", s.IDs}} {
		for _, v := range f.values {
			fmt.Fprintf(&flags, " --%s=%s", f.name, terminal.ShellWord(v))
		}
	}
	for _, f := range []struct {
		name  string
		value time.Duration
	}{{"older-than", s.OlderThan}, {"newer-than", s.NewerThan}} {
		if f.value != 0 {
			fmt.Fprintf(&flags, " --%s=%v", f.name, f.value)
		}
	}
	return flags.String()
}

// DefaultKey is the name of the write key of messages that carry none: the deliver function's.
const DefaultKey = "default"

// KeyNames returns a function that returns what may be shown of a write key: its name among names,
// otherwise the beginning of its SHA-256, as in the function's log.
func KeyNames(names map[string]string) func(writeKey string) string {
	return func(writeKey string) string {
		switch name, ok := names[writeKey]; {
		case writeKey == "":
			return DefaultKey
		case ok:
			return terminal.OneLine(name)
		}
		return event.KeyID(writeKey)
	}
}

// CheckRate returns an error for a rate that a redrive can't have.
func CheckRate(eventsPerSecond float64) error {
	if !(eventsPerSecond > 0) || math.IsInf(eventsPerSecond, 0) {
		return fmt.Errorf("the rate must be above 0 events per second, is %v", eventsPerSecond)
	}
	return nil
}
