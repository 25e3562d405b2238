package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"
	"unicode"

	"github.com/spf13/cobra"

	"github.com/spillwayhq/spillway/cmd/spillway/statussite"
	"github.com/spillwayhq/spillway/cmd/spillway/terminal"
	"github.com/spillwayhq/spillway/cmd/spillway/usage"
	"github.com/spillwayhq/spillway/shared/status"
)

func newStatus() *cobra.Command {
	var f statussite.Flags
	c := &cobra.Command{
		Use:   "status",
		Short: "Tell customers of an incident or maintenance, on the status site",
		Long: usage.Help("Works on the status site of the local pipeline or, with --name, of a pipeline on AWS, with the "+
			"credentials of the AWS tools.",
			"The site measures the pipeline each minute and opens and closes incidents by itself. What you write stands beside "+
				"that and is never overwritten: an incident that you post stays open until you resolve it. The page shows it at "+
				"once, readers of the feed within half a minute."),
		SuggestFor: []string{"post", "update", "resolve", "schedule", "render", "show"}, // given without status
		Args:       usage.Subcommand,
		RunE:       func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	f.Register(c.PersistentFlags())
	c.AddCommand(newStatusShow(&f), newStatusPost(&f), newStatusUpdate(&f), newStatusResolve(&f), newStatusSchedule(&f),
		newStatusRender(&f))
	return c
}

// A statusMessage is what flags say that is written to a status site.
type statusMessage struct {
	*statussite.Flags
	title, text, phase, impact string
	components                 []string
	keepOpen                   bool
	yes, asJSON                bool
}

func (m *statusMessage) register(c *cobra.Command, title bool) {
	if title {
		c.Flags().StringVar(&m.title, "title", "", "what it is about, in one `line` of at most 120 characters")
		c.Flags().StringArrayVar(&m.components, "component", nil, "`component`: ingest, delivery, or that of a region, like "+
			"delivery-eu-west-1 (repeat the flag for several)")
	}
	c.Flags().StringVar(&m.text, "text", "", "`text` for customers, at most 2,000 characters; addresses become links; "+
		"- reads the standard input")
	c.Flags().BoolVar(&m.yes, "yes", false, "do not ask for confirmation")
	c.Flags().BoolVar(&m.asJSON, "json", false, "print what was written as one JSON object")
}

func (m *statusMessage) registerState(c *cobra.Command) {
	c.Flags().StringVar(&m.impact, "impact", "", "`impact` for customers: none, minor, major or critical")
	c.Flags().StringVar(&m.phase, "phase", "", "`phase` of your work: investigating, identified or monitoring")
}

// message reads the text, once it is clear that it can be confirmed.
func (m *statusMessage) message(in io.Reader) (status.Message, error) {
	if m.Public() && !m.yes && !terminal.Is(in) {
		return status.Message{}, errors.New("can't ask for confirmation, because standard input is not a terminal: " +
			"give --yes " +
			"to publish without confirmation")
	}
	if m.text == "-" {
		const most = 64 << 10 // the limit of the text is checked where it is written
		data, err := io.ReadAll(io.LimitReader(in, most))
		if err != nil {
			return status.Message{}, fmt.Errorf("read the text from the standard input: %w", err)
		}
		m.text = string(data)
	}
	m.text = strings.TrimRightFunc(strings.ReplaceAll(m.text, "\r\n", "\n"), unicode.IsSpace)
	return status.Message{
		Title: m.title, Text: m.text, Phase: status.Phase(m.phase), Impact: status.Impact(m.impact), Components: m.components,
	}, nil
}

// confirm asks before customers read it. On a machine of one's own nobody is asked.
func (m *statusMessage) confirm(in io.Reader, out io.Writer, what string) (bool, error) {
	if m.yes || !m.Public() {
		return true, nil
	}
	for _, line := range []string{m.title, m.text} {
		if line != "" {
			fmt.Fprintln(out, terminal.Safe(line))
		}
	}
	fmt.Fprintf(out, "\n%s for customers to read? Type yes to confirm: ", what)
	yes, err := terminal.ReadYes(in)
	if err == nil && !yes {
		fmt.Fprintln(out, "Nothing was published.")
	}
	return yes, err
}

// publish changes the site's document once that is confirmed, and reports whether it did. check
// looks at the present document first; nil: whatever it is.
func (m *statusMessage) publish(ctx context.Context, in io.Reader, out io.Writer, ask string,
	check func(*status.Document) error, edit func(*status.Document, time.Time) error) (wrote bool, err error) {
	k, where, err := m.Open(ctx)
	if err != nil {
		return false, err
	}
	d, err := statussite.Document(ctx, k, where)
	broken := errors.Is(err, status.ErrBroken) // then edit gets one that is made of the months' files
	if err == nil && check != nil {
		err = check(&d)
	}
	if err != nil && !broken {
		return false, err
	}
	if confirmed, err := m.confirm(in, out, ask); err != nil || !confirmed {
		return false, err
	}
	d, err = k.Edit(ctx, edit)
	if err == nil || d.WrittenAt.IsZero() {
		return err == nil, err
	}
	if errors.Is(err, status.ErrBroken) {
		return true, fmt.Errorf("it is written: %w", err)
	}
	return true, fmt.Errorf("it is written, but not all pages show it yet; the next minute's run puts them: %w", err)
}

// wroteIncident says what is on the site now.
func (m *statusMessage) wroteIncident(out io.Writer, did string, i *status.Incident) error {
	if m.asJSON {
		return terminal.WriteJSON(out, i)
	}
	_, err := fmt.Fprintf(out, "%s %s: %s (%s, impact %s)\n", did, i.ID, terminal.OneLine(i.Title), i.Phase, i.Impact)
	return err
}

func (m *statusMessage) wroteMaintenance(out io.Writer, did string, x *status.Maintenance) error {
	if m.asJSON {
		return terminal.WriteJSON(out, x)
	}
	const form = "2006-01-02 15:04"
	_, err := fmt.Fprintf(out, "%s %s: %s (%s to %s UTC)\n", did, x.ID, terminal.OneLine(x.Title), x.From.Format(form),
		x.Until.Format(form))
	return err
}
