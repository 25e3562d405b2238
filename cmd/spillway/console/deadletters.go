package console

import (
	"context"
	"time"
)

// DeadLetters is a dead-letter queue, as its pages need it. It must be safe for concurrent use.
type DeadLetters interface {
	// List returns dead letters, newest first, without their events.
	List(ctx context.Context, q DeadLetterQuery) (DeadLetterList, error)
}

// A DeadLetterQuery chooses dead letters; empty fields choose all.
type DeadLetterQuery struct {
	Reason string
	Limit  int
}

// A DeadLetterList is a part of the dead-letter queue.
type DeadLetterList struct {
	Rows  []DeadLetter
	Total int64 // in the queue
}

// A DeadLetter is a row of the list.
type DeadLetter struct {
	ID     string
	At     time.Time
	Reason string
	Events int
}
