// Package usage formats help texts and checks command lines. Each of its errors is one line that
// says what is wrong and what is right.
package usage

import (
	"fmt"
	"regexp"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/spillwayhq/spillway/cmd/spillway/terminal"
	"github.com/spillwayhq/spillway/shared/event"
)

// helpColumns is the width of help texts.
const helpColumns = 90

// Help makes a help text of paragraphs.
func Help(paragraphs ...string) string {
	for i, p := range paragraphs {
		paragraphs[i] = strings.Join(terminal.Wrap(p, helpColumns), "\n")
	}
	return strings.Join(paragraphs, "\n\n")
}

// goRun matches how `go run` starts a program: from its cache, or from a folder for the time being.
var goRun = regexp.MustCompile(`[/\\]go-build|[0-9a-f]{64}-d[/\\][^/\\]+$`)

// Program is what a reader types to start this program again: as it was started, by its os.Args[0].
func Program(started string) string {
	if goRun.MatchString(started) {
		return "go run ./cmd/spillway"
	}
	return started
}

// Subcommand refuses an argument that is not a verb of the command, and suggests similar verbs.
func Subcommand(c *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	c.SuggestionsMinimumDistance = 1 // with cobra's default of 2, ls would suggest up
	if similar := c.SuggestionsFor(args[0]); len(similar) > 0 {
		return fmt.Errorf("unknown command %s %s: did you mean %s?", c.CommandPath(), args[0], strings.Join(similar, " or "))
	}
	return fmt.Errorf("unknown command %s %s: see %[1]s --help", c.CommandPath(), args[0])
}

// NoArguments is for a verb that takes flags only.
func NoArguments(c *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	if args[0] == "true" || args[0] == "false" {
		return fmt.Errorf("%s takes no arguments, got %q: a switch has its value behind =, like --switch=%[2]s",
			c.CommandPath(), args[0])
	}
	return fmt.Errorf("%s takes no arguments, got %q: see %[1]s --help", c.CommandPath(), args[0])
}

// invalidValue matches the flag library's error for a value that it can't parse.
var invalidValue = regexp.MustCompile(`invalid argument "(.*)" for "(?:-., )?--(.*)" flag`)

// missingValue matches the flag library's error for a flag at the end of a command line.
var missingValue = regexp.MustCompile(`^flag needs an argument: (--.+)$`)

// FlagError explains an error of the flag library.
func FlagError(c *cobra.Command, err error) error {
	text := err.Error()
	if found := invalidValue.FindStringSubmatch(text); found != nil {
		expected := map[string]string{
			"uint16": "a number from 0 to 65535", "int": "a whole number", "float64": "a number", "bool": "true or false",
			"duration": "a duration like 50ms or 2s", "uint64": "a whole number, 0 or more",
		}[c.Flags().Lookup(found[2]).Value.Type()]
		text = fmt.Sprintf("--%s must be %s, is %q", found[2], expected, found[1])
	}
	if found := missingValue.FindStringSubmatch(text); found != nil {
		text = found[1] + " needs a value after it"
	}
	return fmt.Errorf("%s: see %s --help", text, c.CommandPath())
}

// NoEmptyFlags refuses a flag with an empty text, such as a variable that is not set in a shell: the
// default would be taken, which is another queue, file or Segment than was meant.
func NoEmptyFlags(c *cobra.Command, _ []string) (err error) {
	c.Flags().Visit(func(f *pflag.Flag) {
		switch {
		case err != nil:
		case f.Value.Type() == "string" && f.Value.String() == "",
			f.Value.Type() == "stringSlice" && f.Value.String() == "[]":
			err = fmt.Errorf("--%s must not be empty: give a value, or leave the flag out", f.Name)
		}
	})
	return err
}

// Latency refuses a negative --latency.
func Latency(latency time.Duration) error {
	if latency < 0 {
		return fmt.Errorf("--latency must be at least 0, is %v", latency)
	}
	return nil
}

// WriteKey refuses a --write-key that can't be one: Segment would answer 200 and drop the events.
func WriteKey(key string) error {
	if key != "" && !event.ValidWriteKey(key) {
		return fmt.Errorf("--write-key must be %s, is %q", event.WriteKeyRule, key)
	}
	return nil
}

// AllowHostFlag is the flag of AllowHost, which takes a name each time.
const AllowHostFlag = "allow-host"

// AllowHost registers the flag with further names of this machine.
func AllowHost(c *cobra.Command, names *[]string) {
	c.Flags().StringSliceVar(names, AllowHostFlag, nil,
		"further host `name` under which requests may come, besides localhost, addresses and host.docker.internal; "+
			"requests under any other name are refused, because a web page could have made them")
}

// Listen registers the flag with the address of the ports.
func Listen(c *cobra.Command, host *string) {
	c.Flags().StringVar(host, "listen", "127.0.0.1",
		"IP `address` to listen on: ::1 on a machine with IPv6 only, 0.0.0.0 for all addresses, as in a container; other "+
			"machines can then use the ports, without credentials")
}

// Moment reads a time of a flag. Without a zone it is in UTC.
func Moment(flag, text string) (time.Time, error) {
	if text == "now" {
		return time.Now().UTC(), nil
	}
	for _, form := range []string{time.RFC3339, "2006-01-02T15:04Z07:00", "2006-01-02 15:04", "2006-01-02T15:04",
		"2006-01-02 15:04:05", "2006-01-02T15:04:05", time.DateOnly} {
		if t, err := time.Parse(form, text); err == nil {
			return t.UTC(), nil
		}
	}
	return time.Time{}, fmt.Errorf("%s must be a time like 2026-12-03T09:00Z, or 2026-12-03 09:00 in UTC, or now, is %q",
		flag, text)
}

// Past reads a time of a flag, or a duration like 24h, which is that long before now.
func Past(flag, text string, now time.Time) (time.Time, error) {
	if ago, err := time.ParseDuration(text); err == nil {
		if ago < 0 {
			return time.Time{}, fmt.Errorf("%s must be a time, or how long ago it is, like 24h, is %q", flag, text)
		}
		return now.Add(-ago).UTC(), nil
	}
	t, err := Moment(flag, text)
	if err != nil {
		return t, fmt.Errorf("%w (or how long ago, like 24h)", err)
	}
	return t, nil
}
