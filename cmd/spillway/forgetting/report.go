// Package forgetting has the parts of `spillway forget`: what it prints of what was found, and when
// it has to run again.
package forgetting

import (
	"cmp"
	"fmt"
	"io"
	"slices"

	"github.com/spillwayhq/spillway/cmd/spillway/terminal"
	"github.com/spillwayhq/spillway/shared/forget"
)

// maxOthers is how many further IDs a report names.
const maxOthers = 10

// Found reports whether there is anything to remove.
func Found(r *forget.Result) bool { return r.Archive.Events+r.DeadLetters.Events > 0 }

// Print says what was found, and removed unless it was a dry run.
func Print(out io.Writer, r *forget.Result, dry, archived bool) {
	done, rewritten, deleted := "removed", "rewritten without them", "deleted"
	if dry {
		done, rewritten, deleted = "found", "to be rewritten without them", "to be deleted"
	}
	if a := &r.Archive; archived {
		fmt.Fprintf(out, "archive: %s %s; %s searched", terminal.Plural(a.Events, "event"), done,
			terminal.Plural(a.Objects, "object"))
		printCount(out, a.Rewritten, rewritten)
		printCount(out, a.Deleted, deleted)
		fmt.Fprintln(out)
	}
	d := &r.DeadLetters
	all := 0
	for _, n := range d.InQueue {
		all += n
	}
	fmt.Fprintf(out, "dead letters: %s %s; %s searched", terminal.Plural(d.Events, "event"), done,
		terminal.Plural(all, "dead letter"))
	printCount(out, d.Rewritten, rewritten)
	printCount(out, d.Deleted, deleted)
	fmt.Fprintln(out)
	printKept(out, r)
	printOthers(out, r)
}

func printCount(out io.Writer, n int, what string) {
	if n > 0 {
		fmt.Fprintf(out, ", %s %s", terminal.Number(n), what)
	}
}

// printKept says what names the user and is kept.
func printKept(out io.Writer, r *forget.Result) {
	kept := func(n int, what, why string) {
		if n > 0 {
			fmt.Fprintf(out, "kept: %s %s\n", terminal.Plural(n, what), why)
		}
	}
	if n := r.Archive.Unreadable + r.DeadLetters.Unreadable; n > 0 {
		fmt.Fprintf(out, "found: %s that can't be read, with the ID in the text, which may hold events of others: only "+
			"--unreadable removes such a body\n", terminal.Plural(n, "record"))
	}
	kept(r.DeadLetters.ArchiveOnly, "dead letter", "with records for the archive, which may be of this user: archive "+
		"them with `spillway dlq redrive` (with --reason undecodable, if it skips them), and run this again")
	kept(r.SharedDevice, "event", "of other users with one of the anonymousIds, from the same device")
	kept(r.Mentions, "event", "of other users with one of the IDs elsewhere, such as in the properties")
	kept(r.Archive.Incomplete, "record", "of which a part is missing, so that nobody knows whose it is")
	for _, d := range r.Archive.Damage {
		fmt.Fprintf(out, "kept: %s: %v\n", d.Object, d.Err)
	}
	kept(r.DeadLetters.NotDone, "dead letter", "that could not be changed: run the command again")
}

// printOthers names further IDs of the user.
func printOthers(out io.Writer, r *forget.Result) {
	others := make([]forget.Other, 0, len(r.Others))
	for o := range r.Others {
		others = append(others, o)
	}
	slices.SortFunc(others, func(a, b forget.Other) int {
		return cmp.Or(r.Others[b]-r.Others[a], cmp.Compare(a.By, b.By), cmp.Compare(a.ID, b.ID))
	})
	for i, o := range others {
		if i == maxOthers {
			fmt.Fprintf(out, "… and %s\n", terminal.Plural(len(others)-i, "further ID"))
			return
		}
		flag := "--user"
		if o.By == forget.ByAnonymousID {
			flag = "--anonymous-id"
		}
		fmt.Fprintf(out, "%s of the user's events %s the %s %s: if nobody else has it, add %s %s\n",
			terminal.Number(r.Others[o]), haveOrHas(r.Others[o]), o.By, terminal.OneLine(o.ID), flag, terminal.ShellWord(o.ID))
	}
}

func haveOrHas(n int) string {
	if n == 1 {
		return "has"
	}
	return "have"
}
