package console

import (
	"html/template"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// functions are those of the templates.
var functions = template.FuncMap{
	"asset": func(name string) string { return "/assets/" + name + "?" + assets },
	"at":    func(t time.Time) moment { return moment{t} },
	"short": short,
}

// maxText is how much of a text of an event a page shows.
const maxText = 200

// short makes a text of an event fit to be shown: at most maxText characters of it, without those
// that would change how the text around it is read.
func short(text string) string {
	var b strings.Builder
	n := 0
	for i, r := range text {
		if n == maxText {
			b.WriteString("…")
			break
		}
		if r == utf8.RuneError && !strings.HasPrefix(text[i:], "\uFFFD") || unicode.IsControl(r) || unicode.Is(unicode.Cf, r) {
			r = '\uFFFD'
		}
		b.WriteRune(r)
		n++
	}
	return b.String()
}

// A moment is a time as the template "time" shows it: in UTC and, where it differs, in the zone of
// this machine, which the script corrects to the reader's.
type moment struct{ t time.Time }

// Machine is for the attribute datetime.
func (m moment) Machine() string { return m.t.UTC().Format(time.RFC3339) }

// UTC is the time of day, with the date if it is not today's.
func (m moment) UTC() string { return m.in(time.UTC) }

// Local is the same in this machine's zone, with the zone's name; empty: it is the same.
func (m moment) Local() string {
	local := m.t.Local()
	zone, offset := local.Zone()
	if offset == 0 {
		return ""
	}
	return m.in(time.Local) + " " + zone
}

// Zero reports whether there is no time.
func (m moment) Zero() bool { return m.t.IsZero() }

// Ago is how long ago it is: "3 min".
func (m moment) Ago() string { return age(time.Since(m.t)) }

func (m moment) in(zone *time.Location) string {
	t, now := m.t.In(zone), time.Now().In(zone)
	if t.YearDay() == now.YearDay() && t.Year() == now.Year() {
		return t.Format("15:04:05")
	}
	return t.Format("2 Jan 15:04:05")
}

// age writes how long something took, in its largest unit, and the next below ten of it.
func age(d time.Duration) string {
	return d.Truncate(time.Second).String()
}
