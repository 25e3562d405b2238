package replay

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"runtime"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/spillwayhq/spillway/shared/archive"
	"github.com/spillwayhq/spillway/shared/event"
	"github.com/spillwayhq/spillway/shared/message"
)

func TestADamagedObjectCostsOnlyWhatIsDamaged(t *testing.T) {
	m := newMemory()
	m.put(t, "a", delivered(1, "m1"))
	second := int64(len(m.objects[objectName("a")]))
	m.put(t, "a", delivered(2, "m2"))
	m.put(t, "a", delivered(3, "m3"))
	m.objects[objectName("a")][second+10] ^= 0xff
	m.put(t, "b", delivered(4, "m4"))
	q, result := send(t, m, hour())
	if len(q.events(t)) != 3 || len(result.Damage) != 1 ||
		!strings.HasPrefix(result.Damage[0], fmt.Sprintf("%s: ", objectName("a"))) ||
		!strings.Contains(result.Damage[0], fmt.Sprintf("from byte %d on", second)) {
		t.Errorf("sent %d events, damage %q", len(q.events(t)), result.Damage)
	}
}

func TestALineThatIsNoRecordIsNamedAndTheOthersAreSent(t *testing.T) {
	m := newMemory()
	m.put(t, "a", delivered(1, "m1"))
	z := newMemory()
	odd := delivered(2, "m2")
	odd.Outcome = "" // of which AppendRecord makes a line without an outcome
	z.put(t, "a", odd)
	m.objects[objectName("a")] = append(m.objects[objectName("a")], z.objects[objectName("a")]...)
	m.put(t, "a", delivered(3, "m3"))
	q, result := send(t, m, hour())
	if len(q.events(t)) != 2 || result.BadLines != 1 || !strings.Contains(result.BadLine, objectName("a")+": line 1 of the frame at byte ") {
		t.Errorf("sent %d events, %d bad lines, %q", len(q.events(t)), result.BadLines, result.BadLine)
	}
}

func TestAnObjectThatIsGoneIsCounted(t *testing.T) {
	m := newMemory()
	m.put(t, "a", delivered(1, "m1"))
	m.put(t, "b", delivered(2, "m2"))
	r := begin(t, m, hour())
	delete(m.objects, objectName("a"))
	q := &queue{}
	result, err := r.Send(t.Context(), SendOptions{To: q, Rate: 1e9})
	if err != nil || result.Gone != 1 || result.Sent != 1 {
		t.Errorf("%+v, %v", result, err)
	}
}

func TestAnObjectIsReadOnWhereItsConnectionBroke(t *testing.T) { synctest.Test(t, breaking) }

func breaking(t *testing.T) {
	time.Sleep(time.Until(noon.Add(2 * time.Hour)))
	m, want := newMemory(), 0
	for part := range 30 {
		m.put(t, "a", delivered(part, fmt.Sprint("a", part)), delivered(part, fmt.Sprint("b", part)))
		want += 2
	}
	rng := rand.New(rand.NewPCG(3, 4))
	size, broken := int64(len(m.objects[objectName("a")])), 0
	m.broken = func(string) (int64, error) {
		if broken%8 == 7 { // at last it holds
			broken++
			return 0, nil
		}
		broken++
		return rng.Int64N(size / 3), errors.New("connection reset by peer")
	}
	q := &queue{}
	result, err := begin(t, m, hour()).Send(t.Context(), SendOptions{To: q, Rate: 1e9})
	if err != nil || int(result.Sent) != want || broken < 2 || len(result.Damage) > 0 {
		t.Errorf("%d of %d events, %d connections, %v, %q", result.Sent, want, broken, err, result.Damage)
	}
	m.broken = func(string) (int64, error) { return 0, errors.New("access denied") }
	if _, err := begin(t, m, hour()).Count(t.Context(), false, nil); err == nil || !strings.Contains(err.Error(), objectName("a")) ||
		!strings.Contains(err.Error(), "access denied") {
		t.Errorf("an object that can't be read: %v", err)
	}
}

func TestARecordInSeveralPartsIsExportedWhole(t *testing.T) {
	m := newMemory()
	body := make([]byte, 1<<20)
	rng := rand.New(rand.NewPCG(5, 6))
	for i := range body {
		body[i] = byte(' ' + rng.IntN(90))
	}
	m.put(t, "a", archive.Record{Time: noon, Outcome: archive.DeadLettered, Reason: message.ReasonUndecodable, Event: body})
	var out bytes.Buffer
	c, err := begin(t, m, hour()).Export(t.Context(), &out, nil)
	if err != nil || c.Events != 1 || bytes.Count(out.Bytes(), []byte("\n")) != 1 || out.Len() < len(body) || c.Lines < 2 {
		t.Errorf("%+v, %v, %d bytes", c, err, out.Len())
	}
}

// TestARecordWhosePartsACheckpointSeparatesIsSent: the second part alone says nothing.
func TestARecordWhosePartsACheckpointSeparatesIsSent(t *testing.T) {
	m := newMemory()
	text := make([]byte, 1_000_000)
	rng := rand.New(rand.NewPCG(7, 8))
	for i := range text {
		text[i] = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ+/"[rng.IntN(64)]
	}
	m.put(t, "a", archive.Record{Time: noon, Outcome: archive.DeadLettered, Reason: message.ReasonInvalid, WriteKey: "wk",
		Event: fmt.Appendf(nil, `{"type":"track","event":"e","userId":"u1","messageId":"m1","timestamp":"2026-11-24T12:00:00Z","a":%q}`, text)})
	o := hour()
	o.Reasons, o.Edits = []string{message.ReasonInvalid}, []string{"remove a"}
	r := begin(t, m, o)
	if err := writeJSON(t.Context(), m, planFile(r.ID()), &r.plan); err != nil {
		t.Fatal(err)
	}
	var frames []int64
	if _, err := archive.Select(t.Context(), bytes.NewReader(m.objects[objectName("a")]), 0, 1,
		func([]byte) bool { return true }, func(l archive.Line) error { frames = append(frames, l.Offset); return nil }); err != nil {
		t.Fatal(err)
	}
	if len(frames) < 2 {
		t.Fatalf("the record has %d part", len(frames))
	}
	c := checkpoint{Format: formatVersion, Position: position{Offset: frames[1], Version: r.objects[0].Version}}
	if err := writeJSON(t.Context(), m, checkpointFile(r.ID()), &c); err != nil {
		t.Fatal(err)
	}
	again, err := Resume(t.Context(), m, m, "spillway", r.ID(), nil)
	if err != nil {
		t.Fatal(err)
	}
	if counts, err := again.Count(t.Context(), false, nil); err != nil || counts.Events != 1 {
		t.Errorf("counted %+v, %v", counts, err)
	}
	q := &queue{}
	result, err := again.Send(t.Context(), SendOptions{To: q, Rate: 1e9})
	if err != nil || result.Sent != 1 || len(q.events(t)) != 1 {
		t.Errorf("%+v, %v", result, err)
	}
}

// TestAnEventThatFitsNoMessageDoesNotEndAReplay: it would at each resume.
func TestAnEventThatFitsNoMessageDoesNotEndAReplay(t *testing.T) {
	m := newMemory()
	for i, size := range []int{30_000, 100_000, 900_000} {
		m.put(t, "a", archive.Record{Time: noon, Outcome: archive.DeadLettered, Reason: message.ReasonTooLarge, WriteKey: "wk",
			Event: fmt.Appendf(nil, `{"type":"track","event":"e","userId":"u1","messageId":"m%d","timestamp":"2026-11-24T12:00:00Z","a":%q}`,
				i, strings.Repeat("x", size))})
	}
	o := hour()
	o.Reasons = []string{message.ReasonTooLarge}
	_, result := send(t, m, o)
	if result.Sent != 2 || result.Skipped[SkippedDropped] != 1 || !strings.Contains(result.SkippedFor, "may not fit a message") {
		t.Errorf("%+v", result)
	}
}

// TestTimesThatGoBackAreFoundByTheirOwnTime: a clock that was set back, and machines whose clocks
// differ.
func TestTimesThatGoBackAreFoundByTheirOwnTime(t *testing.T) {
	m := newMemory()
	m.put(t, "a", delivered(30, "m1"), delivered(-30, "early"), delivered(10, "m2"), delivered(90, "late"), delivered(0, "m3"))
	m.put(t, "2026/11/24/13/next", delivered(59, "m4"))         // it waited in Firehose
	m.put(t, "2026/11/24/11/before", delivered(1, "m5"))        // the clock was set forward
	m.put(t, "2026/11/24/15/far", delivered(1, "out of reach")) // beyond an hour nobody looks, unless asked
	q, _ := send(t, m, hour())
	var got []string
	for _, e := range q.events(t) {
		got = append(got, e.event[strings.Index(e.event, `"messageId":"`)+13:][:2])
	}
	slices.Sort(got)
	if !slices.Equal(got, []string{"m1", "m2", "m3", "m4", "m5"}) {
		t.Errorf("sent %q", got)
	}
	o := hour()
	o.Late = 2 * time.Hour // the archive was away
	if _, result := send(t, m, o); result.Sent != 6 {
		t.Errorf("sent %d events, want also the one that was archived two hours later", result.Sent)
	}
}

func TestTenThousandObjectsOfOneEventAreAFewMessages(t *testing.T) {
	m := newMemory()
	m.put(t, "a", delivered(1, "m00000"))
	z, err := archive.NewPacker()
	if err != nil {
		t.Fatal(err)
	}
	for i := range 10_000 {
		r := delivered(1, fmt.Sprintf("m%05d", i))
		z.Add(&r, 0)
		m.objects[objectName(fmt.Sprintf("%05d", i))] = z.Frames()[0].Data
	}
	r, q := begin(t, m, hour()), &queue{}
	result, err := r.Send(t.Context(), SendOptions{To: q, Rate: 1e6})
	if err != nil || result.Sent != 10_000 || result.Skipped[SkippedDouble] != 1 || len(q.messages) > 100 {
		t.Errorf("%d events in %d messages, %v", result.Sent, len(q.messages), err)
	}
}

func TestACheckpointThatCanNotBeTheReplaysIsRefused(t *testing.T) {
	m := newMemory()
	m.put(t, "a", delivered(1, "m1"))
	r := begin(t, m, hour())
	m.writing = func(name string) error {
		if strings.HasSuffix(name, ".progress.json") {
			return errors.New("the disk is full")
		}
		return nil
	}
	if _, err := r.Send(t.Context(), SendOptions{To: &queue{}, Rate: 1e9}); err == nil || !strings.Contains(err.Error(), "write the checkpoint replay/") {
		t.Fatalf("a full disk: %v", err)
	}
	m.writing = nil
	resume := func(id string) error {
		_, err := Resume(t.Context(), m, m, "spillway", id, nil)
		return err
	}
	plan, progress := planFile(r.ID()), checkpointFile(r.ID())
	saved := maps.Clone(m.files)
	for want, change := range map[string]func(){
		"is damaged: it names object 7 of 1": func() { m.files[progress] = []byte(`{"format":1,"position":{"object":7}}`) },
		"read the checkpoint replay/":        func() { m.files[progress] = []byte(`{"form`) },
		"a newer version of Spillway":        func() { m.files[plan] = []byte(`{"format":2}`) },
	} {
		m.files = maps.Clone(saved)
		change()
		if err := resume(r.ID()); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %s", err, want)
		}
	}
	m.files = saved
	for _, id := range []string{"", "../../etc/passwd", "20260101T000000Z-000000", r.ID() + ".progress"} {
		if err := resume(id); !errors.Is(err, ErrUnknownID) {
			t.Errorf("the ID %q: %v", id, err)
		}
	}
	if _, err := Resume(t.Context(), m, m, "staging", r.ID(), nil); !errors.Is(err, ErrOtherPipeline) {
		t.Errorf("a replay of another pipeline: %v", err)
	}
	if ids, err := Unfinished(t.Context(), m); err != nil || !slices.Equal(ids, []string{r.ID()}) {
		t.Errorf("unfinished are %q, %v", ids, err)
	}
	if err := resume(r.ID()); err != nil {
		t.Error(err)
	}
}

func TestAnObjectThatWasRewrittenIsReadFromItsBeginning(t *testing.T) {
	m := newMemory()
	m.put(t, "a", delivered(1, "forgotten"), delivered(2, "m2"))
	m.put(t, "a", delivered(3, "m3"))
	r := begin(t, m, hour())
	o := r.objects[0]
	if err := writeJSON(t.Context(), m, planFile(r.ID()), &r.plan); err != nil {
		t.Fatal(err)
	}
	c := checkpoint{Format: formatVersion, Position: position{Offset: o.Size / 2, Version: o.Version}}
	if err := writeJSON(t.Context(), m, checkpointFile(r.ID()), &c); err != nil {
		t.Fatal(err)
	}
	delete(m.objects, o.Name)
	m.put(t, "a", delivered(2, "m2"), delivered(3, "m3"))
	again, err := Resume(t.Context(), m, m, "spillway", r.ID(), nil)
	if err != nil {
		t.Fatal(err)
	}
	q := &queue{}
	if result, err := again.Send(t.Context(), SendOptions{To: q, Rate: 1e9}); err != nil || result.Sent != 2 || len(result.Damage) > 0 {
		t.Errorf("%+v, %v", result, err)
	}
}

// BenchmarkCount reads what an archive of 1 KB events has, on as many cores as there are.
func BenchmarkCount(b *testing.B) {
	for name, o := range map[string]Options{"all": hour(),
		"one user":   {Selection: Selection{From: noon, To: noon.Add(time.Hour), Users: []string{"nobody"}}},
		"other hour": {Selection: Selection{From: noon.Add(2 * time.Hour), To: noon.Add(3 * time.Hour)}}} {
		b.Run(name, func(b *testing.B) {
			m := newMemory()
			var records []archive.Record
			for i := range 100_000 {
				r := delivered(i%60, fmt.Sprint("message-", i))
				r.Event = fmt.Appendf(nil, `{"type":"track","event":"Run Started","userId":"user-%d","messageId":"m-%d","timestamp":"2026-11-24T11:59:59.123Z",`+
					`"properties":{"distance":%d,"text":"%s","nested":{"a":[1,2,3],"b":"%x"}},"context":{"library":{"name":"analytics.js","version":"5.1.2"},"ip":"1.2.3.4"}}`,
					i%977, i, i, strings.Repeat("lorem ipsum ", 55), i*i)
				records = append(records, r)
			}
			for i := range 4 {
				m.put(b, fmt.Sprint("2026/11/24/13/o", i), records[i*25_000:(i+1)*25_000]...)
			}
			var bytes int64
			runtime.GC()
			for b.Loop() {
				r := begin(b, m, o)
				c, err := r.Count(b.Context(), false, nil)
				if err != nil {
					b.Fatal(err)
				}
				bytes = c.Bytes
			}
			b.SetBytes(bytes)
		})
	}
}

// The files that the first version wrote: a later one must go on with them.
const (
	firstPlan = `{"format":1,"id":"20261127T150000Z-0123ab","pipeline":"spillway","began":"2026-11-27T15:00:00Z","options":{` +
		`"from":"2026-11-24T12:00:00Z","to":"2026-11-24T13:00:00Z","events":["Run Started"],"users":["u1"],"writeKeys":["wk"],` +
		`"outcome":"delivered","replayed":true,"edits":["set properties.again=true"],"toWriteKey":"another","newMessageIDs":true},` +
		`"objects":[{"name":"archive/2026/11/24/12/a.ndjson.zst","size":1,"version":"x"},{"name":"archive/2026/11/24/12/b.ndjson.zst","size":1}]}`
	firstCheckpoint = `{"format":1,"at":"2026-11-27T15:01:00Z","position":{"object":1},"sent":1,"finished":false}`
)

func TestACheckpointOfTheFirstFormatIsResumed(t *testing.T) {
	m := newMemory()
	m.put(t, "a", delivered(1, "m1"))
	m.put(t, "b", delivered(1, "m1"), delivered(2, "m2"))
	m.put(t, "c", delivered(3, "m3"))
	m.files["replay/20261127T150000Z-0123ab.json"] = []byte(firstPlan)
	m.files["replay/20261127T150000Z-0123ab.progress.json"] = []byte(firstCheckpoint)
	r, err := Resume(t.Context(), m, m, "spillway", "20261127T150000Z-0123ab", nil)
	if err != nil {
		t.Fatal(err)
	}
	q := &queue{}
	result, err := r.Send(t.Context(), SendOptions{To: q, Rate: 1e9})
	if err != nil || result.Sent != 2 || r.Sent() != 1 || result.Skipped[SkippedDouble] != 1 || result.Repeated != 0 {
		t.Errorf("%+v, %v; %d earlier", result, err, r.Sent())
	}
	// An ID is derived from the replay's ID and the event, so that no version may change how.
	want := `{"type":"track","event":"Run Started","userId":"u1","messageId":"ID","timestamp":"2026-11-24T11:59:59Z","properties":{"again":true}}`
	var ids []string
	for _, e := range q.events(t) {
		id := event.Summarize([]byte(e.event)).MessageID
		if got := strings.Replace(e.event, id, "ID", 1); got != want || e.header.WriteKey != "another" {
			t.Errorf("sent to %s: %s", e.header.WriteKey, e.event)
		}
		ids = append(ids, id)
	}
	if !slices.Equal(ids, []string{"611bd5f7-7024-521f-9f3d-fe920efb1a9c", "d4d89d0c-aef5-5ac7-a8eb-bfb6809e3af3"}) {
		t.Errorf("the messageIds are %q, and were others", ids)
	}
}
