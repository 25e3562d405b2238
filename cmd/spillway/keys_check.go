package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/spillwayhq/spillway/cmd/spillway/deployed"
	"github.com/spillwayhq/spillway/cmd/spillway/keyfile"
	"github.com/spillwayhq/spillway/cmd/spillway/terminal"
	"github.com/spillwayhq/spillway/cmd/spillway/usage"
	"github.com/spillwayhq/spillway/shared/event"
	"github.com/spillwayhq/spillway/shared/ingest/writekeys"
)

func newKeysCheck() *cobra.Command {
	return &cobra.Command{
		Use:   "check FILE...",
		Short: "Check write-key documents as the ingest endpoint reads them",
		Long: usage.Help("Reads write-key documents as the ingest endpoint does, and prints their keys by name, each "+
			"with its quota and the beginning of its SHA-256, by which logs and dead letters name it. It shows no key. - is "+
			"the standard input, and s3://BUCKET/KEY an object of S3.",
			"Several files are checked as one set, whose parts are in several SSM parameters and an object: no key and no name "+
				"may be in two of them."),
		Args: func(c *cobra.Command, args []string) error {
			if len(args) == 0 {
				return fmt.Errorf("%s needs a file with a write-key document, or - for the standard input", c.CommandPath())
			}
			return nil
		},
		RunE: func(c *cobra.Command, paths []string) error {
			return checkKeys(c.Context(), c.InOrStdin(), c.OutOrStdout(), paths)
		},
	}
}

func checkKeys(ctx context.Context, in io.Reader, out io.Writer, paths []string) error {
	var documents []*writekeys.Document
	var errs []string
	for _, path := range paths {
		data, err := readDocument(ctx, in, path)
		if err != nil {
			errs = append(errs, err.Error())
			continue
		}
		d, err := keyfile.Parse(path, data)
		if err != nil {
			errs = append(errs, err.Error())
			continue
		}
		if len(d.Unknown) > 0 {
			errs = append(errs, fmt.Sprintf(
				"%s: there are unknown fields, which would have no effect (known: %s): they end at %s",
				path, writekeys.KnownFields, strings.Join(d.Unknown, "; ")))
			continue
		}
		documents = append(documents, d)
		printKeys(out, path, len(data), d)
	}
	if len(errs) > 0 {
		return errors.New(strings.Join(errs, "; "))
	}
	if err := writekeys.Together(documents); err != nil {
		return fmt.Errorf("the files can't be used together: %s", terminal.OneLine(err.Error()))
	}
	return nil
}

func readDocument(ctx context.Context, in io.Reader, path string) ([]byte, error) {
	if path == "-" {
		return io.ReadAll(in)
	}
	if deployed.IsObject(path) {
		c, err := deployed.Config(ctx)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		return deployed.ReadObject(ctx, c, path)
	}
	return os.ReadFile(path)
}

func printKeys(out io.Writer, path string, size int, d *writekeys.Document) {
	place := "S3 holds it"
	if !deployed.IsObject(path) {
		place = parameterFor(size)
	}
	fmt.Fprintf(out, "%s: %s, %s: %s\n", path, terminal.Plural(len(d.Entries), "write key"), terminal.Plural(size, "byte"),
		place)
	for _, warning := range d.Warnings {
		fmt.Fprintf(out, "warning: %s\n", terminal.OneLine(warning))
	}
	w := tabwriter.NewWriter(out, 0, 0, 3, ' ', 0)
	fmt.Fprintln(w, "  NAME\tID\tENABLED\tQUOTA\tBURST")
	for _, e := range d.Entries {
		enabled, quota, burst := "yes", "unlimited", ""
		if e.Disabled {
			enabled = "no"
		}
		if e.Quota > 0 {
			quota, burst = number(e.Quota)+" events/s", number(e.EffectiveBurst())+" events"
		}
		fmt.Fprintf(w, "  %s\t%s\t%s\t%s\t%s\n", terminal.OneLine(e.Name), event.KeyID(e.WriteKey), enabled, quota, burst)
	}
	w.Flush()
}

func number(n float64) string { return strconv.FormatFloat(n, 'f', -1, 64) }

// parameterFor says which parameter of SSM holds a document of that size (AWS general reference,
// "Parameter Store quotas").
func parameterFor(size int) string {
	switch {
	case size <= 4<<10:
		return "a standard SSM parameter holds it"
	case size <= 8<<10:
		return "as an SSM parameter it needs --tier Advanced, which holds 8 KB"
	}
	return "too large for an SSM parameter, which holds 8 KB: put it into an object of S3, or divide it among several " +
		"parameters, see docs/write-keys.md"
}
