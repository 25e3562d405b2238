package contents

import (
	"encoding/binary"
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"github.com/spillwayhq/spillway/shared/deadletter"
)

func identity(i int) (id deadletter.Identity) {
	binary.BigEndian.PutUint64(id[:], uint64(i))
	return id
}

func same(k string) string { return k }

func TestAnIndexRemembersTheNewestAndCountsTheOthers(t *testing.T) {
	const most, spare = 16_000, 16_000 / sparePart
	x := newIndex()
	x.most = most
	put := func(place int) {
		x.put(&record{place: uint64(place), identity: identity(place)}, groupKey{reason: "rejected"})
	}
	const newest = most + spare + 10
	for place := newest; place > 10; place-- { // as it is filled
		put(place)
	}
	put(5)                // older than all
	put(newest + 1)       // a new one
	put(newest + 1)       // told twice
	x.remove([]uint64{7}) // never told
	got := x.search(deadletter.Filter{}, time.Now(), 0, 3, same)
	if got.list.Total != most+1 || got.list.Beyond != spare+1 || len(got.rows) != 3 ||
		got.rows[0].place != newest+1 || got.rows[2].place != newest-1 {
		t.Errorf("%d are selected, %d beyond, rows from %d", got.list.Total, got.list.Beyond, got.rows[0].place)
	}
	if n := x.size(); n != most+spare+2 {
		t.Errorf("a size of %d", n)
	}
	// Those that come to a full index cost it what they take, and not a copy of the whole order each.
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for n := range 2 * spare {
		put(newest + 2 + n)
	}
	runtime.ReadMemStats(&after)
	if mb := (after.TotalAlloc - before.TotalAlloc) >> 20; mb > 20 {
		t.Errorf("%d dead letters more have taken %d MB", 2*spare, mb)
	}
	if n := x.size(); n != most+3*spare+2 || len(x.byPlace) >= most+spare {
		t.Errorf("a size of %d, and %d records", n, len(x.byPlace))
	}
}

func TestADeadLetterWithTooManyEventsToSearchIsCounted(t *testing.T) {
	var events strings.Builder
	for i := range 2500 {
		fmt.Fprintf(&events, `,{"type":"track","event":"E","userId":"u-%d","messageId":"m-%d"}`, i, i)
	}
	body := `{"batch":[` + events.String()[1:] + `]}`
	l := deadletter.Parse(&types.Message{MessageId: aws.String("x"), Body: &body})
	r, err := deadletter.NewReader()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	x := newIndex()
	rec, key := recordOf(1, 0, l, r)
	if !rec.partial || len(rec.marks) > maxOwnMarks+2000 {
		t.Fatalf("%d marks, partial: %v", len(rec.marks), rec.partial)
	}
	x.put(rec, key)
	got := x.search(deadletter.Filter{Users: []string{"u-2499"}}, time.Now(), 0, 1, same).list
	if got.Total != 0 || got.NotSearched != 1 {
		t.Errorf("%+v", got)
	}
	if got := x.search(deadletter.Filter{IDs: []string{"x"}}, time.Now(), 0, 1, same).list; got.Total != 1 {
		t.Errorf("by its ID: %+v", got)
	}
	// What is beyond the memory for marks is found by neither, and counted.
	for place := 2; x.marks+maxOwnMarks <= maxMarks; place++ {
		x.put(&record{place: uint64(place), identity: identity(place), marks: make([]uint64, maxOwnMarks)}, key)
	}
	rec, key = recordOf(1_000_000, 0, l, r)
	x.put(rec, key)
	if len(x.byID("x", 5)) != 2 || x.notSearched() != 2 {
		t.Errorf("by its ID %d are found, and %d not searched", len(x.byID("x", 5)), x.notSearched())
	}
	if rec.marks != nil || x.marks > maxMarks {
		t.Errorf("%d marks are remembered, of which %d should not be", x.marks, len(rec.marks))
	}
}
