package main

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

var update = flag.Bool("update", false, "write the flags in docs/configuration.md anew")

const configurationPage = "../../docs/configuration.md"

// flagTables are the tables of docs/configuration.md, one for each verb that has flags.
func flagTables(c *cobra.Command) string {
	var b strings.Builder
	if rows := flagRows(c); rows != "" {
		fmt.Fprintf(&b, "### `%s`\n\n| flag | default | meaning |\n|---|---|---|\n%s\n", c.CommandPath(), rows)
	}
	for _, sub := range c.Commands() {
		b.WriteString(flagTables(sub))
	}
	return b.String()
}

func flagRows(c *cobra.Command) string {
	var b strings.Builder
	c.LocalFlags().VisitAll(func(f *pflag.Flag) {
		if f.Hidden || f.Name == "help" || f.Name == "version" {
			return
		}
		name, usage := pflag.UnquoteUsage(f)
		defaults := ""
		switch f.DefValue {
		case "", "[]":
		case os.TempDir(): // of this machine
			defaults = "that for temporary files"
		default:
			defaults = "`" + f.DefValue + "`"
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s |\n", strings.TrimSpace("--"+f.Name+" "+name), defaults, strings.ReplaceAll(usage, "|", `\|`))
	})
	return b.String()
}

func TestTheConfigurationPageHasTheFlagsOfEveryVerb(t *testing.T) {
	page, err := os.ReadFile(configurationPage)
	if err != nil {
		t.Fatal(err)
	}
	const begin, end = "-update -->\n", "<!-- end of flags -->"
	before, rest, ok := strings.Cut(string(page), begin)
	_, after, isToo := strings.Cut(rest, end)
	if !ok || !isToo {
		t.Fatalf("%s has no place for the flags", configurationPage)
	}
	root := newRoot()
	want := before + begin + "\n" + flagTables(root) + end + after
	if want == string(page) {
		return
	}
	if !*update {
		t.Fatalf("the flags in %s are not those of the verbs: run go test ./cmd/spillway -run Flags -update", configurationPage)
	}
	if err := os.WriteFile(configurationPage, []byte(want), 0o644); err != nil {
		t.Fatal(err)
	}
}

// documentedCommand is the rest of a line behind a spillway command in a block of a page, which may
// stand behind another command.
var documentedCommand = regexp.MustCompile(`(?m)^    (?:\(umask 077; |.*\| )?(?:go run \./cmd/spillway|spillway) ([^\n]*)`)

// shellWords are the words of a shell's command line, up to a pipe, a redirection, a comment or the
// next command.
func shellWords(line string) (words []string) {
	word, quote, begun := "", rune(0), false
	for _, r := range line + " " {
		switch {
		case quote != 0 && r == quote:
			quote = 0
		case quote != 0:
			word += string(r)
		case r == '\'' || r == '"':
			quote, begun = r, true
		case r == ' ' && begun:
			words, word, begun = append(words, word), "", false
		case r == ' ':
		case strings.ContainsRune("|<>&;)", r), r == '#' && !begun:
			return words
		default:
			word, begun = word+string(r), true
		}
	}
	return words
}

func TestShellWordsAreThoseOfAShell(t *testing.T) {
	for line, want := range map[string][]string{
		`dlq ls --name "$NAME"`:               {"dlq", "ls", "--name", "$NAME"},
		`logs d --query 'a | b > 1 # c' # d`:  {"logs", "d", "--query", "a | b > 1 # c"},
		`dlq export > file`:                   {"dlq", "export"},
		`keys check f.json && aws ssm x "" y`: {"keys", "check", "f.json"},
		`send --write-key ''`:                 {"send", "--write-key", ""},
	} {
		if got := shellWords(line); !slices.Equal(got, want) {
			t.Errorf("%s: %q, want %q", line, got, want)
		}
	}
}

func TestEveryCommandInTheDocumentationHasFlagsThatExist(t *testing.T) {
	t.Parallel()
	var pages []string
	for _, pattern := range []string{"../../*.md", "../../docs/*.md", "../../*/*.md", "../../*/*/*.md"} {
		found, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		pages = append(pages, found...)
	}
	commands := 0
	for _, page := range pages {
		text, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range documentedCommand.FindAllStringSubmatch(string(text), -1) {
			commands++
			args := shellWords(strings.ReplaceAll(c[1], `"$NAME"`, "spillway"))
			verb, args, err := newRoot().Find(args)
			if err == nil {
				err = verb.ParseFlags(args)
			}
			if err == nil {
				err = verb.ValidateArgs(verb.Flags().Args())
			}
			if err != nil {
				t.Errorf("%s: spillway %s: %v", page, c[1], err)
			}
		}
	}
	if commands < 20 {
		t.Errorf("only %d commands were found", commands)
	}
}
