package main

import (
	"fmt"
	"net/url"

	"github.com/spf13/cobra"

	"github.com/spillwayhq/spillway/cmd/spillway/terminal"
	"github.com/spillwayhq/spillway/cmd/spillway/usage"
	"github.com/spillwayhq/spillway/shared/httpserver"
)

func newHealth() *cobra.Command {
	var base string
	c := &cobra.Command{
		Use:   "health",
		Short: "Ask an ingest endpoint whether it accepts events",
		Long: usage.Help("Asks GET /health of the ingest endpoint, that of `spillway up` or any other. The exit code is 0 "+
			"if it accepts events, and 1 with the reason if it does not, or has not answered within 3 s.",
			"It is the health check of the container image, which has no shell. `spillway doctor` looks at the whole "+
				"pipeline."),
		Args: usage.NoArguments,
		RunE: func(c *cobra.Command, _ []string) error {
			u, err := url.Parse(base)
			if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.RawQuery != "" {
				return fmt.Errorf("--url must be that of an ingest endpoint, like http://127.0.0.1:8080, is %q", base)
			}
			said, err := httpserver.CheckHealth(c.Context(), base)
			if err != nil {
				return err
			}
			_, err = fmt.Fprintln(c.OutOrStdout(), terminal.Safe(said))
			return err
		},
	}
	c.Flags().StringVar(&base, "url", "http://127.0.0.1:8080", "`URL` of the ingest endpoint")
	return c
}
