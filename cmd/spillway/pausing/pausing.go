// Package pausing pauses and resumes delivery, or what is sent with one write key: on AWS by the
// event source of the deliver function and parameters in SSM, on this machine by a running
// `spillway up`.
//
// A mark says who paused it, when and why. It is made first and removed last: while nothing is
// delivered, everything that watches the pipeline can say why.
package pausing

import (
	"context"

	"github.com/spillwayhq/spillway/shared/operator"
)

// An Order is what to pause or to resume.
type Order struct {
	Key    string // a write key's event.KeyID; empty: delivery
	Reason string // of a pause; see operator.ErrReason
}

// An Outcome is what has become of an Order.
type Outcome struct {
	// Mark is that of the pause that there is now, or that has ended. It is zero if there was none,
	// or if it could not be read.
	Mark    operator.Mark
	Already bool   // it was so before: nothing was changed
	Note    string // what else a person must know, one sentence; empty: nothing
}

// A Pipeline is one that can be paused.
type Pipeline interface {
	Pause(context.Context, Order) (Outcome, error)
	Resume(context.Context, Order) (Outcome, error)
}
