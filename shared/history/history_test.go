package history

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/spillwayhq/spillway/shared/archive"
	"github.com/spillwayhq/spillway/shared/archive/dirstore"
)

// withoutIndex is a store that must be read as a whole, as S3.
type withoutIndex struct{ archive.Store }

// put archives records, each n of them in one frame.
func TestALineThatIsNoRecordHidesNoOther(t *testing.T) {
	w := open(t, t.TempDir())
	now := time.Now()
	line := archive.AppendRecord(nil, &archive.Record{Time: now, Outcome: archive.Delivered,
		Event: []byte(`{"type":"track","event":"e","userId":"u","messageId":"m"}`)})
	p, err := archive.NewPacker()
	if err != nil {
		t.Fatal(err)
	}
	for _, other := range []string{`{"time":"bad","event":{"userId":"u","messageId":"m"}}`, "no JSON of u and m"} {
		p.AddLine([]byte(other), 0)
		p.AddLine(bytes.TrimSpace(line), 0)
	}
	if err := w.Put(t.Context(), p.Frames()); err != nil {
		t.Fatal(err)
	}
	for _, store := range []archive.Store{w.Store(), withoutIndex{w.Store()}} {
		for _, q := range []Query{{MessageID: "m"}, {User: "u"}} {
			q.From, q.To = now, now
			if r, err := Search(t.Context(), store, q, nil); err != nil || len(r.Found) != 1 {
				t.Errorf("%T, %+v: %+v, %v", store, q, r, err)
			}
		}
	}
}

func put(t testing.TB, w *dirstore.Writer, n int, records ...archive.Record) {
	t.Helper()
	p, err := archive.NewPacker()
	if err != nil {
		t.Fatal(err)
	}
	var frames []archive.Frame
	for i := range records {
		p.Add(&records[i], 0)
		if (i+1)%n == 0 || i == len(records)-1 {
			frames = append(frames, p.Frames()...)
		}
	}
	if err := w.Put(context.Background(), frames); err != nil {
		t.Fatal(err)
	}
}

func open(t testing.TB, dir string) *dirstore.Writer {
	t.Helper()
	w, err := dirstore.OpenWriter(dir, dirstore.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return w
}

func record(i int, at time.Time, event string) archive.Record {
	return archive.Record{Time: at.Add(time.Duration(i) * time.Second), Outcome: archive.Delivered, WriteKey: "k",
		Event: []byte(event)}
}

// someEvents are a hundred events of ten users, and some that are hard to find.
func someEvents(at time.Time) []archive.Record {
	var all []archive.Record
	for i := range 100 {
		all = append(all, record(i, at, fmt.Sprintf(`{"type":"track","event":"Run","userId":"u%d","messageId":"m%d"}`, i%10, i)))
	}
	broken := record(103, at, `not JSON of u3 with m3`)
	broken.Outcome, broken.Reason = archive.DeadLettered, "undecodable"
	retried := record(104, at, `{"type":"track","event":"Run","userId":"u3","messageId":"m3"}`)
	retried.Replay = "r1"
	return append(all,
		record(100, at, `{"userId":"\u0075\u0033","messageId":"\u006d-escaped"}`),
		record(101, at, "{\"userId\":\"u3\",\n\"messageId\":\"m-lines\"}"),
		record(102, at, `{"anonymousId":"u3","messageId":"m-anonymous"}`), broken, retried,
		record(105, at, `{"userId":"other","anonymousId":"u3","messageId":"m-others"}`),
		record(106, at, `{"userId":"u33","messageId":"m33","properties":{"messageId":"m3","userId":"u3"}}`))
}

func TestASearchFindsWithAndWithoutAnIndex(t *testing.T) {
	dir := t.TempDir()
	w := open(t, dir)
	now := time.Now()
	put(t, w, 7, someEvents(now)...)
	put(t, w, 1, someEvents(now)[:20]...) // archived again, as after an interruption
	for _, finished := range []bool{false, true} {
		if finished {
			if err := w.Close(); err != nil {
				t.Fatal(err)
			}
		}
		for name, store := range map[string]archive.Store{"index": w.Store(), "no index": withoutIndex{w.Store()}} {
			for query, want := range map[Query]string{
				{MessageID: "m5"}:                         "m5",
				{MessageID: "m3"}:                         "m3 m3", // delivered, and delivered again by a replay
				{MessageID: "m-escaped"}:                  "m-escaped",
				{MessageID: "m-lines"}:                    "m-lines",
				{MessageID: "m"}:                          "",
				{User: "u3"}:                              "m3 m13 m23 m33 m43 m53 m63 m73 m83 m93 m-escaped m-lines m-anonymous m3",
				{User: "u3", Limit: 3}:                    "m-lines m-anonymous m3",
				{User: "u33"}:                             "m33",
				{User: "nobody"}:                          "",
				{User: "u3", To: now.Add(-2 * time.Hour)}: "",
			} {
				query.From = now.Add(-3 * time.Hour)
				if query.To.IsZero() {
					query.To = now.Add(time.Hour)
				}
				r, err := Search(t.Context(), store, query, nil)
				if err != nil {
					t.Fatal(err)
				}
				var ids []string
				for _, f := range r.Found {
					ids = append(ids, f.MessageID)
				}
				if got := strings.Join(ids, " "); got != want {
					t.Errorf("%s, finished %v, %+v: got %q, want %q", name, finished, query, got, want)
				}
				if query.User == "u3" && want != "" && r.Total != 14 {
					t.Errorf("%s: %d in all", name, r.Total)
				}
			}
		}
	}
}

func TestASearchTellsItsProgressAndDamage(t *testing.T) {
	dir := t.TempDir()
	w := open(t, dir)
	now := time.Now()
	put(t, w, 10, someEvents(now)...)
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob(filepath.Join(dir, "*/*/*/*/*"+archive.Extension))
	if err != nil || len(files) != 1 {
		t.Fatal(files, err)
	}
	content, err := os.ReadFile(files[0])
	if err != nil {
		t.Fatal(err)
	}
	content[10] ^= 0xff // in the first frame
	if err := os.Chmod(files[0], 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(files[0], content, 0o600); err != nil {
		t.Fatal(err)
	}
	var last Progress
	r, err := Search(t.Context(), withoutIndex{dirstore.Open(dir)}, Query{MessageID: "m33", From: now, To: now}, func(p Progress) { last = p })
	if err != nil || len(r.Found) != 2 || len(r.Damage) == 0 || r.Damage[0].Err.Offset != 0 {
		t.Errorf("%+v, %v", r, err)
	}
	if last.Objects != 1 || last.Of != 1 || last.Read != last.Sum || last.Found != 2 {
		t.Errorf("progress: %+v", last)
	}
}

func TestASearchNeedsOneThingToLookFor(t *testing.T) {
	for _, q := range []Query{{}, {MessageID: "a", User: "b"}} {
		if _, err := Search(t.Context(), dirstore.Open(t.TempDir()), q, nil); err == nil {
			t.Errorf("%+v is searched", q)
		}
	}
}

// BenchmarkSearch looks for one of a million events by the index: the goal is a second.
func BenchmarkSearch(b *testing.B) {
	dir := b.TempDir()
	w := open(b, dir)
	now := time.Now()
	const events, each = 1_000_000, 1000
	properties := strings.Repeat(`,"properties":{"plan":"pro","seats":12,"amount":99.5}`, 4)
	for from := 0; from < events; from += each {
		records := make([]archive.Record, 0, each)
		for i := from; i < from+each; i++ {
			records = append(records, record(0, now, fmt.Sprintf(
				`{"type":"track","event":"Run","userId":"user-%d","messageId":"message-%d"%s}`, i%50_000, i, properties)))
		}
		put(b, w, 8, records...)
	}
	if err := w.Close(); err != nil {
		b.Fatal(err)
	}
	for name, q := range map[string]Query{"event": {MessageID: "message-777777"}, "user": {User: "user-4321"}} {
		b.Run(name, func(b *testing.B) {
			q.From, q.To = now.Add(-time.Hour), now.Add(time.Hour)
			for b.Loop() {
				r, err := Search(b.Context(), w.Store(), q, nil)
				if err != nil || len(r.Found) == 0 {
					b.Fatal(len(r.Found), err)
				}
			}
		})
	}
}
