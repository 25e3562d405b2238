package console

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/spillwayhq/spillway/cmd/spillway/terminal"
	"github.com/spillwayhq/spillway/infra/topology"
	"github.com/spillwayhq/spillway/shared/chart"
)

// A statusView is the answer to the first question: is everything all right?
type statusView struct {
	Class    string // good, warn or bad
	Headline string
	Text     string
	Resume   string    // the command that ends a pause; empty: nothing is paused by hand
	At       time.Time // of what it says
	Stale    string    // why there is nothing newer
	Canary   string
	Dead     bool        // it is about the dead letters
	Coming   []alarmView // the alarm that fires next, if none does and something is wrong
	Firing   []alarmView // those of which somebody is told, the critical ones first
}

// lateAge is from which age on events that wait are worth a word, although no alarm fires yet.
const lateAge = time.Minute

// status is how the pipeline is, in words.
func status(about *About, now seen[Now], alarms seen[[]Alarm], keys []WriteKey, rate drainRate) statusView {
	t := &about.Topology
	v := statusView{At: now.At, Class: "good", Firing: firing(t, alarms.Value, now.Value.Paused != "")}
	v.Stale = stale(now.Err, now.At)
	if alarms.Err != nil && !errors.Is(alarms.Err, ErrPartial) {
		v.Stale = join(v.Stale, "the alarms are not known: "+why(alarms.Err))
	}
	if !now.Known() {
		v.Class, v.Headline, v.Text, v.Stale = "warn", "How the pipeline is can't be read", why(now.Err), ""
		return v
	}
	n := now.Value
	v.Canary = canary(n)
	waits := waitingText(n, rate)
	byHand := slices.DeleteFunc(slices.Clone(keys), func(k WriteKey) bool { return !k.ByHand })
	drains := n.Messages > 0 && rate.known && rate.perSecond > leastRate && !n.BreakerOpen && n.Degraded == ""
	switch {
	case n.Store != "":
		v.Class, v.Headline, v.Text = "bad", "The data directory needs attention", capital(shortTo(n.Store, maxError))
	case n.Paused != "" && (len(v.Firing) == 0 || !pagesBesidePause(t, v.Firing[0])):
		v.Class, v.Headline = "warn", "Delivery is paused"
		v.Text = sentence(shortTo(n.Paused, maxError)) + " " + waits
		v.Resume = about.Command + " resume" + about.Flags
	case len(v.Firing) > 0 && v.Firing[0].Name == t.Names.Alarm("delivery-down") && n.delivers():
		v.Class, v.Headline, v.Text = "warn", "Everything is delivered again",
			"Nothing waits. The alarm still fires, because it looks at the last minutes. It ends by itself."
	case drains && len(v.Firing) > 0 && v.Firing[0].Name == t.Names.Alarm("delivery-down"):
		// The alarm looks some minutes back.
		v.Class, v.Headline, v.Text = "warn", "Events are delivered again", waits
	case len(v.Firing) > 0 && v.Firing[0].Severity == topology.Critical:
		v.Class, v.Headline, v.Text = "bad", capital(firstSentence(v.Firing[0].Meaning)), waits
		if n.Degraded != "" {
			v.Text = capital(shortTo(n.Degraded, maxError)) + ". " + waits
		}
	case n.Degraded != "":
		v.Class, v.Headline, v.Text = "warn", "Delivery is degraded", capital(shortTo(n.Degraded, maxError))+". "+waits
	case len(byHand) > 0:
		v.pausedKeys(byHand, about)
		v.Text += " " + waits
	case drains && n.OldestAge >= lateAge:
		v.Class, v.Headline, v.Text = "warn", "Events are delivered late", waits
	case n.Messages > 0 && n.OldestAge >= lateAge:
		v.Class, v.Headline, v.Text = "warn", "Events wait", waits
	case len(v.Firing) > 0:
		v.Class, v.Headline, v.Text = "warn", capital(firstSentence(v.Firing[0].Meaning)), waits
	case n.Canary != "":
		v.Class, v.Headline, v.Text = "warn", "The canary does not arrive", capital(shortTo(n.Canary, maxError))
	case n.Messages > 0:
		v.Headline, v.Text = "Events are being delivered", waits
	default:
		v.Headline, v.Text = "Everything that came in is delivered", waits
	}
	if v.Class == "good" && n.DeadLetters > 0 {
		v.deadLetters(n.DeadLetters, waits)
	}
	return v
}

// firing are the alarms that fire and tell somebody, the critical ones first; while delivery is paused
// what that explains comes after what it does not. The alarms on a pause look some minutes back: those
// of one that is over are left out.
func firing(t *topology.Topology, alarms []Alarm, paused bool) (firing []alarmView) {
	pauses := []string{t.Names.Alarm("paused"), t.Names.Alarm("paused-long")}
	for _, a := range alarms {
		tells := t.Notifies(a.Name) != "" && a.SuppressedBy == "" && (paused || !slices.Contains(pauses, a.Name))
		if a.State == StateAlarm && tells {
			firing = append(firing, viewOf(t, a))
		}
	}
	slices.SortStableFunc(firing, func(a, b alarmView) int { return rank(a.Alarm) - rank(b.Alarm) })
	if paused {
		order := func(a alarmView) int { return map[bool]int{false: 1}[pagesBesidePause(t, a)] }
		slices.SortStableFunc(firing, func(a, b alarmView) int { return order(a) - order(b) })
	}
	return firing
}

// deadLetters says that nothing is wrong but that there are n dead letters.
func (v *statusView) deadLetters(n int64, waits string) {
	v.Class, v.Headline, v.Dead = "warn", terminal.Plural(n, "dead letter")+" to look at", true
	v.Text = waits + " See why they could not be delivered, and redrive what can be delivered now."
	if n == 1 {
		v.Text = waits + " See why it could not be delivered, and redrive it once the cause is gone."
	}
}

// pausedKeys says that a person has paused write keys.
func (v *statusView) pausedKeys(keys []WriteKey, about *About) {
	v.Class, v.Headline = "warn", fmt.Sprintf("%d write keys are paused", len(keys))
	v.Text = "Their events wait, and other keys go on: see who paused each under Write keys."
	v.Resume = about.Command + " resume --write-key FINGERPRINT" + about.Flags
	if len(keys) == 1 {
		k := keys[0]
		v.Headline = "The write key " + cmp.Or(short(k.Name), k.ID) + " is paused"
		v.Text = sentence(shortTo(k.Paused, maxError)) + " Its events wait, and other keys go on."
		v.Resume = about.Command + " resume --write-key " + k.ID + about.Flags
	}
}

// pagesBesidePause reports whether an alarm pages for another reason than that delivery is paused: it
// is neither one that the pause suppresses, nor the reminder of it.
func pagesBesidePause(t *topology.Topology, a alarmView) bool {
	c, _ := t.Composite(a.Name)
	return a.Severity == topology.Critical && c.Suppressor != t.Names.Alarm("paused") &&
		a.Name != t.Names.Alarm("paused-long")
}

// delivers reports whether it is known by the second that what came in is delivered. On AWS nothing
// is known by the second.
func (n *Now) delivers() bool {
	return n.Totals != nil && n.Messages == 0 && n.Degraded == "" && n.Canary == ""
}

// waitingText says what waits, and that it is safe.
func waitingText(n Now, rate drainRate) string {
	switch {
	case n.Messages <= 0 && n.Bulk > 0:
		return "No fresh event waits; the bulk queue has " + n.bulk() + "."
	case n.Messages <= 0:
		return "Nothing waits."
	}
	what := terminal.Plural(n.Messages, "message") + " wait"
	if n.Events != Unknown {
		what = terminal.Plural(n.Events, "event") + " wait"
	}
	safe := ". They are safe in the queue."
	if n.Messages == 1 && (n.Events == Unknown || n.Events == 1) {
		what += "s"
		safe = ". It is safe in the queue."
	}
	if n.OldestAge > 0 {
		what += ", the oldest for " + chart.Duration(n.OldestAge.Round(time.Second).Seconds())
	}
	if rate.known && rate.perSecond > leastRate {
		return what + ": " + rate.says(n) + "."
	}
	return what + safe
}

func canary(n Now) string {
	if n.CanaryAge == Unknown {
		return ""
	}
	s := "canary " + chart.Duration(n.CanaryAge.Round(time.Second).Seconds()) + " ago"
	if n.CanaryLatency > 0 {
		s += ", through in " + chart.Duration(n.CanaryLatency.Seconds())
	}
	return s
}

// stale says since when a value is old, and why, or what it lacks; empty: it is current.
func stale(err error, at time.Time) string {
	switch {
	case err == nil:
		return ""
	case errors.Is(err, ErrPartial):
		return why(err)
	case at.IsZero():
		return "not known: " + why(err)
	}
	return fmt.Sprintf("as of %s ago: %s", chart.Duration(time.Since(at).Round(time.Second).Seconds()), why(err))
}

// maxError is how much of an error a page shows.
const maxError = 400

// why is an error for a page.
func why(err error) string {
	if err == nil {
		return ""
	}
	return shortTo(err.Error(), maxError)
}

func join(a, b string) string {
	if a == "" {
		return b
	}
	return a + "; " + b
}

func firstSentence(s string) string {
	first, _, _ := strings.Cut(s, ". ")
	return strings.TrimSuffix(first, ".")
}

func capital(s string) string {
	first, size := utf8.DecodeRuneInString(s)
	if size == 0 {
		return ""
	}
	return string(unicode.ToUpper(first)) + s[size:]
}
