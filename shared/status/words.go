package status

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"
	"time"
)

// words are what an automatic incident says of a part.
type words struct {
	title, text string
	impact      Impact
}

const retryText = "Clients that retry, as Segment’s SDKs do, send them again."

// words tells customers what the worst of these components means for them.
func (d *Document) words(p Part, bad []*Component) words {
	down, oldest := false, (*int64)(nil)
	for _, c := range bad {
		down = down || c.Seen == Down
		if c.OldestSeconds != nil && (oldest == nil || *c.OldestSeconds > *oldest) {
			oldest = c.OldestSeconds
		}
	}
	switch {
	case p == Ingest && down:
		return words{"Events are not accepted", "The ingest API does not accept events at present. " + retryText, Critical}
	case p == Ingest:
		return words{"Some events are refused", "The ingest API accepts events slowly, or refuses some. " + retryText, Minor}
	case down:
		return words{"Events are not delivered", d.safe() + " None are delivered at present." + waited(oldest), Major}
	}
	return words{"Delivery is delayed", deliveryDelayed(d.accepted(), oldest), Minor}
}

// accepted reports whether each region is known to accept events.
func (d *Document) accepted() bool {
	for i := range d.Components {
		if c := &d.Components[i]; c.Part == Ingest && (c.Seen == Down || c.Seen == Unknown) {
			return false
		}
	}
	return true
}

// safe says what becomes of events while none are delivered. It promises no more than is so.
func (d *Document) safe() string { return safe(d.accepted()) }

func safe(accepted bool) string {
	if accepted {
		return "Events are accepted and safe."
	}
	return "Events that were accepted are safe."
}

func deliveryDelayed(accepted bool, oldest *int64) string {
	text := strings.TrimSuffix(safe(accepted), ".") + "; delivery is delayed"
	if oldest != nil && *oldest >= 60 {
		text += " by " + ageInWords(seconds(*oldest))
	}
	return text + "."
}

func waited(oldest *int64) string {
	if oldest == nil || *oldest < 60 {
		return ""
	}
	return " The oldest has waited for " + ageInWords(seconds(*oldest)) + "."
}

func resolvedText(p Part, lasted time.Duration) string {
	what := "Events are delivered as usual again"
	if p == Ingest {
		what = "Events are accepted as usual again"
	}
	if lasted < time.Minute {
		return what + "."
	}
	return what + ", after " + ageInWords(lasted) + "."
}

func seconds(n int64) time.Duration { return time.Duration(n) * time.Second }

// ageInWords writes a time in at most two units, as people say it: "12 minutes", "1 hour 5
// minutes".
func ageInWords(d time.Duration) string {
	units := []struct {
		of   time.Duration
		name string
	}{{24 * time.Hour, "day"}, {time.Hour, "hour"}, {time.Minute, "minute"}, {time.Second, "second"}}
	for i, u := range units {
		if d < u.of && u.of > time.Second {
			continue
		}
		text := plural(int(d/u.of), u.name)
		if i+1 < len(units) && u.of > time.Minute {
			if rest := int(d % u.of / units[i+1].of); rest > 0 {
				text += " " + plural(rest, units[i+1].name)
			}
		}
		return text
	}
	return ""
}

func plural(n int, unit string) string {
	if n == 1 {
		return "1 " + unit
	}
	return fmt.Sprintf("%d %ss", n, unit)
}

// short12 is an ID of 12 characters that follows from its parts.
func short12(parts ...string) string {
	sum := sha256.Sum256([]byte(strings.Join(parts, "\x00")))
	return hex.EncodeToString(sum[:6])
}
