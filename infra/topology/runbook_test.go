package topology

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

var (
	heading  = regexp.MustCompile(`(?m)^#{2,3} (.+)$`)
	link     = regexp.MustCompile(`\]\(#([^)]+)\)`)
	unlinked = regexp.MustCompile(`[^a-z0-9 -]`)
	overIn   = regexp.MustCompile(`\*\*Over\*\* when .* for (\d+) minutes\.`)
)

// anchorOf is the anchor that GitHub gives a heading.
func anchorOf(heading string) string {
	return strings.ReplaceAll(unlinked.ReplaceAllString(strings.ToLower(heading), ""), " ", "-")
}

func TestEveryAlarmHasItsSectionInTheRunbookAndNoSectionIsLeft(t *testing.T) {
	data, err := os.ReadFile(filepath.Join("..", "..", runbookFile))
	if err != nil {
		t.Fatal(err)
	}
	text := string(data)
	_, alarmsAndMore, _ := strings.Cut(text, "\n## Alarms\n")
	about, _, _ := strings.Cut(alarmsAndMore, "\n## ")
	sections := map[string]string{}
	for _, s := range strings.Split(about, "\n### ")[1:] {
		title, content, _ := strings.Cut(s, "\n")
		sections[anchorOf(title)] = content
	}
	o := DefaultOptions()
	o.ArchiveKept = DefaultArchiveKept
	d := New(o)
	d.Alarms = append(d.Alarms, NewStatusSite(DefaultOptions()).Alarms...) // it has the same runbook
	used := map[string]bool{}
	check := func(name string, severity Severity, section string) {
		used[section] = true
		short := strings.TrimPrefix(name, d.Names.Alarm(""))
		if section != short && section != strings.TrimSuffix(short, "-"+string(severity)) {
			t.Errorf("%s has the section %q, want that of its name", name, section)
		}
		content, ok := sections[section]
		if !ok {
			t.Errorf("%s: %s has no section %q", name, runbookFile, section)
			return
		}
		if !strings.Contains(content, "`"+name+"`") {
			t.Errorf("the section %q does not name its alarm %s", section, name)
		}
		for _, part := range []string{"**Means**", "**First look**", "**Causes**", "**Do**", "**Over**"} {
			if strings.Count(content, part) != 1 {
				t.Errorf("the section %q does not have the part %s once", section, part)
			}
		}
	}
	for _, a := range d.Alarms {
		check(a.Name, a.Severity, a.Section)
		// With all values bad it is over when the good ones leave too few bad ones among the latest.
		want := fmt.Sprint(int(a.Period/time.Minute) * (a.Periods - a.Breaching + 1))
		if over := overIn.FindStringSubmatch(sections[a.Section]); over != nil && over[1] != want {
			t.Errorf("the section %q says that it is over when all is well for %s minutes, which are %s", a.Section, over[1], want)
		}
	}
	for _, c := range d.Composites {
		check(c.Name, c.Severity, c.Section)
	}
	for section := range sections {
		if !used[section] {
			t.Errorf("no alarm has the section %q", section)
		}
	}

	paging := map[string]bool{}
	_, list, _ := strings.Cut(text, "\n**These page**")
	list, _, _ = strings.Cut(list, "\n\n")
	for _, name := range regexp.MustCompile("`([a-z-]+)`").FindAllStringSubmatch(list, -1) {
		paging[d.Names.Alarm(name[1])] = true
	}
	delete(paging, d.Names.Alarm(d.Names.AlarmTopic))
	for _, a := range d.Alarms {
		if pages := d.Notifies(a.Name) == d.Names.AlarmTopic; pages != paging[a.Name] {
			t.Errorf("that %s pages is %v, and the runbook's list says the opposite", a.Name, pages)
		}
		delete(paging, a.Name)
	}
	for _, c := range d.Composites {
		if pages := d.Notifies(c.Name) == d.Names.AlarmTopic; pages != paging[c.Name] {
			t.Errorf("that %s pages is %v, and the runbook's list says the opposite", c.Name, pages)
		}
		delete(paging, c.Name)
	}
	for name := range paging {
		t.Errorf("the runbook says that %s pages, which does not exist", name)
	}

	var anchors []string
	for _, h := range heading.FindAllStringSubmatch(text, -1) {
		anchors = append(anchors, anchorOf(h[1]))
	}
	for _, a := range d.Routing {
		if !slices.Contains(anchors, a.Section) {
			t.Errorf("%s: %s has no section %q", a.Name, runbookFile, a.Section)
		}
	}
	for _, l := range link.FindAllStringSubmatch(text, -1) {
		if !slices.Contains(anchors, l[1]) {
			t.Errorf("a link leads to the section #%s, which does not exist", l[1])
		}
	}
	for _, name := range regexp.MustCompile("`(spillway-[a-z-]+)`").FindAllStringSubmatch(about, -1) {
		_, alarm := d.Alarm(name[1])
		_, composite := d.Composite(name[1])
		if !alarm && !composite {
			t.Errorf("the runbook names the alarm %s, which does not exist", name[1])
		}
	}
}
