package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/spillwayhq/spillway/shared/app/ingest"
	"github.com/spillwayhq/spillway/shared/httpserver"
	"github.com/spillwayhq/spillway/shared/version"
)

// verb does what the arguments say beside a server: a container without a shell has no other
// program. Lambda gives a function none.
func verb(ctx context.Context, args []string, out io.Writer) error {
	if len(args) == 1 {
		switch args[0] {
		case "health":
			listen, err := ingest.ListenAddress(os.Environ())
			if err != nil {
				return err
			}
			base, err := httpserver.Local(listen)
			if err != nil {
				return err
			}
			said, err := httpserver.CheckHealth(ctx, base)
			if err == nil {
				fmt.Fprintln(out, said)
			}
			return err
		case "version":
			_, err := fmt.Fprintln(out, "ingest", version.String())
			return err
		}
	}
	return errors.New("the arguments must be none, for a server, or health, which asks the running server whether it is " +
		"healthy, or version: everything else is in the environment, see docs/configuration.md")
}
