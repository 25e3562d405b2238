package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/spillwayhq/spillway/cmd/spillway/statussite"
	"github.com/spillwayhq/spillway/cmd/spillway/terminal"
	"github.com/spillwayhq/spillway/cmd/spillway/usage"
	"github.com/spillwayhq/spillway/shared/status"
)

type renderFlags struct {
	*statussite.Flags
	out, document, site string
}

func newStatusRender(f *statussite.Flags) *cobra.Command {
	r := renderFlags{Flags: f}
	c := &cobra.Command{
		Use:   "render",
		Short: "Write the site as files, to be hosted anywhere",
		Long: usage.Help("Writes the whole site as files: the pages, the feed, the API and the data. They can be served by "+
			"anything that serves files.",
			"The document is that of the pipeline, or with --document a file like the site's status.json, beside which the "+
				"months are in a folder history. --site is a file with title, logo, links and names: docs/status.md describes it."),
		Example: "  spillway status render --out site\n  spillway status render --document status.json --site site.json " +
			"--out site",
		Args: usage.NoArguments,
		RunE: func(c *cobra.Command, _ []string) error { return r.run(c.Context(), c.OutOrStdout()) },
	}
	c.Flags().StringVar(&r.out, "out", "", "`directory` to write to; files of the same name are replaced")
	c.Flags().StringVar(&r.document, "document", "", "`file` with the status document (default: the pipeline's)")
	c.Flags().StringVar(&r.site, "site", "", "`file.json` with title, url, logo, links, components and regions")
	return c
}

func (r *renderFlags) run(ctx context.Context, out io.Writer) error {
	if r.out == "" {
		return errors.New("--out is needed: the directory to write the site to")
	}
	site, d, months, err := r.read(ctx)
	if err != nil {
		return err
	}
	files := status.Render(site, d, months)
	for name, data := range files {
		file := filepath.Join(r.out, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			return fmt.Errorf("write the site: %w", err)
		}
		if err := os.WriteFile(file, data, 0o644); err != nil {
			return fmt.Errorf("write the site: %w", err)
		}
	}
	_, err = fmt.Fprintf(out, "wrote %s to %s: begin with %s\n", terminal.Plural(len(files), "file"), r.out,
		filepath.Join(r.out, "index.html"))
	return err
}

// read finds what is rendered.
func (r *renderFlags) read(ctx context.Context) (site status.Site, d status.Document, months []status.Month,
	err error) {
	var k *status.Keeper
	where := r.document
	if r.document == "" {
		k, where, err = r.Open(ctx)
	} else {
		k, err = fileKeeper(r.document)
	}
	if err != nil {
		return site, d, nil, err
	}
	if d, err = statussite.Document(ctx, k, where); err != nil {
		return site, d, nil, err
	}
	if months, err = k.Months(ctx, d); err != nil {
		return site, d, nil, err
	}
	if r.site != "" {
		site, err = status.LoadSite(r.site)
	} else {
		site, err = k.ReadSite(ctx)
	}
	return site, d, months, err
}

// fileKeeper reads a document from a file, and what belongs to it from beside it.
func fileKeeper(file string) (*status.Keeper, error) {
	if info, err := os.Stat(file); err != nil {
		return nil, fmt.Errorf("read the status document: %w", err)
	} else if info.IsDir() {
		return nil, fmt.Errorf("--document must be a file like status.json, %s is a directory", file)
	}
	return &status.Keeper{Store: filesBeside(file)}, nil
}

// filesBeside is a store that is only read.
type filesBeside string

func (f filesBeside) Read(_ context.Context, name string) ([]byte, string, error) {
	path := filepath.Join(filepath.Dir(string(f)), filepath.FromSlash(name))
	if name == status.DocumentFile {
		path = string(f)
	}
	data, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil, "", status.ErrNotFound
	}
	return data, "", err
}

func (f filesBeside) Write(context.Context, string, []byte, string) error {
	return errors.ErrUnsupported
}

func (f filesBeside) Put(context.Context, string, string, []byte) error { return errors.ErrUnsupported }
