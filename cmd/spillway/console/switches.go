package console

import (
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/spillwayhq/spillway/cmd/spillway/terminal"
	"github.com/spillwayhq/spillway/shared/chart"
)

// sendEvents is how many events the button sends.
const sendEvents = 1000

// A switchesView is the panel with which a newcomer tries the pipeline.
type switchesView struct {
	Modes []modeView
	Now   string // the mode that is set, in words
	Since time.Time
	Left  string // for how long it is still set
	First bool   // the panel proposes what to do
	Send  int
}

// A modeView is one switch.
type modeView struct {
	Mode
	On bool
}

// switchesNow is the panel; nil: there is no Segment emulator.
func (c *Console) switchesNow(now seen[Now]) *switchesView {
	s := c.source.Switches()
	if s == nil {
		return nil
	}
	id, since, until := s.Current()
	v := &switchesView{Since: since, Send: sendEvents, Now: "It answers by a script that was set elsewhere."}
	for _, m := range s.Modes() {
		v.Modes = append(v.Modes, modeView{m, m.ID == id})
		if m.ID == id {
			v.Now = m.Text
		}
	}
	if modes := s.Modes(); now.Known() && now.Value.BreakerOpen && len(modes) > 0 && id == modes[0].ID {
		v.Now += " The circuit breaker is still open: within two minutes it tries a request, and what waits follows."
	}
	if left := time.Until(until); !until.IsZero() && left > 0 {
		v.Left = chart.Duration(left.Round(time.Second).Seconds())
	}
	v.First = now.Known() && firstRun(&now.Value)
	return v
}

// firstRun reports whether somebody tries the pipeline for the first time: no more came in than one
// sends who follows the panel, and no outage is over yet.
func firstRun(n *Now) bool {
	t := n.Totals
	return t != nil && t.Accepted <= 10*sendEvents && (t.Retried == 0 || n.Messages > 0)
}

func (c *Console) switchRoutes(mux *http.ServeMux) {
	s := c.source.Switches()
	if s == nil {
		return
	}
	c.action(mux, "/segment", func(r *http.Request) (string, string, error) {
		id := r.PostForm.Get("mode")
		for _, m := range s.Modes() {
			if m.ID == id {
				err := s.Set(r.Context(), id)
				return "Segment emulator: " + m.Name + ". " + m.Text, "/", err
			}
		}
		return "", "/", fmt.Errorf("the Segment emulator has no mode %q", short(id))
	})
	c.action(mux, "/send", func(r *http.Request) (string, string, error) {
		n, err := strconv.Atoi(r.PostForm.Get("events"))
		if err != nil || n < 1 || n > MaxSend {
			return "", "/", fmt.Errorf("the number of events must be between 1 and %d", MaxSend)
		}
		accepted, err := s.Send(r.Context(), n)
		if err != nil {
			return "", "/", errors.Join(fmt.Errorf("%s of %s were accepted", terminal.Number(accepted),
				terminal.Plural(n, "event")), err)
		}
		return terminal.Plural(accepted, "event") + " were accepted and are in the queue.", "/", nil
	})
}
