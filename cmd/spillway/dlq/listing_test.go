package dlq

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/spillwayhq/spillway/shared/deadletter"
	"github.com/spillwayhq/spillway/shared/message"
)

func TestPrintListingPrintsTwoTables(t *testing.T) {
	now := time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)
	var out bytes.Buffer
	PrintListing(&out, &deadletter.Listing{
		Groups: []deadletter.Group{
			{Reason: "rejected", WriteKey: "shop web", DeadLetters: 2, Events: 1234, Oldest: now.Add(-50 * time.Hour),
				Newest: now.Add(-90 * time.Second)},
			{Reason: message.ReasonMovedBySQS, WriteKey: "default", DeadLetters: 1, Events: 1, Oldest: now.Add(-3 * time.Hour),
				Newest: now.Add(-3 * time.Hour)},
		},
		Entries: []deadletter.Entry{
			{ID: "a/0", Reason: "rejected", Events: 1, FirstSeen: now.Add(-90 * time.Second), Receives: 1,
				Detail: "400:\n\x1b[31m" + strings.Repeat("no ", 50)},
			{ID: "b", Reason: message.ReasonMovedBySQS, Events: 1, FirstSeen: now.Add(-3 * time.Hour), Receives: 1000},
		},
		Total: 3, Duplicates: 1,
	}, now)
	const want = `REASON         WRITE KEY   DEAD LETTERS   EVENTS   OLDEST   NEWEST
rejected       shop web    2              1,234    2d02h    1m
moved by SQS   default     1              1        3h00m    3h00m
total                      3              1,235

ID    REASON         EVENTS   AGE     RECEIVES   DETAIL
a/0   rejected       1        1m      1          400: [31mno no no no no no no no no no no no no no no no no no no n…
b     moved by SQS   1        3h00m   1000       
… and 1 more: --limit 0 lists all.
1 dead letter in the queue twice, counted once.
`
	if out.String() != want {
		t.Errorf("got\n%s\nwant\n%s", out.String(), want)
	}
}
