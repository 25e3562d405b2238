package regions

import (
	"cmp"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spillwayhq/spillway/cmd/spillway/terminal"
)

// Print writes regions as a table, and below it what needs a sentence.
func Print(out io.Writer, regions []Region) error {
	w := tabwriter.NewWriter(out, 0, 0, 3, ' ', 0)
	fmt.Fprintln(w, "region\ttakes traffic\troute 53\tingest\tdelivery\toldest event")
	for i := range regions {
		r := &regions[i]
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\n", r.Name, r.traffic(), r.Route53, down(r.Composite["ingest-down"]),
			down(r.Composite["delivery-down"]), r.oldest())
	}
	if err := w.Flush(); err != nil {
		return err
	}
	var notes []string
	for i := range regions {
		r := &regions[i]
		if r.Drained != nil {
			notes = append(notes, r.Name+" is drained "+r.Drained.String())
		}
		for _, p := range r.Problems {
			notes = append(notes, r.Name+": "+p)
		}
	}
	if !anyTakes(regions) {
		notes = append(notes, "No region is known to take traffic. While none is healthy, Route 53 answers with all of them.")
	}
	for i, note := range notes {
		if i == 0 {
			fmt.Fprintln(out)
		}
		fmt.Fprintln(out, terminal.OneLine(note))
	}
	return nil
}

func anyTakes(regions []Region) bool {
	for i := range regions {
		if regions[i].Traffic == Takes {
			return true
		}
	}
	return false
}

func (r *Region) traffic() string {
	if r.Traffic == Avoided {
		return string(r.Traffic) + ": " + r.Why
	}
	return string(r.Traffic)
}

// oldest is the age of the oldest undelivered event. Deliver sees none while none comes, and none
// while it can't run, which delivery-down says.
func (r *Region) oldest() string {
	if r.OldestSeconds == nil {
		return "none seen"
	}
	return terminal.Age(time.Duration(*r.OldestSeconds * float64(time.Second)))
}

// down says the state of an alarm that says that something is down.
func down(state string) string {
	words := map[string]string{"OK": "ok", stateAlarm: "down", stateNoData: "no data"}
	return cmp.Or(words[state], strings.ToLower(state), string(Unknown))
}
