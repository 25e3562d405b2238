package deliver

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/spillwayhq/spillway/shared/archive"
	"github.com/spillwayhq/spillway/shared/event"
	"github.com/spillwayhq/spillway/shared/message"
	"github.com/spillwayhq/spillway/shared/segment"
	"github.com/spillwayhq/spillway/shared/sqsclient"
)

// fakeArchive takes frames. put says what it answers; nil: it takes everything.
type fakeArchive struct {
	mu      sync.Mutex
	put     func(context.Context, []archive.Frame) error
	calls   int
	records []archive.Record
}

func (a *fakeArchive) Put(ctx context.Context, frames []archive.Frame) error {
	a.mu.Lock()
	a.calls++
	a.mu.Unlock()
	var err error
	if a.put != nil {
		err = a.put(ctx, frames)
	}
	failed := archive.Unarchived(len(frames), err)
	for i, f := range frames {
		if !slices.Contains(failed, i) {
			a.add(f.Data)
		}
	}
	return err
}

func (a *fakeArchive) add(frame []byte) {
	r, err := archive.NewReader(bytes.NewReader(frame), 0)
	if err != nil {
		panic(err)
	}
	defer r.Close()
	a.mu.Lock()
	defer a.mu.Unlock()
	for {
		block, err := r.Next()
		if err == io.EOF {
			return
		}
		if err != nil {
			panic(err)
		}
		for line := range block.Lines() {
			record, err := archive.ParseRecord(bytes.Clone(line))
			if err != nil {
				panic(err)
			}
			a.records = append(a.records, record)
		}
	}
}

// events are the archived events, each with its outcome and reason.
func (a *fakeArchive) events() []string {
	var all []string
	for _, r := range a.records {
		all = append(all, strings.TrimSpace(r.Outcome+" "+r.Reason)+" "+string(r.Event))
	}
	slices.Sort(all)
	return all
}

// newArchiveRig is a rig with a bulk queue and an archive.
func newArchiveRig(t testing.TB, answer func(context.Context, *event.Batch) error) (*rig, *fakeQueue, *fakeArchive) {
	t.Helper()
	r, bulk, a := newRig(t, answer), &fakeQueue{timeouts: map[string]time.Duration{}}, new(fakeArchive)
	r.Handler = r.handler(Config{Segment: r.segment, WriteKey: keyA, BulkQueue: bulk, BulkQueueName: bulkQueue,
		Archive: a})
	return r, bulk, a
}

var errAway = errors.New("the archive is away")

func away(context.Context, []archive.Frame) error { return errAway }

// archived are the report's counts of where the records went.
func (r *rig) archived() [3]int {
	return [3]int{r.last.Archived, r.last.ArchiveDeferred, r.last.NotArchived}
}

// fromBulk are the messages that were sent to the bulk queue, as it hands them out.
func fromBulk(q *fakeQueue, receives int) (all []in) {
	for i, m := range q.deadLetters {
		all = append(all, in{id: fmt.Sprintf("only-%d", i), body: m.Body, queue: bulkQueue, sent: time.Now(),
			receives: receives})
	}
	return all
}

func TestEachEventThatEndsIsArchivedAsSegmentGotIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, _, a := newArchiveRig(t, func(_ context.Context, b *event.Batch) error {
			if len(b.Events) == 1 && strings.Contains(string(b.Events[0]), "bad") {
				return status(400)
			}
			if slices.ContainsFunc(b.Events, func(e []byte) bool { return strings.Contains(string(e), "bad") }) {
				return status(400)
			}
			if b.WriteKey == keyB {
				return status(503)
			}
			return nil
		})
		sent := time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC)
		good, bad, invalid := track("good", 300), track("bad", 300), `{"type":"track","userId":"u","messageId":"i"}`
		retained := r.invoke(t.Context(),
			in{id: "a", sent: time.Now(), body: `{"writeKey":"` + keyA + `","origin":"client","context":{"x":1},` +
				`"integrations":{"All":true},"receivedAt":"2026-11-01T00:00:00.250Z","batch":[` + good + "," + bad + "," + invalid + `]}`},
			in{id: "b", sent: sent, receives: 3, body: `{"type":"track","event":"E","userId":"u"}`},
			in{id: "c", sent: time.Now(), body: "no JSON\r\n"},
			in{id: "d", sent: time.Now(), body: body(keyB, track("waits", 300))},
			in{id: "e", sent: sent, body: body("not a key", `{"type":"track","event":"E","userId":"u"}`)})
		want(t, "retained", retained, []string{"d"})
		// What has no identity gets it from its message.
		identified := func(id string) string {
			return `{"messageId":"` + message.EventID(message.StableID(id), 0) +
				`","timestamp":"2026-11-01T00:00:00.000Z","type":"track","event":"E","userId":"u"}`
		}
		got, expected := a.events(), []string{"delivered " + good, "dead_lettered rejected " + bad,
			"dead_lettered invalid " + withTime(invalid), "delivered " + identified("b"), "dead_lettered undecodable no JSON\r\n",
			"dead_lettered invalid " + identified("e")}
		slices.Sort(expected)
		for i := range max(len(got), len(expected)) {
			if i >= len(got) || i >= len(expected) || got[i] != expected[i] {
				t.Fatalf("archived\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(expected, "\n"))
			}
		}
		want(t, "archived, deferred, not archived", r.archived(), [3]int{6, 0, 0})
		for _, record := range a.records {
			switch {
			case strings.Contains(string(record.Event), `"good"`):
				want(t, "the header", fmt.Sprint(record.WriteKey, record.Origin, string(record.Context), string(record.Integrations),
					record.ReceivedAt), fmt.Sprint(keyA, event.FromClient, `{"x":1}`, `{"All":true}`,
					time.Date(2026, 11, 1, 0, 0, 0, 250e6, time.UTC)))
			case strings.Contains(string(record.Event), "E") && record.Outcome == archive.Delivered:
				want(t, "the default write key, and the receives", fmt.Sprint(record.WriteKey, record.Receives), keyA+"3")
			case record.Reason == message.ReasonRejected && record.Detail == "":
				t.Error("a rejected event has no detail")
			}
		}
	})
}

// withTime is an event without a timestamp as deliver identifies it.
func withTime(e string) string {
	return strings.Replace(e, `{`, `{"timestamp":"2026-11-01T00:00:00.250Z",`, 1)
}

func TestAContextThatTheRecordsWouldRepeatTooOftenIsNotArchivedAndCounted(t *testing.T) {
	r, bulk, a := newArchiveRig(t, nil)
	huge := `{"writeKey":"` + keyA + `","context":{"page":"` + strings.Repeat("x", 200<<10) + `"},"batch":[` +
		strings.Join(tracks("e", 400, 200), ",") + `]}`
	r.invoke(t.Context(), in{id: "huge", sent: time.Now(), body: huge},
		in{id: "usual", sent: time.Now(), body: body(keyA, track("usual", 300))})
	want(t, "delivered", r.last.Delivered, 401)
	want(t, "archived, deferred, not archived", r.archived(), [3]int{1, 0, 400})
	want(t, "records", len(a.records), 1)
	want(t, "deferred", len(bulk.deadLetters), 0)
	want(t, "retained", len(r.last.Retried), 0)
}

func TestARecordNamesTheReplayThatSentTheEvent(t *testing.T) {
	r, _, a := newArchiveRig(t, nil)
	doc := payload(t, in{id: "a", sent: time.Now(), body: body(keyA, track("a", 300))})
	doc = bytes.Replace(doc, []byte(`"messageAttributes":{`),
		[]byte(`"messageAttributes":{"Replay-Id":{"stringValue":"r-7","dataType":"String"}`), 1)
	r.invokeJSON(t.Context(), doc)
	if len(a.records) != 1 || a.records[0].Replay != "r-7" {
		t.Errorf("%+v", a.records)
	}
	// So does its dead letter, so that a redrive does not make it an event that no replay has sent.
	r.invokeJSON(t.Context(), bytes.Replace(doc, []byte("userId"), []byte("nobody"), 1))
	if dead := r.queue.deadLetters; len(dead) != 1 || attr(dead[0], message.AttrReplayID) != "r-7" {
		t.Errorf("dead letters %+v", dead)
	}
}

func TestWhatTheArchiveDoesNotTakeGoesToTheBulkQueueOnce(t *testing.T) {
	r, bulk, a := newArchiveRig(t, nil)
	a.put = away
	e := track("a", 300)
	want(t, "retained", r.invoke(t.Context(), one("first")), []string{})
	want(t, "retained", r.invoke(t.Context(), in{id: "a", sent: time.Now(), body: body(keyA, e)}), []string{})
	want(t, "archived, deferred, not archived", r.archived(), [3]int{0, 1, 0})
	bulk.deadLetters = bulk.deadLetters[1:]
	only := fromBulk(bulk, 1)
	if len(only) != 1 {
		t.Fatalf("%d messages in the bulk queue", len(only))
	}

	attempts := len(r.segment.attempts)
	for n := range 3 { // it waits, however often it is received, and nothing is sent
		only[0].receives = n + 1
		want(t, "retained", r.invoke(t.Context(), only...), []string{"only-0"})
		want(t, "archived, deferred, not archived", r.archived(), [3]int{0, 0, 1})
		want(t, "events and retried", fmt.Sprint(r.last.Events, r.last.Retried), "0 map[]")
	}
	if len(bulk.deadLetters) != 1 || bulk.timeouts["r-only-0"] < 100*time.Second {
		t.Errorf("%d messages in the bulk queue; invisible for %v", len(bulk.deadLetters), bulk.timeouts)
	}

	r.archiveBreaker = newArchiveBreaker()
	a.put = nil
	want(t, "retained", r.invoke(t.Context(), only...), []string{})
	want(t, "archived, deferred, not archived", r.archived(), [3]int{1, 0, 0})
	want(t, "archived", a.events(), []string{"delivered " + e})
	if len(r.segment.attempts) != attempts {
		t.Error("an archive-only message was sent to Segment")
	}
}

func TestOnlyTheFramesThatWereRefusedAreDeferredAndOnlyTheirMessagesRetained(t *testing.T) {
	r, bulk, a := newArchiveRig(t, nil)
	// Of 60 messages with 100 KB each a frame holds about 25.
	var messages []in
	for i := range 60 {
		messages = append(messages, in{id: fmt.Sprintf("m-%02d", i), sent: time.Now(),
			body: zipped(t, body(keyA, tracks(fmt.Sprintf("e-%d", i), 10, 10_000)...))})
	}
	a.put = func(_ context.Context, frames []archive.Frame) error {
		if len(frames) < 3 {
			t.Fatalf("%d frames", len(frames))
		}
		return &archive.PutError{Failed: map[int]error{1: errAway, 2: errAway}, Frames: len(frames)}
	}
	bulk.send = func(_ context.Context, out []message.Message) error {
		return &sqsclient.SendError{URL: "bulk", Failed: map[int]error{0: errors.New("no")}}
	}
	retained := r.invoke(t.Context(), messages...)
	c := r.archived()
	if len(retained) == 0 || len(retained) > 30 || c[2] != 10*len(retained) {
		t.Errorf("%d messages are retained; archived, deferred, not archived: %v", len(retained), c)
	}
	want(t, "retried", r.last.Retried, map[string]int{NotArchived: c[2]})
	want(t, "delivered", r.last.Delivered, 600-c[2])
	if len(bulk.deadLetters) != 1 {
		t.Errorf("%d messages in the bulk queue", len(bulk.deadLetters))
	}
	for _, m := range bulk.deadLetters {
		var content message.Content
		d, err := message.NewDecoder()
		if err != nil {
			t.Fatal(err)
		}
		defer d.Close()
		_ = d.Decode([]byte(m.Body), &content)
		a.add(content.ArchiveFrame)
	}
	// Each event of a message that is not retained is in the archive.
	have := map[string]bool{}
	for _, record := range a.records {
		have[string(record.Event)] = true
	}
	for i, m := range messages {
		if slices.Contains(retained, m.id) {
			continue
		}
		for _, e := range tracks(fmt.Sprintf("e-%d", i), 10, 10_000) {
			if !have[e] {
				t.Fatalf("an event of %s is not archived", m.id)
			}
		}
	}
}

// Lambda drops a message that goes from SQS through a function to SQS about 16 times.
func TestNoMessageIsMoreThanTwoHopsFromItsSource(t *testing.T) {
	for _, c := range []struct {
		name string
		bulk func(context.Context, []message.Message) error
	}{{name: "the bulk queue works"}, {"the bulk queue fails too",
		func(context.Context, []message.Message) error {
			if rand.IntN(2) == 0 {
				return errors.New("no")
			}
			return nil
		}}} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { countHops(t, c.bulk) })
		})
	}
}

// countHops lets the archive be away, and hands each message that is in the bulk queue out together
// with new ones. A message that an invocation sends is one hop further than any that it has
// received.
func countHops(t *testing.T, fails func(context.Context, []message.Message) error) {
	r, bulk, a := newArchiveRig(t, nil)
	a.put, bulk.send = away, fails
	hops := map[string]int{} // by the message's id
	var queue []in
	most, deferred := 0, 0
	for n := range 60 {
		fresh := in{id: fmt.Sprintf("new-%d", n), sent: time.Now(), queue: bulkQueue,
			body: body(keyA, track(fmt.Sprintf("e-%d", n), 200+n))}
		hops[fresh.id] = 1
		invocation := append([]in{fresh}, queue...)
		if n%3 == 0 {
			invocation = invocation[:1]
		}
		before := 0
		for _, m := range invocation {
			before = max(before, hops[m.id])
		}
		retained := r.invoke(t.Context(), invocation...)
		queue = slices.DeleteFunc(append(queue, fresh), func(m in) bool {
			return slices.ContainsFunc(invocation, func(i in) bool { return i.id == m.id }) && !slices.Contains(retained, m.id)
		})
		for i, m := range bulk.deadLetters {
			id := fmt.Sprintf("only-%d-%d", n, i)
			queue = append(queue, in{id: id, body: m.Body, queue: bulkQueue, sent: time.Now(), receives: 1})
			hops[id] = before + 1
			most, deferred = max(most, before+1), deferred+1
		}
		bulk.deadLetters = nil
		time.Sleep(time.Minute)
	}
	if most != 2 || deferred < 3 {
		t.Errorf("%d messages were deferred, and one is %d hops from its source, want 2", deferred, most)
	}
	a.put, bulk.send = nil, nil
	time.Sleep(time.Hour)
	want(t, "retained", r.invoke(t.Context(), queue...), []string{})
	have := map[string]bool{}
	for _, record := range a.records {
		have[string(record.Event)] = true
	}
	if len(have) != 60 {
		t.Errorf("%d events are archived, want 60", len(have))
	}
}

func TestWithoutAnArchiveNothingIsPutAndAnArchiveOnlyMessageIsADeadLetter(t *testing.T) {
	r, bulk, a := newArchiveRig(t, nil)
	a.put = away
	r.invoke(t.Context(), one("a"))
	only := fromBulk(bulk, 1)
	without, _ := newBulkRig(t, nil)
	want(t, "retained", without.invoke(t.Context(), only...), []string{})
	want(t, "dead letters", without.last.DeadLettered, map[string]int{message.ReasonUndecodable: 1})
	dead := without.queue.deadLetters[0]
	if dead.Body != only[0].body || !strings.Contains(attr(dead, message.AttrDetail), "archive-only") {
		t.Errorf("the dead letter %q, %q", dead.Body, attr(dead, message.AttrDetail))
	}

	// Redriven to a version that has an archive it is archived, even while Segment is down.
	with, _, archived := newArchiveRig(t, func(context.Context, *event.Batch) error { return status(503) })
	synctest.Test(t, func(t *testing.T) {
		for range breakAfter {
			with.invoke(t.Context(), one("b"))
		}
		if !with.last.BreakerOpen {
			t.Fatal("the breaker is closed")
		}
		redriven := only[0]
		redriven.deadLetterID = attr(dead, message.AttrDeadLetterID)
		want(t, "retained", with.invoke(t.Context(), redriven), []string{})
	})
	want(t, "archived", len(archived.records), 1)
}

func TestADamagedArchiveOnlyMessageIsADeadLetter(t *testing.T) {
	r, _, a := newArchiveRig(t, nil)
	for name, frame := range map[string][]byte{
		"cut short": []byte("\x28\xb5\x2f\xfd\x04\x00"), "no records": frameOf(t, "no record\n"), "no frame": []byte("\x28\xb5\x2f\xfdxyz"),
	} {
		m, err := message.NewArchiveOnly(frame, 1)
		if err != nil {
			t.Fatal(err)
		}
		want(t, name+": retained", r.invoke(t.Context(), in{id: "a", body: m.Body, queue: bulkQueue}), []string{})
		want(t, name+": dead letters", r.last.DeadLettered, map[string]int{message.ReasonUndecodable: 1})
	}
	for _, record := range a.records { // they are archived as what they are
		if record.Outcome != archive.DeadLettered {
			t.Errorf("%+v", record)
		}
	}
	want(t, "records", len(a.records), 3)
}

// Each of these is read in milliseconds, or an invocation has no time for its other messages.
func TestAFrameThatTheArchiveWouldNotMakeIsADeadLetter(t *testing.T) {
	record := `{"time":"2026-11-27T14:03:05.123Z","outcome":"delivered","event":{}}` + "\n"
	whole := frameOf(t, record)
	for name, frame := range map[string][]byte{
		"32 GB of line breaks":       repeatedByte('\n', 190_000),
		"32 GB without a line break": repeatedByte('x', 190_000),
		"1 GB of line breaks":        repeatedByte('\n', 8_000),
		"many frames":                bytes.Repeat(repeatedByte('\n', 60), 2_900),
		"two frames":                 append(bytes.Clone(whole), whole...),
		"bytes behind the frame":     append(bytes.Clone(whole), "rest"...),
		"a skippable frame before":   append([]byte("\x50\x2a\x4d\x18\x00\x00\x00\x00"), whole...),
		"only line breaks":           frameOf(t, "\n\n"),
		"no line":                    frameOf(t, ""),
	} {
		// These are the errors of a reader that has stopped at its bounds: what it reads to the end
		// has others.
		_, err := recordsOf(frame)
		if err == nil || !errors.Is(err, errNotOneFrame) && !strings.Contains(err.Error(), "a line has more than 8 MiB") {
			t.Errorf("%s: %v", name, err)
		}
	}
	if n, err := recordsOf(whole); err != nil || n != 1 {
		t.Errorf("a frame of the archive: %d, %v", n, err)
	}
}

// repeatedByte is a frame of blocks that each are 128 KiB of the same byte, and take four bytes
// (RFC 8878, 3.1.1.2).
func repeatedByte(c byte, blocks int) []byte {
	frame := []byte("\x28\xb5\x2f\xfd\x00\x50") // a window of 1 MiB
	for i := range blocks {
		header := 128<<10<<3 | 1<<1
		if i == blocks-1 {
			header |= 1
		}
		frame = append(frame, byte(header), byte(header>>8), byte(header>>16), c)
	}
	return frame
}

func TestCanariesAreNotArchived(t *testing.T) {
	r, _, a := newArchiveRig(t, nil)
	r.Handler = r.handler(Config{Segment: r.segment, WriteKey: keyA, CanaryWriteKey: keyB, CanaryEndsHere: true, Archive: a})
	r.invoke(t.Context(), in{id: "a", sent: time.Now(), body: body(keyB, track("canary", 200))})
	if len(a.records) != 0 || a.calls != 0 {
		t.Errorf("%d calls, archived %v", a.calls, a.events())
	}
}

func TestAnArchiveThatHangsHoldsUpOneInvocationAndThenNone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, bulk, a := newArchiveRig(t, nil)
		a.put = func(ctx context.Context, _ []archive.Frame) error {
			<-ctx.Done()
			return ctx.Err()
		}
		var took []time.Duration
		for n := range 5 {
			began := time.Now()
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			want(t, "retained", r.invoke(ctx, one(fmt.Sprint(n))), []string{})
			cancel()
			took = append(took, time.Since(began))
		}
		if took[0] > archiveTimeout+time.Second || took[1] > time.Second || took[4] > time.Second || len(bulk.deadLetters) != 5 {
			t.Errorf("the invocations took %v; %d messages in the bulk queue", took, len(bulk.deadLetters))
		}
		time.Sleep(2 * maxArchivePause)
		a.put = nil
		r.invoke(t.Context(), one("later"))
		want(t, "archived, deferred, not archived", r.archived(), [3]int{1, 0, 0})
	})
}

func TestTheInvocationAnswersInTimeIfEverythingHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, bulk, a := newArchiveRig(t, func(ctx context.Context, b *event.Batch) error {
			if b.WriteKey == keyB {
				<-ctx.Done()
				return &segment.Error{Class: segment.Transient, Err: ctx.Err()}
			}
			return nil
		})
		a.put = func(ctx context.Context, _ []archive.Frame) error { <-ctx.Done(); return ctx.Err() }
		bulk.send = func(ctx context.Context, _ []message.Message) error { <-ctx.Done(); return ctx.Err() }
		r.queue.send = bulk.send
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		retained := r.invoke(ctx, one("a"), in{id: "b", sent: time.Now(), body: body(keyB, track("b", 200))},
			in{id: "c", sent: time.Now(), body: "no JSON"})
		want(t, "retained", retained, []string{"a", "b", "c"})
		if ctx.Err() != nil {
			t.Error("the handler answered too late")
		}
	})
}

func TestAMessageWhoseDeadLetterCanNotBeWrittenIsNotArchived(t *testing.T) {
	r, _, a := newArchiveRig(t, nil)
	r.queue.send = func(context.Context, []message.Message) error { return errors.New("no") }
	want(t, "retained", r.invoke(t.Context(), in{id: "a", sent: time.Now(), body: body(keyA, track("a", 200), "7")}),
		[]string{"a"})
	if len(a.records) != 0 {
		t.Errorf("archived %v", a.events())
	}
}

func frameOf(t *testing.T, lines string) []byte {
	t.Helper()
	frame, err := base64.StdEncoding.DecodeString(zipped(t, lines))
	if err != nil {
		t.Fatal(err)
	}
	return frame
}

func TestAnInvocationWithoutTimeLeftSaysNothingAboutTheArchive(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, bulk, a := newArchiveRig(t, nil)
		a.put = func(ctx context.Context, _ []archive.Frame) error {
			select {
			case <-ctx.Done():
				return ctx.Err()
			case <-time.After(700 * time.Millisecond):
				return nil
			}
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		r.invoke(ctx, one("late"))
		want(t, "deferred", len(bulk.deadLetters), 1)
		r.invoke(t.Context(), one("next"))
		want(t, "archived, deferred, not archived", r.archived(), [3]int{1, 0, 0})
	})
}
