package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/spillwayhq/spillway/cmd/spillway/statussite"
	"github.com/spillwayhq/spillway/cmd/spillway/usage"
	"github.com/spillwayhq/spillway/shared/status"
)

func newStatusUpdate(f *statussite.Flags) *cobra.Command {
	m := statusMessage{Flags: f}
	c := &cobra.Command{
		Use:   "update [ID]",
		Short: "Write to an incident or maintenance",
		Long: usage.Help("Adds a text to an incident or maintenance that is not over, or changes its title, impact, "+
			"phase or "+
			"components. ID is one of `spillway status show`; without it, it is the only incident that is open.",
			"An automatic incident still closes by itself, without changing what you wrote. --keep-open keeps it open "+
				"until you "+
				"resolve it."),
		Example: "  spillway status update --text 'Segment says: back within the hour.' --phase identified --keep-open",
		Args:    oneID,
		RunE: func(c *cobra.Command, ids []string) error {
			message, err := m.message(c.InOrStdin())
			if err != nil {
				return err
			}
			if c.Flags().Changed("keep-open") {
				message.KeepOpen = &m.keepOpen
			}
			return m.edit(c.Context(), c.InOrStdin(), c.OutOrStdout(), ids, statusEdit{
				did: "updated", ask: "Publish this", message: message, incident: (*status.Document).Update,
				maintenance: (*status.Document).UpdateMaintenance,
			})
		},
	}
	m.register(c, true)
	m.registerState(c)
	c.Flags().BoolVar(&m.keepOpen, "keep-open", false,
		"only an operator resolves the incident (--keep-open=false: it closes by "+
			"itself again)")
	return c
}

func newStatusResolve(f *statussite.Flags) *cobra.Command {
	m := statusMessage{Flags: f}
	c := &cobra.Command{
		Use:   "resolve [ID]",
		Short: "Close an incident, or end or cancel maintenance",
		Long: usage.Help("Closes an incident, ends maintenance, or cancels it if it has not begun. ID is one of `spillway "+
			"status show`; without it, it is the only incident that is open.",
			"If the pipeline still is as bad as it was, no automatic incident opens until it has been well for 10 "+
				"minutes: what "+
				"you say counts. The state of its components is shown all the same."),
		Example: "  spillway status resolve --text 'All events of the morning are delivered.'",
		Args:    oneID,
		RunE: func(c *cobra.Command, ids []string) error {
			message, err := m.message(c.InOrStdin())
			if err != nil {
				return err
			}
			return m.edit(c.Context(), c.InOrStdin(), c.OutOrStdout(), ids, statusEdit{
				did: "resolved", ask: "Resolve it", message: message, incident: (*status.Document).Resolve,
				maintenance: (*status.Document).EndMaintenance,
			})
		},
	}
	m.register(c, false)
	return c
}

func oneID(c *cobra.Command, args []string) error {
	if len(args) > 1 {
		return fmt.Errorf("%s takes one ID, got %q: quote a text of several words, and give it with --text", c.CommandPath(),
			args)
	}
	return nil
}

// A statusEdit is a change of what the site has already.
type statusEdit struct {
	did, ask    string
	message     status.Message
	incident    func(d *status.Document, id string, m status.Message, now time.Time) (status.Incident, error)
	maintenance func(d *status.Document, id, text string, now time.Time) (status.Maintenance, error)
}

func (m *statusMessage) edit(ctx context.Context, in io.Reader, out io.Writer, ids []string, e statusEdit) error {
	var id string
	var planned bool
	choose := func(d *status.Document) (err error) {
		id, planned, err = chosen(d, ids)
		x := e.message
		if planned && (x.Title != "" || x.Impact != "" || x.Phase != "" || len(x.Components) > 0 || x.KeepOpen != nil) {
			return fmt.Errorf("%s is maintenance, which takes --text only", id)
		}
		return err
	}
	var incident status.Incident
	var maintenance status.Maintenance
	wrote, err := m.publish(ctx, in, out, e.ask, choose, func(d *status.Document, now time.Time) (err error) {
		if planned {
			maintenance, err = e.maintenance(d, id, e.message.Text, now)
		} else {
			incident, err = e.incident(d, id, e.message, now)
		}
		return err
	})
	switch {
	case !wrote:
		return err
	case planned:
		return errors.Join(m.wroteMaintenance(out, e.did, &maintenance), err)
	}
	return errors.Join(m.wroteIncident(out, e.did, &incident), err)
}

// chosen returns the ID of what is meant, and whether it is maintenance.
func chosen(d *status.Document, ids []string) (id string, maintenance bool, err error) {
	var open []string
	for _, i := range d.Incidents {
		if i.Open() {
			open = append(open, i.ID)
		}
	}
	if len(ids) == 1 {
		id = ids[0]
		planned := slices.ContainsFunc(d.Maintenances, func(m status.Maintenance) bool { return m.ID == id })
		known := slices.ContainsFunc(d.Incidents, func(i status.Incident) bool { return i.ID == id })
		if !planned && !known {
			return "", false, fmt.Errorf("unknown incident or maintenance %q: see spillway status show", id)
		}
		return id, planned, nil
	}
	switch len(open) {
	case 0:
		return "", false, errors.New("no incident is open: open one with spillway status post, or give the ID of maintenance")
	case 1:
		return open[0], false, nil
	}
	return "", false, fmt.Errorf("%d incidents are open, give the ID of one: %s", len(open), strings.Join(open, ", "))
}
