package console

import (
	"html/template"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/spillwayhq/spillway/shared/chart"
)

// functions are those of the templates.
var functions = template.FuncMap{
	"asset": func(name string) string { return "/assets/" + name + "?" + assets },
	"at":    func(t time.Time) moment { return moment{t} },
	"short": short,
	"find":  storyPath,
	"ago":   ago,
}

// ago is the age of a moment, which another machine's clock may have set in the future.
func ago(t time.Time) string {
	return chart.Duration(max(0, time.Since(t)).Round(time.Second).Seconds())
}

// maxText is how much of a text of an event a page shows.
const maxText = 200

// short makes a text of an event fit to be shown: at most maxText characters of it, without those
// that would change how the text around it is read.
func short(text string) string { return shortTo(text, maxText) }

func shortTo(text string, most int) string {
	var b strings.Builder
	n := 0
	for i, r := range text {
		if n == most {
			b.WriteString("…")
			break
		}
		if r == utf8.RuneError && !strings.HasPrefix(text[i:], "\uFFFD") || misleads(r) {
			r = '\uFFFD'
		}
		b.WriteRune(r)
		n++
	}
	return b.String()
}

// misleads reports whether a character would change how the text around it is read.
func misleads(r rune) bool { return unicode.IsControl(r) || unicode.Is(unicode.Cf, r) }

// A moment is a time as the template "time" shows it: in UTC and, where it differs, in the zone of
// this machine, which the script corrects to the reader's.
type moment struct{ t time.Time }

// Machine is for the attribute datetime.
func (m moment) Machine() string { return m.t.UTC().Format(time.RFC3339) }

// UTC is the time of day, with the date if it is not today's, and with the year if it is another
// one.
func (m moment) UTC() string { return m.in(time.UTC) }

// Local is the same in this machine's zone, with the zone's name; empty: it is the same.
func (m moment) Local() string {
	if zone(m.t) == nil {
		return ""
	}
	name, _ := m.t.Local().Zone()
	return m.in(time.Local) + " " + name
}

// Zero reports whether there is no time.
func (m moment) Zero() bool { return m.t.IsZero() }

func (m moment) in(zone *time.Location) string {
	t, now := m.t.In(zone), time.Now().In(zone)
	switch {
	case t.Year() != now.Year():
		return t.Format("2 Jan 2006 15:04:05")
	case t.YearDay() != now.YearDay():
		return t.Format("2 Jan 15:04:05")
	}
	return t.Format("15:04:05")
}
