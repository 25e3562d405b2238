package main

import (
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/spillwayhq/spillway/cmd/spillway/deployed"
	"github.com/spillwayhq/spillway/cmd/spillway/pausing"
	"github.com/spillwayhq/spillway/cmd/spillway/queues"
	"github.com/spillwayhq/spillway/cmd/spillway/terminal"
	"github.com/spillwayhq/spillway/cmd/spillway/usage"
	"github.com/spillwayhq/spillway/shared/event"
)

// pauseFlags are what pause and resume have in common.
type pauseFlags struct {
	pipeline           deployed.Name
	queueURL, writeKey string
	key                string // the write key's event.KeyID
}

func (f *pauseFlags) register(c *cobra.Command) {
	f.pipeline.Register(c.Flags())
	c.Flags().StringVar(&f.queueURL, "queue-url", queues.DefaultURL, "`URL` of the local pipeline's events queue")
	c.Flags().StringVar(&f.writeKey, "write-key", "",
		"only what is sent to Segment with this write `key`, or with the key of this fingerprint (8 hexadecimal digits, "+
			"as logs and the page show it)")
}

// open finds the pipeline, and checks the write key.
func (f *pauseFlags) open(c *cobra.Command) (pausing.Pipeline, error) {
	switch {
	case f.writeKey == "":
	case event.IsKeyID(f.writeKey):
		f.key = f.writeKey
	default:
		if err := usage.WriteKey(f.writeKey); err != nil {
			return nil, err
		}
		f.key = event.KeyID(f.writeKey)
	}
	if !f.pipeline.Given() {
		return pausing.Local{QueueURL: f.queueURL}, nil
	}
	if c.Flags().Changed("queue-url") {
		return nil, errors.New("--queue-url is for the local pipeline: remove it, or --name")
	}
	names, err := f.pipeline.Names()
	if err != nil {
		return nil, err
	}
	config, err := deployed.Config(c.Context())
	return &pausing.Deployed{Config: config, Names: names}, err
}

// what is what is paused or resumed, to begin a sentence.
func (f *pauseFlags) what() string {
	if f.key != "" {
		return "The write key " + f.key
	}
	return "Delivery"
}

// sameFlags are those that name the same pipeline and key in another command. It never has the key
// itself.
func (f *pauseFlags) sameFlags(c *cobra.Command) (flags string) {
	if f.pipeline.Given() {
		flags += " --name " + c.Flag("name").Value.String()
	}
	if c.Flags().Changed("queue-url") {
		flags += " --queue-url " + f.queueURL
	}
	if f.key != "" {
		flags += " --write-key " + f.key
	}
	return flags
}

func newPause() *cobra.Command {
	var f pauseFlags
	var reason string
	c := &cobra.Command{
		Use:   "pause",
		Short: "Pause delivery, or what is sent with one write key",
		Long: usage.Help("Pauses the delivery of a running `spillway up` or, with --name, of a pipeline on AWS in the "+
			"region of "+
			"the AWS tools, until you resume it. Events go on coming in and wait in the queue, which deletes them after "+
			"14 days. "+
			"It disables the event source of the deliver function, and returns when no invocation begins any more.",
			"With --write-key only the events of that key wait, and other keys go on. Their messages are tried again like "+
				"others that fail, and become dead letters after 10 days.",
			"While delivery is paused its alarms tell nobody. One alarm says that it is paused, and another pages "+
				"after an hour."),
		Example: "  spillway pause --reason 'Segment migrates our workspace' --name spillway\n" +
			"  spillway pause --write-key 0a1b2c3d",
		Args: usage.NoArguments,
		RunE: func(c *cobra.Command, _ []string) error {
			p, err := f.open(c)
			if err != nil {
				return err
			}
			done, err := p.Pause(c.Context(), pausing.Order{Key: f.key, Reason: reason})
			if err != nil {
				return err
			}
			if done.Already && reason != "" && reason != done.Mark.Reason {
				done.Note = strings.TrimSpace(done.Note + " The new reason is not kept: resume and pause again to change it.")
			}
			f.printPaused(c.OutOrStdout(), done, "spillway resume"+f.sameFlags(c))
			return nil
		},
	}
	f.register(c)
	c.Flags().StringVar(&reason, "reason", "", "`why`, for those who see it paused")
	return c
}

// printPaused says what is paused, and how to end it.
func (f *pauseFlags) printPaused(out io.Writer, done pausing.Outcome, resume string) {
	already := ""
	if done.Already {
		already = " already,"
	}
	fmt.Fprintln(out, terminal.OneLine(fmt.Sprintf("%s has been paused%s %s", f.what(), already, done.Mark)))
	if done.Note != "" {
		fmt.Fprintln(out, terminal.OneLine(done.Note))
	}
	waits := "Events wait in the queue, which deletes them after 14 days."
	if f.key != "" {
		waits = "Its events wait from the next minute on, and become dead letters after 10 days; other keys go on."
	}
	fmt.Fprintf(out, "%s To end the pause: %s\n", waits, resume)
}
