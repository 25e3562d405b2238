package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/spillwayhq/spillway/cmd/spillway/archived"
	"github.com/spillwayhq/spillway/cmd/spillway/dlq"
	"github.com/spillwayhq/spillway/cmd/spillway/interrupt"
	"github.com/spillwayhq/spillway/cmd/spillway/keyfile"
	"github.com/spillwayhq/spillway/cmd/spillway/queues"
	"github.com/spillwayhq/spillway/cmd/spillway/replaying"
	"github.com/spillwayhq/spillway/cmd/spillway/terminal"
	"github.com/spillwayhq/spillway/cmd/spillway/usage"
	"github.com/spillwayhq/spillway/infra/topology"
	"github.com/spillwayhq/spillway/shared/archive/dirstore"
	"github.com/spillwayhq/spillway/shared/deadletter"
	"github.com/spillwayhq/spillway/shared/replay"
	"github.com/spillwayhq/spillway/shared/sqsclient"
)

type replayFlags struct {
	archived.Flags
	options       replay.Options
	from, to      string
	writeKeys     string // a file
	resume        string
	checkpointDir string // empty: beside the archive
	out           string
	dryRun, force bool
	rate          float64
}

func newReplay() *cobra.Command {
	var f replayFlags
	c := &cobra.Command{
		Use:   "replay",
		Short: "Send events of the archive again, or copy them to a file",
		Long: usage.Help(
			"Reads the archive, counts the events that the flags mean, and sends each once to the bulk queue, so that fresh "+
				"events go first. The last line of --dry-run says how many they are.",
			"A time is that of the outcome: when Segment had the event, or it became a dead letter. It is like "+
				"2026-12-03T09:00Z, or 2026-12-03 09:00 or 2026-12-03 in UTC, or how long ago it is, like 24h.",
			"It leaves out what a replay has delivered, and dead letters that would only fail again ("+
				strings.Join(deadletter.PermanentReasons(), ", ")+") unless --reason names them.",
			"Segment drops an event with a messageId that it has received within "+dedupePeriod+". An older event that it "+
				"already has it counts twice: replay warns and says how many may be. With --to-write-key the events go to "+
				"another source, which has none of them.",
			"After an interruption, `spillway replay --resume ID` goes on with what was asked for then. It sends nothing while "+
				"Segment is failing: see `spillway dlq redrive --help`."),
		Example: "  spillway replay --from 2026-11-24 --to 2026-11-25 --write-key WRONG --to-write-key RIGHT --dry-run\n" +
			"  spillway replay --from 6h --event 'Order Completed' --transform 'set properties.replayed=true'\n" +
			"  spillway replay --from 24h --user u1 --out u1.ndjson",
		Args: usage.NoArguments,
		RunE: func(c *cobra.Command, _ []string) error {
			if err := f.check(c); err != nil {
				return err
			}
			return f.run(c.Context(), c.OutOrStdout(), c.ErrOrStderr())
		},
	}
	f.Register(c)
	f.registerSelection(c)
	c.Flags().StringVar(&f.options.ToWriteKey, "to-write-key", "",
		"send with this write `key` instead of the events' own: to another source")
	c.Flags().StringArrayVar(&f.options.Edits, "transform", nil,
		"`change` each event: 'set PATH=VALUE' or 'remove PATH', like 'set properties.replayed=true'; may be given several "+
			"times")
	c.Flags().BoolVar(&f.options.NewMessageIDs, "new-message-ids", false,
		"give each event a new messageId, so that Segment takes it for another event")
	c.Flags().StringVar(&f.out, "out", "",
		"write the events to this new `file` instead of sending them, as `spillway send` reads them; - is standard output")
	c.Flags().BoolVar(&f.dryRun, "dry-run", false, "count, and send nothing")
	c.Flags().Float64Var(&f.rate, "rate", replay.DefaultRate,
		"`number` of events per second; Segment accepts about 1000 for a workspace before it delays them or answers 429")
	c.Flags().StringVar(&f.resume, "resume", "",
		"go on with the replay with this `ID`, with the flags that it was begun with")
	c.Flags().StringVar(&f.checkpointDir, "checkpoint-dir", "",
		"keep the checkpoint in this `directory` instead of beside the archive: where the bucket can't be written")
	c.Flags().BoolVar(&f.force, "force", false, "send even if Segment fails, or if that can't be found out")
	return c
}

func (f *replayFlags) registerSelection(c *cobra.Command) {
	s := &f.options.Selection
	c.Flags().StringVar(&f.from, "from", "", "only events whose outcome was at this `time` or later")
	c.Flags().StringVar(&f.to, "to", "now", "only events whose outcome was before this `time`")
	c.Flags().DurationVar(&s.Late, "late", replay.DefaultLate,
		"read also what came into the archive up to this `duration` after its outcome, like 6h: as long as the archive "+
			"was away")
	c.Flags().StringArrayVar(&s.Events, "event", nil,
		"only tracks with this event `name`, or other events of this type; may be given several times")
	c.Flags().StringArrayVar(&s.Users, "user", nil,
		"only events with this `ID` as userId or anonymousId; may be given several times")
	c.Flags().StringArrayVar(&s.WriteKeys, "write-key", nil,
		"only events with this write `key`, or its name, or how the log shows it; may be given several times")
	c.Flags().StringVar(&s.Outcome, "outcome", "", "only events with this `outcome`: delivered or dead_lettered")
	c.Flags().StringArrayVar(&s.Reasons, "reason", nil,
		"only dead letters with this `reason`; may be given several times")
	c.Flags().BoolVar(&s.Replayed, "include-replayed", false, "also events that a replay has delivered")
	c.Flags().StringVar(&f.writeKeys, "write-keys", "",
		"`file` with the write-key document, for the names of --write-key")
}

// check reads the flags.
func (f *replayFlags) check(c *cobra.Command) error {
	if err := dlq.CheckRate(f.rate); err != nil {
		return fmt.Errorf("--rate: %w", err)
	}
	if f.resume != "" {
		for _, name := range []string{"from", "to", "late", "event", "user", "write-key", "outcome", "reason",
			"include-replayed", "write-keys", "to-write-key", "transform", "new-message-ids", "out"} {
			if c.Flags().Changed(name) {
				return fmt.Errorf("--resume goes on with what the replay was begun with: remove --%s", name)
			}
		}
		return nil
	}
	if f.from == "" {
		return errors.New("--from must say from when on to replay, like 2026-12-03T09:00Z, or 24h for the last 24 hours")
	}
	return f.readOptions(time.Now())
}

func (f *replayFlags) readOptions(now time.Time) (err error) {
	o := &f.options
	if o.From, err = usage.Past("--from", f.from, now); err != nil {
		return err
	}
	if o.To, err = usage.Past("--to", f.to, now); err != nil {
		return err
	}
	if o.WriteKeys, err = f.keys(o.WriteKeys); err != nil {
		return err
	}
	if err := o.Validate(now); err != nil {
		if errors.Is(err, replay.ErrReversed) || errors.Is(err, replay.ErrEmpty) || errors.Is(err, replay.ErrFuture) {
			return fmt.Errorf("%w: --from is %s and --to is %s", err, o.From.Format(time.RFC3339), o.To.Format(time.RFC3339))
		}
		return err
	}
	if o.To.After(now) { // so that a resumed replay has the same events
		o.To = now.UTC()
	}
	return nil
}

// keys replaces the names of write keys by the keys.
func (f *replayFlags) keys(given []string) ([]string, error) {
	if f.writeKeys == "" {
		return given, nil
	}
	names, err := keyfile.Names(f.writeKeys)
	if err != nil {
		return nil, err
	}
	for i, name := range given {
		for key, of := range names {
			if of == name {
				given[i] = key
			}
		}
	}
	return given, nil
}

func (f *replayFlags) run(ctx context.Context, out, errOut io.Writer) error {
	p, err := f.Open(ctx)
	if err != nil {
		return err
	}
	r, err := f.begin(ctx, p, errOut)
	if err != nil {
		return f.explain(err, p, nil)
	}
	if late := time.Since(r.Options().To); !p.Local && late < topology.ArchiveDelay {
		fmt.Fprintf(errOut, "spillway: what ended in the last %.0f min may not be in the archive yet: Firehose collects it\n",
			topology.ArchiveDelay.Minutes())
	}
	if f.out != "" && !f.dryRun {
		return f.explain(f.export(ctx, r, out, errOut), p, nil)
	}
	return f.explain(f.send(ctx, p, r, out, errOut), p, r)
}

// files is where checkpoints are.
func (f *replayFlags) files(p *archived.Pipeline) replay.Files {
	if f.checkpointDir != "" {
		return dirstore.Open(f.checkpointDir)
	}
	return p.Store
}

// begin makes a new replay, or goes on with one.
func (f *replayFlags) begin(ctx context.Context, p *archived.Pipeline, errOut io.Writer) (*replay.Replay, error) {
	if f.resume == "" {
		return replay.New(ctx, p.Store, f.files(p), p.Names.Pipeline, replay.NewID(time.Now()), f.options)
	}
	bar := replaying.NewBar(errOut, "reading again", 0)
	defer bar.Clear()
	r, err := replay.Resume(ctx, p.Store, f.files(p), p.Names.Pipeline, f.resume, bar.Set)
	if errors.Is(err, replay.ErrUnknownID) {
		if ids, failed := replay.Unfinished(ctx, f.files(p)); failed == nil && len(ids) > 0 {
			return nil, fmt.Errorf("--resume %s: %w; these have not finished: %s", f.resume, err, strings.Join(ids, ", "))
		}
		return nil, fmt.Errorf("--resume %s: %w, and no other that has not finished", f.resume, err)
	} else if err != nil {
		return nil, fmt.Errorf("--resume %s: %w", f.resume, err)
	}
	return r, nil
}

// send counts, and then sends what was counted unless it is a dry run.
func (f *replayFlags) send(ctx context.Context, p *archived.Pipeline, r *replay.Replay, out, errOut io.Writer) error {
	send := replay.SendOptions{To: sqsclient.New(p.API, p.BulkURL), Rate: f.rate}
	if !f.dryRun && !f.force {
		send.Check = p.CheckSegment
		if err := send.Check(ctx); err != nil { // before counting, which may take an hour
			return err
		}
	}
	bar := replaying.NewBar(errOut, "counting", 0)
	counts, err := r.Count(ctx, f.out != "", bar.Set)
	bar.Clear()
	if err != nil {
		return err
	}
	replaying.LeftOut(out, &counts)
	replaying.Warn(errOut, &counts, f.rate, time.Now())
	if r.Objects() == 0 {
		fmt.Fprintf(out, "the archive in %s has no object of that time\n", p.Place)
	}
	if f.dryRun || counts.Events == 0 && f.resume == "" {
		fmt.Fprintln(out, matching(counts.Events))
		return nil
	}
	fmt.Fprintf(out, "%s: sending as replay %s\n", matching(counts.Events), r.ID())
	bar = replaying.NewBar(errOut, "sending", counts.Events)
	send.Tell = bar.Set
	start := time.Now()
	result, err := r.Send(ctx, send)
	bar.Clear()
	if err != nil {
		if r.Begun() {
			fmt.Fprintf(out, "sent %s before the last checkpoint\n", terminal.Plural(result.Sent, "event"))
		}
		return err
	}
	fmt.Fprintf(out, "sent %s to the bulk queue in %.1f s", terminal.Plural(result.Sent, "event"),
		time.Since(start).Seconds())
	if earlier := r.Sent(); earlier > 0 {
		fmt.Fprintf(out, ", and %s before the interruption", terminal.Number(earlier))
	}
	fmt.Fprintln(out)
	return nil
}

func matching(n int64) string {
	if n == 1 {
		return "1 event matches"
	}
	return terminal.Number(n) + " events match"
}

// export writes the events to a file, which must be new: it is not to replace what somebody has
// kept.
func (f *replayFlags) export(ctx context.Context, r *replay.Replay, out, errOut io.Writer) (err error) {
	said := out
	if f.out == "-" {
		said = errOut
	} else {
		file, err := os.OpenFile(f.out, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
		if err != nil {
			return fmt.Errorf("--out: %w", err)
		}
		out = file
	}
	bar := replaying.NewBar(errOut, "exporting", 0)
	counts, err := r.Export(ctx, out, bar.Set)
	bar.Clear()
	if file, ok := out.(*os.File); ok && f.out != "-" {
		err = errors.Join(err, file.Close())
	}
	if err != nil {
		return fmt.Errorf("not all events were exported: %w", err)
	}
	replaying.LeftOut(said, &counts)
	fmt.Fprintf(said, "exported %s\n", terminal.Plural(counts.Events, "event"))
	return nil
}

// explain adds to an error what to do about it. r is the replay that can be resumed; nil: none.
func (f *replayFlags) explain(err error, p *archived.Pipeline, r *replay.Replay) error {
	if err == nil {
		return nil
	}
	next := ""
	if r != nil && r.Begun() {
		next = "; to go on: spillway replay --resume " + r.ID() + f.Given()
		if f.checkpointDir != "" {
			next += " --checkpoint-dir " + terminal.ShellWord(f.checkpointDir)
		}
	}
	if errors.Is(err, replay.ErrNotSaved) && f.checkpointDir == "" {
		next += "; to keep the checkpoint on this machine: --checkpoint-dir DIRECTORY"
	}
	switch {
	case errors.Is(err, deadletter.ErrFailing):
		return fmt.Errorf("%w. Try again when Segment takes events, or send now with --force%s", err, next)
	case errors.Is(err, interrupt.Err):
		return fmt.Errorf("%w%s", err, next)
	case errors.Is(err, replay.ErrTakenOver):
		return fmt.Errorf("%w, which sends what is left: this one ends", err)
	}
	explained := queues.Explain(err, p.BulkURL)
	return fmt.Errorf("%w%s", explained, next)
}
