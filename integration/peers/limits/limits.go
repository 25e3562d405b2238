// Package limits measures what the machine can do at most, beside which the other numbers stand.
package limits

import (
	"context"
	"errors"
)

// Run is the subcommand `limits`.
func Run(context.Context, []string) error { return errors.New("nothing is measured here yet") }
