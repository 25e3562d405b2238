package console

import (
	"context"
	"errors"
	"time"

	"github.com/spillwayhq/spillway/cmd/spillway/dlq"
	"github.com/spillwayhq/spillway/shared/deadletter"
)

// DeadLetters is a dead-letter queue, as its pages need it. It must be safe for concurrent use.
//
// SQS shows a message only by receiving it, which makes it invisible to others for a while. So a
// queue on AWS is read on request only; the SQS emulator's is looked at, and what was read is
// always current.
type DeadLetters interface {
	// Reading says how far the queue has been read.
	Reading() Reading
	// Read begins to read the queue, for all viewers, and returns at once. It does nothing where
	// nobody has to ask for that, and while the queue is being read.
	Read()
	// StopReading ends that: what was read becomes visible again, and what was read before is still
	// shown.
	StopReading()
	// List returns those dead letters that have been read, the last that came first.
	List(ctx context.Context, q DeadLetterQuery) (DeadLetterList, error)
	// Show returns a dead letter without its events; nil: there is none with this ID.
	Show(ctx context.Context, id string) (*DeadLetter, error)
	// Payload returns a dead letter with its events; nil: there is none with this ID. On AWS it
	// receives messages until it has found it.
	Payload(ctx context.Context, id string) (*dlq.Description, error)
	// Export, Redrive and Drop are those of a deadletter.Queue. Redrive checks Segment's health
	// unless force.
	Export(ctx context.Context, f deadletter.Filter, write func(lines []byte) error) (deadletter.ExportResult, error)
	Redrive(ctx context.Context, o deadletter.RedriveOptions, force bool) (deadletter.RedriveResult, error)
	Drop(ctx context.Context, f deadletter.Filter, write func(lines []byte) error) (deadletter.ExportResult, error)
	// KeyName returns what may be shown of a write key.
	KeyName(writeKey string) string
	// DropDir is where the files of deleted dead letters are written.
	DropDir() string
}

// ErrNotRead says that a queue has not been read yet: see [DeadLetters.Read].
var ErrNotRead = errors.New("the dead letters have not been read yet")

// Reading says how far a dead-letter queue has been read.
type Reading struct {
	OnRequest bool      // somebody must ask for it
	Running   bool      // it is being read
	At        time.Time // when the listing was read; zero: never, or it is current
	Read      int       // dead letters that have been read so far
	Of        int       // about how many there are
	Err       error     // why the last reading ended early
}

// A DeadLetterQuery chooses dead letters; the zero value chooses the first page of all.
type DeadLetterQuery struct {
	dlq.Selection
	Before uint64 // only those that came before: the Place of another; 0: all
	Limit  int    // how many rows at most, 1 to 200
}

// A DeadLetterList is a page of the dead letters that a query chooses, and what all of them are.
type DeadLetterList struct {
	Rows   []DeadLetter
	More   bool               // there are more, which came before the last row
	Groups []deadletter.Group // all that are chosen, by reason and write key, the most events first
	Total  int                // how many are chosen
	// InQueue counts all that have been read, by reason.
	InQueue deadletter.ReasonCounts
	// Duplicates of those that are chosen were written twice, and are counted once.
	Duplicates int
	// Unreadable can't be read from the disk, NotSearched have too many events to be searched for
	// one, and Beyond are older than those that the page remembers.
	Unreadable, NotSearched, Beyond int
}

// A DeadLetter is a row of a list.
type DeadLetter struct {
	deadletter.Entry
	Place uint64 // in the order in which they came
	InUse bool   // somebody has received it: it is invisible to others at the moment
}
