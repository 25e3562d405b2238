package status

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"
)

type componentView struct {
	Region, Name, Class, State, Says string
	Uptime, Summary, Last            string
	Wide                             int // days of the bars
	Bars                             []barView
	Days                             []dayView // the newest first
}

// A barView is the bars of one state, or a single one with its text.
type barView struct{ Class, Path, Text string }

type dayView struct{ Date, Text string }

// rows are the components of the page of the present.
func (w *drawer) rows() []componentView {
	s, d := w.Site, w.Document
	var all []componentView
	regions := d.regions()
	last := ""
	for i := range d.Components {
		c := &d.Components[i]
		n := s.named(c)
		v := componentView{
			Name: n.Name, Class: classes[c.State], State: stateWords(c), Says: d.says(c, n.Description),
		}
		if len(regions) > 1 && c.Region != last {
			last, v.Region = c.Region, s.region(c.Region)
		}
		v.draw(c.untilNow(d.ObservedAt), midnight(d.ObservedAt).AddDate(0, 0, 1-History), History, w.detail)
		all = append(all, v)
	}
	return all
}

// untilNow are the days of a component with the second that begins now: what has just begun has a
// color, too. If nobody looks now, today has the color of what was seen.
func (c *Component) untilNow(now time.Time) []Day {
	with := Component{Days: slices.Clone(c.Days)}
	if !now.IsZero() {
		with.day(now).add(c.State, 1)
	}
	return with.Days
}

// stateWords is a component's state in a few words.
func stateWords(c *Component) string {
	switch {
	case c.State == Operational:
		return "Operational"
	case c.State == UnderMaintenance:
		return "Maintenance"
	case c.State == NotKnown:
		return "Not known"
	case c.Part == Delivery && c.State == Degraded:
		return "Delayed"
	case c.State == Degraded:
		return "Degraded"
	}
	return "Outage"
}

// says tells a customer what the state of a component means for his events.
func (d *Document) says(c *Component, description string) string {
	oldest := ""
	if c.OldestSeconds != nil && *c.OldestSeconds > 0 {
		oldest = " The oldest undelivered event is " + ageInWords(seconds(*c.OldestSeconds)) + " old."
	}
	tested := ""
	if c.CanarySeconds != nil {
		tested = " The last test event arrived " + ageInWords(seconds(*c.CanarySeconds)) + " ago."
	}
	switch {
	case c.State == UnderMaintenance:
		m := d.maintained(c.ID)
		if m == nil {
			return "Announced work is in progress." + oldest
		}
		return "Announced work is in progress until " + moment(m.Until, d.now()) + "." + oldest
	case c.State == NotKnown:
		return "Not measured since " + moment(c.Since, d.now()) + ": it may work, or not."
	case c.State == Operational && c.Part == Delivery && oldest == "" && c.OldestSeconds != nil:
		return description + " No event waits." + tested
	case c.State == Operational:
		return description + oldest + tested
	case c.Part == Ingest && c.State == Outage:
		return "Events are not accepted. " + retryText
	case c.Part == Ingest:
		return "Events are accepted slowly, or some are refused. " + retryText
	case c.State == Outage:
		return d.safe() + " None are delivered at present." + waited(c.OldestSeconds)
	}
	return deliveryDelayed(d.accepted(), c.OldestSeconds)
}

// draw makes the bars of so many days from the first one on.
func (v *componentView) draw(days []Day, first time.Time, wide int, l detail) {
	v.Wide = wide
	paths, last := map[string]*strings.Builder{}, map[string]int{}
	counts := map[State]int{}
	var total Day
	for n := range wide {
		date := first.AddDate(0, 0, n)
		i, found := slices.BinarySearchFunc(days, date.Format(dateForm), func(d Day, date string) int {
			return cmp.Compare(d.Date, date)
		})
		class := "none"
		if found {
			day := &days[i]
			worst := day.Worst()
			class = classes[worst]
			counts[worst]++
			total.sum(day)
			if text := day.text(); text != "" {
				v.Days = append(v.Days, dayView{date.Format("2 January"), text})
				if l.titles {
					v.Bars = append(v.Bars, barView{class, fmt.Sprintf("M%d.5 0v1", n), date.Format("2 January") + ": " + text})
					continue
				}
			}
		}
		b := paths[class]
		if b == nil {
			b = new(strings.Builder)
			paths[class] = b
		}
		if b.Len() > 0 && last[class] == n-1 {
			b.WriteString("m1-1v1") // beside the one before
		} else {
			fmt.Fprintf(b, "M%d.5 0v1", n)
		}
		last[class] = n
	}
	for _, class := range []string{"none", "ok", "gap", "work", "warn", "bad"} {
		if b := paths[class]; b != nil {
			v.Bars = append(v.Bars, barView{Class: class, Path: b.String()})
		}
	}
	slices.Reverse(v.Days)
	if left := len(v.Days) - l.days; left > 0 {
		v.Days = v.Days[:l.days]
		if l.days > 0 {
			v.Days = append(v.Days, dayView{"Earlier", plural(left, "more day") + ", in the history"})
		}
	}
	if l.noBars {
		v.Bars = nil
	}
	v.Uptime, v.Summary = total.uptime(), summary(counts, wide)
}

func (d *Day) sum(o *Day) {
	d.Operational += o.Operational
	d.Degraded += o.Degraded
	d.Outage += o.Outage
	d.Maintenance += o.Maintenance
	d.Unknown += o.Unknown
}

// uptime is the part of the measured time without an outage. It is rounded down: 100 % is said only
// of no outage at all.
func (d *Day) uptime() string {
	measured := d.Operational + d.Degraded + d.Outage
	if measured == 0 {
		return "not measured yet"
	}
	hundredths := int64(measured-d.Outage) * 10000 / int64(measured)
	if hundredths == 10000 {
		return "100 % available"
	}
	return fmt.Sprintf("%d.%02d %% available", hundredths/100, hundredths%100)
}

// text tells what of a day was not as usual, "" if nothing was.
func (d *Day) text() string {
	var parts []string
	for _, p := range []struct {
		seconds int
		what    string
	}{
		{d.Outage, "down"}, {d.Degraded, "degraded"}, {d.Maintenance, "under maintenance"}, {d.Unknown, "not known"},
	} {
		if p.seconds == 0 || p.what == "not known" && p.seconds < int(unknownSaid/time.Second) && len(parts) == 0 &&
			d.known() > 0 {
			continue
		}
		parts = append(parts, p.what+" for "+minutes(p.seconds))
	}
	return strings.Join(parts, ", ")
}

// unknownSaid is how much of a day must be unknown before a page says so: less is a poll that was
// late.
const unknownSaid = 15 * time.Minute

// minutes writes seconds as minutes, in which pages count: 59 s are less than one.
func minutes(seconds int) string {
	d := time.Duration(seconds) * time.Second
	switch {
	case d < time.Minute:
		return "less than a minute"
	case d >= 24*time.Hour:
		return "the whole day"
	}
	return ageInWords(d)
}

// summary tells the bars in words.
func summary(counts map[State]int, wide int) string {
	measured := 0
	var parts []string
	for _, p := range []struct {
		state State
		what  string
	}{
		{Operational, "as usual"}, {Outage, "with an outage"}, {Degraded, "degraded"}, {UnderMaintenance, "with maintenance"},
		{NotKnown, "not known"},
	} {
		if n := counts[p.state]; n > 0 {
			measured += n
			parts = append(parts, plural(n, "day")+" "+p.what)
		}
	}
	if n := wide - measured; n > 0 {
		parts = append(parts, plural(n, "day")+" not measured")
	}
	return fmt.Sprintf("The days of the bars: %s", strings.Join(parts, ", "))
}
