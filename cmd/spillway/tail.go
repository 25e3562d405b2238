package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/spillwayhq/spillway/infra/local"
	"github.com/spillwayhq/spillway/shared/deliver"
)

type tailFlags struct {
	queueURL             string
	stack, logGroup      string
	event, user, outcome string
	payload, asJSON      bool
}

func newTail() *cobra.Command {
	var f tailFlags
	c := &cobra.Command{
		Use:   "tail",
		Short: "Watch what becomes of events, while it happens",
		Long: "Shows what becomes of each event that a running `spillway up` delivers, a line each: the time, the outcome " +
			"(delivered, retried, dead_lettered), its reason, and\n" +
			"the event's type, name, user and messageId. One that is retried shows again at its next try.\n\n" +
			"Delivery does not wait for who watches: when this is too slow, outcomes are lost to it, and it says how many.\n\n" +
			"With --stack or --log-group it follows the log of the function on AWS instead, in which stands a line for each " +
			"invocation, with counts and times and nothing\n" +
			"of an event. It asks every 2 s (FilterLogEvents, which costs nothing; Live Tail would be $0.01 a minute) and is " +
			"some seconds late.",
		Example: "  spillway tail\n  spillway tail --outcome dead_lettered --payload\n  spillway tail --event 'Run " +
			"Started' --json",
		Args: noArguments,
		RunE: func(c *cobra.Command, _ []string) error {
			outcomes := []string{deliver.Delivered.String(), deliver.Retried.String(), deliver.DeadLettered.String()}
			if f.outcome != "" && !slices.Contains(outcomes, f.outcome) {
				return fmt.Errorf("--outcome can't be %q: write one of %s", f.outcome, strings.Join(outcomes, ", "))
			}
			var err error
			if f.stack != "" || f.logGroup != "" {
				err = f.aws(c.Context(), c.OutOrStdout())
			} else {
				err = f.local(c.Context(), c.OutOrStdout(), c.ErrOrStderr())
			}
			if c.Context().Err() != nil { // Ctrl-C is how a tail ends
				return nil
			}
			return err
		},
	}
	c.Flags().StringVar(&f.queueURL, "queue-url", defaultQueueURL, "the events queue of the running pipeline")
	c.Flags().StringVar(&f.stack, "stack", "", "follow the function's log of this CloudFormation stack")
	c.Flags().StringVar(&f.logGroup, "log-group", "", "follow the function's log with this name")
	c.Flags().StringVar(&f.event, "event", "", "only events with this name")
	c.Flags().StringVar(&f.user, "user", "", "only events of this userId, or anonymousId")
	c.Flags().StringVar(&f.outcome, "outcome", "", "only this outcome: delivered, retried or dead_lettered")
	c.Flags().BoolVar(&f.payload, "payload", false, "show the events themselves, too")
	c.Flags().BoolVar(&f.asJSON, "json", false, "a JSON object a line, with more of what is known")
	return c
}

// local follows a running pipeline until ctx ends, or the pipeline does, which is an error.
func (f *tailFlags) local(ctx context.Context, out, errOut io.Writer) error {
	u, err := queueEndpoint(f.queueURL)
	if err != nil {
		return err
	}
	query := url.Values{"event": {f.event}, "user": {f.user}, "outcome": {f.outcome},
		"payload": {strconv.FormatBool(f.payload)}}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet,
		u.Scheme+"://"+u.Host+local.OutcomesPath+"?"+query.Encode(), nil)
	if err != nil {
		return err
	}
	resp, err := http.DefaultClient.Do(req)
	switch {
	case errors.Is(err, syscall.ECONNREFUSED):
		return fmt.Errorf("nothing listens at %s: is `spillway up` running?", u.Host)
	case err != nil:
		return fmt.Errorf("watch the pipeline at %s: %w", u.Host, err)
	}
	defer resp.Body.Close()
	if resp.StatusCode == http.StatusServiceUnavailable {
		why, _ := io.ReadAll(io.LimitReader(resp.Body, 200))
		return fmt.Errorf("%s lets nobody more watch: %s", u.Host, strings.TrimSpace(string(why)))
	}
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("%s answers %s at %s: is it a `spillway up` of this version?", u.Host, resp.Status,
			local.OutcomesPath)
	}
	lines := json.NewDecoder(resp.Body)
	for {
		var raw json.RawMessage
		var o local.Outcome
		if err := lines.Decode(&raw); err != nil {
			return fmt.Errorf("the pipeline at %s has ended", u.Host)
		}
		if err := json.Unmarshal(raw, &o); err != nil {
			return fmt.Errorf("read an outcome of %s: %w", u.Host, err)
		}
		switch {
		case f.asJSON:
			fmt.Fprintf(out, "%s\n", harmlessJSON(raw))
		case o.Lost > 0:
			fmt.Fprintf(errOut, "spillway: %s are not shown, because they came faster than they could be: --event, --user "+
				"and --outcome make them fewer\n", plural(int(o.Lost), "outcome"))
		default:
			fmt.Fprintln(out, tailLine(&o))
		}
	}
}

// tailLine is an outcome for a terminal. What stands in an event came from anybody.
func tailLine(o *local.Outcome) string {
	line := fmt.Sprintf("%s  %-13s %-13s %-8s %s", o.At.Local().Format("15:04:05.000"), o.Outcome, o.Reason, o.Type,
		strconv.QuoteToGraphic(o.Event))
	if o.User != "" {
		line += " user=" + o.User
	}
	if o.MessageID != "" {
		line += " messageId=" + o.MessageID
	}
	if len(o.Payload) > 0 {
		line += " " + string(o.Payload)
	}
	return strings.ReplaceAll(harmless(line), "\n", " ")
}
