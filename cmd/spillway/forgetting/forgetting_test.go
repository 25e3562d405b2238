package forgetting

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/spillwayhq/spillway/shared/archive"
	"github.com/spillwayhq/spillway/shared/deadletter"
	"github.com/spillwayhq/spillway/shared/forget"
)

func TestTheReportSaysWhatIsRemovedAndWhatIsKept(t *testing.T) {
	r := forget.Result{
		Archive: forget.ArchiveResult{Objects: 96, Events: 412, Rewritten: 9, Deleted: 1, Unreadable: 1,
			Damage: []forget.Damage{{Object: "archive/x", Err: &archive.DamageError{Offset: 7, Bytes: 3, Err: errors.New("no frame")}}}},
		DeadLetters:  deadletter.RemoveResult{Events: 1, Deleted: 1, ArchiveOnly: 2, InQueue: deadletter.ReasonCounts{"rejected": 3}},
		SharedDevice: 2, Mentions: 1,
		Others: map[forget.Other]int{{By: forget.ByAnonymousID, ID: "dev 1"}: 380, {By: forget.ByUserID, ID: "anne"}: 1},
	}
	var out bytes.Buffer
	Print(&out, &r, false, true)
	want := `archive: 412 events removed; 96 objects searched, 9 rewritten without them, 1 deleted
dead letters: 1 event removed; 3 dead letters searched, 1 deleted
found: 1 record that can't be read, with the ID in the text, which may hold events of others: only --unreadable removes such a body
kept: 2 dead letters with records for the archive, which may be of this user: archive them with ` + "`spillway dlq redrive`" + ` (with --reason undecodable, if it skips them), and run this again
kept: 2 events of other users with one of the anonymousIds, from the same device
kept: 1 event of other users with one of the IDs elsewhere, such as in the properties
kept: archive/x: 3 bytes from byte 7 on can't be read: no frame
380 of the user's events have the anonymousId dev 1: if nobody else has it, add --anonymous-id 'dev 1'
1 of the user's events has the userId anne: if nobody else has it, add --user anne
`
	if out.String() != want {
		t.Errorf("got\n%s\nwant\n%s", out.String(), want)
	}
	out.Reset()
	Print(&out, &forget.Result{}, true, false)
	if out.String() != "dead letters: 0 events found; 0 dead letters searched\n" {
		t.Errorf("without an archive it says %q", out.String())
	}
}

func TestTheAdviceSaysWhenToRunAgain(t *testing.T) {
	at := time.Date(2026, 11, 27, 14, 0, 0, 0, time.UTC)
	waiting := func(seconds, n int) Waiting {
		return Waiting{at.Add(time.Duration(seconds) * time.Second), n, 14 * 24 * time.Hour}
	}
	for name, c := range map[string]struct {
		first, last Waiting
		local       bool
		want        string
	}{
		"nothing waits here":   {waiting(0, 100), waiting(10, 0), true, "Nothing waits in the queues: what was published before"},
		"nothing waits on AWS": {waiting(0, 0), waiting(10, 0), false, "run this again after 14:15 UTC on 2026-11-27."},
		"it drains":            {waiting(0, 700), waiting(10, 600), true, "600 messages in the queues may hold events of this user. At the present rate they have drained at about 14:02 UTC"},
		"it drains on AWS":     {waiting(0, 700), waiting(10, 600), false, "drained at about 14:17 UTC"},
		"it grows":             {waiting(0, 600), waiting(10, 700), true, "at the latest after 14:00 UTC on 2026-12-11"},
		"it stands still":      {waiting(0, 1), waiting(10, 1), true, "1 message in the queues may hold events of this user, and they do not drain"},
		"it takes months":      {waiting(0, 10_000_001), waiting(10, 10_000_000), true, "do not drain at present"},
	} {
		if got := Advice(c.first, c.last, c.local); !strings.Contains(got, c.want) {
			t.Errorf("%s: %s", name, got)
		}
	}
}

func TestTheQueuesAreWatchedForSomeSecondsOnlyIfSomethingWaits(t *testing.T) {
	for _, c := range []struct {
		waits int
		run   time.Duration
		want  time.Duration
	}{{0, 0, 0}, {5, 0, WatchFor}, {5, 2 * time.Second, WatchFor - 2*time.Second}, {5, time.Minute, 0}} {
		synctest.Test(t, func(t *testing.T) {
			look := func(context.Context) (Waiting, error) { return Waiting{At: time.Now(), Messages: c.waits}, nil }
			first, _ := look(t.Context())
			time.Sleep(c.run)
			began := time.Now()
			last, err := LookAgain(t.Context(), first, WatchFor, look)
			if took := time.Since(began); err != nil || took != c.want || !last.At.Equal(time.Now()) {
				t.Errorf("%+v: %v, %+v, %v", c, took, last, err)
			}
		})
	}
}
