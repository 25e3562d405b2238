package main

import (
	"fmt"
	"runtime"

	"github.com/spf13/cobra"

	"github.com/spillwayhq/spillway/cmd/spillway/usage"
	"github.com/spillwayhq/spillway/shared/version"
)

func newVersion() *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Print the version",
		Args:  usage.NoArguments,
		RunE: func(c *cobra.Command, _ []string) error {
			_, err := fmt.Fprintf(c.OutOrStdout(), "spillway %s\n", versionText())
			return err
		},
	}
}

// versionText also says what built the program and what it runs on: a bug may depend on it.
func versionText() string {
	return fmt.Sprintf("%s (%s, %s/%s)", version.String(), runtime.Version(), runtime.GOOS, runtime.GOARCH)
}
