package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/spillwayhq/spillway/cmd/spillway/archived"
	"github.com/spillwayhq/spillway/cmd/spillway/dlq"
	"github.com/spillwayhq/spillway/cmd/spillway/forgetting"
	"github.com/spillwayhq/spillway/cmd/spillway/interrupt"
	"github.com/spillwayhq/spillway/cmd/spillway/queues"
	"github.com/spillwayhq/spillway/cmd/spillway/terminal"
	"github.com/spillwayhq/spillway/cmd/spillway/usage"
	"github.com/spillwayhq/spillway/shared/deadletter"
	"github.com/spillwayhq/spillway/shared/forget"
)

type forgetFlags struct {
	archived.Flags
	person                  forget.Person
	unreadable, dryRun, yes bool
	file                    string
	watchFor                time.Duration // no flag: see forgetting.LookAgain
}

func newForget() *cobra.Command { return (&forgetFlags{watchFor: forgetting.WatchFor}).command() }

func (f *forgetFlags) command() *cobra.Command {
	c := &cobra.Command{
		Use:   "forget --user ID",
		Short: "Remove a user's events from the archive and the dead letters",
		Long: usage.Help("Removes the events of a user from the archive and the dead letters for good, and leaves all "+
			"others as they are. It looks first, says what it has found, and asks. A list of what is removed, without the "+
			"events themselves, is in a file before anything is removed.",
			"An event is the user's by its userId, by the previousId of an alias, or by an --anonymous-id if it has no "+
				"userId. The report names the other IDs that the user's events have.",
			"Being killed loses nothing else: run it again to continue. Events that wait in a queue are found after their "+
				"delivery: the last line says when to run it again. What Segment has received, it must be asked to delete "+
				"itself; files that `spillway dlq export`, `dlq drop` and `replay --out` have written are not looked into."),
		Example: "  spillway forget --user anna --dry-run\n" +
			"  spillway forget --user anna --anonymous-id 0c5a6a0e-5ee6-4a3b-9d3e-2f1f7f6b8f0a --yes",
		Args: usage.NoArguments,
		RunE: func(c *cobra.Command, _ []string) error {
			return f.run(c.Context(), c.InOrStdin(), c.OutOrStdout(), c.ErrOrStderr())
		},
	}
	f.Register(c)
	c.Flags().StringArrayVar(&f.person.UserIDs, "user", nil, "the user's `ID`; may be given several times")
	c.Flags().StringArrayVar(&f.person.AnonymousIDs, "anonymous-id", nil,
		"an anonymous `ID` of the user's, for events without a userId; may be given several times")
	c.Flags().BoolVar(&f.unreadable, "unreadable", false,
		"remove bodies that can't be read and name the user somewhere, too: they may hold events of others")
	c.Flags().BoolVar(&f.dryRun, "dry-run", false, "say what would be removed, and remove nothing")
	c.Flags().BoolVar(&f.yes, "yes", false, "do not look first, and do not ask for confirmation")
	c.Flags().StringVar(&f.file, "file", "",
		"new `file` for the list of what is removed, or would be (default: spillway-forgotten-TIME.ndjson, with "+
			"--dry-run none)")
	return c
}

func (f *forgetFlags) run(ctx context.Context, in io.Reader, out, errOut io.Writer) error {
	switch ids := slices.Concat(f.person.UserIDs, f.person.AnonymousIDs); {
	case len(ids) == 0:
		return errors.New("give the user with --user")
	case slices.Contains(ids, ""):
		return errors.New("--user and --anonymous-id must not be empty")
	case f.dryRun && f.yes:
		return errors.New("--dry-run removes nothing: remove it, or --yes")
	case !f.dryRun && !f.yes && !terminal.Is(in):
		return errors.New("can't ask for confirmation, because standard input is not a terminal: give --yes to remove " +
			"without confirmation, or --dry-run")
	}
	p, err := f.Open(ctx)
	if err != nil && !errors.Is(err, archived.ErrNoArchive) { // there may be dead letters
		return err
	}
	if err != nil {
		fmt.Fprintf(errOut, "spillway: only the dead letters are searched: %v\n", err)
	}
	look := func(ctx context.Context) (forgetting.Waiting, error) {
		return forgetting.Look(ctx, p.API, p.EventsURL, p.BulkURL)
	}
	first, err := look(ctx)
	if err != nil {
		return err
	}
	if goOn, err := f.look(ctx, p, in, out, errOut); err != nil {
		return err
	} else if goOn {
		if err := f.remove(ctx, p, out, errOut); err != nil {
			return err
		}
	}
	last, err := forgetting.LookAgain(ctx, first, f.watchFor, look)
	if err != nil {
		return err
	}
	fmt.Fprintln(out, forgetting.Advice(first, last, p.Local))
	return nil
}

// look is the dry run, and the question whether to go on.
func (f *forgetFlags) look(ctx context.Context, p *archived.Pipeline, in io.Reader, out, errOut io.Writer) (bool,
	error) {
	if f.yes {
		return true, nil
	}
	o := forget.Options{DryRun: true}
	if f.dryRun && f.file != "" {
		list, err := dlq.NewFile(f.file)
		if err != nil {
			return false, err
		}
		defer list.Close()
		o.Write = list.Append
	}
	found, err := f.forget(ctx, p, o, errOut)
	if err != nil {
		return false, err
	}
	forgetting.Print(out, &found, true, p.Store != nil)
	if f.dryRun || !forgetting.Found(&found) {
		return false, nil
	}
	fmt.Fprintf(out, "\nRemove %s for good? Type yes to confirm: ",
		terminal.Plural(found.Archive.Events+found.DeadLetters.Events, "event"))
	yes, err := terminal.ReadYes(in)
	if err == nil && !yes {
		fmt.Fprintln(out, "Nothing was removed.")
	}
	return yes, err
}

func (f *forgetFlags) remove(ctx context.Context, p *archived.Pipeline, out, errOut io.Writer) error {
	path := f.file
	if path == "" {
		path = "spillway-forgotten-" + time.Now().UTC().Format("20060102T150405Z") + ".ndjson"
	}
	list, err := dlq.NewFile(path)
	if err != nil {
		return err
	}
	found, err := f.forget(ctx, p, forget.Options{Write: list.Append}, errOut)
	if closed := list.Close(); err == nil {
		err = closed
	}
	if err == nil || forgetting.Found(&found) {
		forgetting.Print(out, &found, false, p.Store != nil)
	}
	if forgetting.Found(&found) {
		fmt.Fprintf(out, "the list is in %s: it holds messageIds, so delete it when you need it no more\n", path)
	}
	if errors.Is(err, interrupt.Err) {
		return fmt.Errorf("%w: run the command again to continue", err)
	}
	return err
}

// forget does one run.
func (f *forgetFlags) forget(ctx context.Context, p *archived.Pipeline, o forget.Options,
	errOut io.Writer) (r forget.Result, err error) {
	o.Person, o.Unreadable = f.person, f.unreadable
	q := deadletter.New(p.API, p.DeadLetterURL)
	if err := forget.DeadLetters(ctx, q, o, &r); err != nil {
		return r, queues.Explain(err, p.DeadLetterURL)
	}
	dlq.SayPutBack(errOut, r.DeadLetters.PutBack)
	if _, invisible, err := q.Size(ctx); err == nil && invisible > 0 {
		fmt.Fprintf(errOut, "spillway: %s in use by another run and not searched: run this again in %s\n",
			terminal.Plural(invisible, "dead letter"), dlq.InvisibleFor)
	}
	if p.Store == nil {
		return r, nil
	}
	var bar terminal.Progress
	o.Progress = func(at forget.Progress) {
		if at.Objects == 1 {
			bar = terminal.NewReading(errOut, "objects", at.Of)
		}
		bar.Set(at.Objects)
	}
	err = forget.Archive(ctx, p.Store, o, &r)
	bar.Finish()
	return r, err
}
