package status

import (
	"fmt"
	"slices"
	"time"
)

// monthView is the page of a month.
func monthView(s *Site, d *Document, m *Month, l detail) view {
	begin, err := time.Parse(monthForm, m.Month)
	if err != nil {
		begin = monthOf(d.now()) // ParseMonth and Archive make no other
	}
	w := &drawer{s, d, "../", l}
	v := newView(w)
	v.Month, v.Data = begin.Format("January 2006"), m.Month+".json"
	v.Title = v.Month + ": " + v.Site
	wide := begin.AddDate(0, 1, -1).Day()
	regions := map[string]bool{}
	for i := range m.Components {
		regions[m.Components[i].Region] = true
	}
	last := ""
	for i := range m.Components {
		x := &m.Components[i]
		c := Component{ID: x.ID, Part: x.Part, Region: x.Region}
		row := componentView{Name: s.named(&c).Name, Last: ordinal(wide)}
		if len(regions) > 1 && x.Region != last {
			last, row.Region = x.Region, s.region(x.Region)
		}
		row.draw(x.Days, begin, wide, l)
		v.Components = append(v.Components, row)
	}
	left := 0
	for i := range m.Incidents {
		if len(v.Past) == l.past {
			left = len(m.Incidents) - i
			break
		}
		v.Past = append(v.Past, w.incident(&m.Incidents[i]))
	}
	for i := range m.Maintenances {
		if len(v.Past) >= 2*l.past {
			left += len(m.Maintenances) - i
			break
		}
		v.Past = append(v.Past, w.maintenance(&m.Maintenances[i]))
	}
	newestFirst(v.Past)
	if left > 0 {
		v.More = "And " + moreEvents(left) + ": see all data of this month."
	}
	if i := slices.Index(d.Months, m.Month); i >= 0 { // newest first
		v.Newer, v.Older = monthLink(d.Months, i-1), monthLink(d.Months, i+1)
	}
	return v
}

func monthLink(months []string, i int) *linkView {
	if i < 0 || i >= len(months) {
		return nil
	}
	begin, err := time.Parse(monthForm, months[i])
	if err != nil {
		return nil
	}
	return &linkView{begin.Format("January 2006"), months[i] + ".html"}
}

func ordinal(day int) string {
	if day == 31 {
		return "31st"
	}
	return fmt.Sprintf("%dth", day)
}
