package archive

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/spillwayhq/spillway/shared/event"
)

var moment = time.Date(2026, 11, 27, 14, 3, 5, 123e6, time.UTC)

func TestARecordIsOneLineWithTheEventLast(t *testing.T) {
	full := Record{
		Time: moment, Outcome: DeadLettered, Reason: "rejected", Detail: "Segment: \"no\"\n", WriteKey: "key", Replay: "r1",
		ReceivedAt: moment.Add(-time.Second), Origin: event.FromClient, Receives: 3,
		Context: []byte(`{"ip": "1.2.3.4"}`), Integrations: []byte(`{"All":false}`), Event: []byte(`{"type":"track"}`),
	}
	for _, c := range []struct {
		name string
		r    Record
		want string
	}{
		{"everything", full, `{"time":"2026-11-27T14:03:05.123Z","outcome":"dead_lettered","reason":"rejected",` +
			`"detail":"Segment: \"no\"\u000a","write_key":"key","replay":"r1","received_at":"2026-11-27T14:03:04.123Z",` +
			`"origin":"client","receives":3,"context":{"ip": "1.2.3.4"},"integrations":{"All":false},"event":{"type":"track"}}`},
		{"only what must be", Record{Time: moment, Outcome: Delivered, Receives: 1, Event: []byte(`1`)},
			`{"time":"2026-11-27T14:03:05.123Z","outcome":"delivered","origin":"server","event":1}`},
		{"what is no JSON", Record{Time: moment, Outcome: Delivered, Event: []byte("{\xff")},
			`{"time":"2026-11-27T14:03:05.123Z","outcome":"delivered","origin":"server","event_base64":"e/8="}`},
		{"nothing", Record{Time: moment, Outcome: Delivered, Event: []byte{}},
			`{"time":"2026-11-27T14:03:05.123Z","outcome":"delivered","origin":"server","event_base64":""}`},
		{"a line break", Record{Time: moment, Outcome: Delivered, Event: []byte("{\n}"), Scanned: true, Context: []byte("{\r\n}")},
			`{"time":"2026-11-27T14:03:05.123Z","outcome":"delivered","origin":"server","context":{  },"event_base64":"ewp9"}`},
		{"a context that is no object", Record{Time: moment, Outcome: Delivered, Event: []byte("{}"), Context: []byte("{]")},
			`{"time":"2026-11-27T14:03:05.123Z","outcome":"delivered","origin":"server","event":{}}`},
		{"characters that are not UTF-8", Record{Time: moment, Outcome: Delivered, Event: []byte("\"\xff\"")},
			`{"time":"2026-11-27T14:03:05.123Z","outcome":"delivered","origin":"server","event_base64":"Iv8i"}`},
	} {
		line := AppendRecord([]byte("before"), &c.r)[len("before"):]
		if string(line) != c.want+"\n" || !json.Valid(line) {
			t.Errorf("%s:\n%s\nwant\n%s", c.name, line, c.want)
		}
		got, err := ParseRecord(line)
		if err != nil || !bytes.Equal(got.Event, c.r.Event) || got.Time != c.r.Time || got.Outcome != c.r.Outcome {
			t.Errorf("%s: read as %+v, %v", c.name, got, err)
		}
	}
	got, err := ParseRecord(AppendRecord(nil, &full))
	full.Scanned = true
	if err != nil || !reflect.DeepEqual(got, full) {
		t.Errorf("read as\n%+v, %v, want\n%+v", got, err, full)
	}
}

func TestALineThatIsNoRecordIsRefused(t *testing.T) {
	for line, want := range map[string]string{
		``:                                   "unexpected end",
		`[]`:                                 "expected an object",
		`{"a"`:                               "expected ':'",
		`{"outcome":"delivered","event":{}}`: "no time",
		`{"time":"2026-11-27T14:03:05.123Z","event":{}}`:                                                                  "no outcome",
		`{"time":"2026-11-27T14:03:05.123Z","outcome":"delivered"}`:                                                       "neither event",
		`{"time":"x","outcome":"delivered","event":1}`:                                                                    "time: it must be a time",
		`{"time":"2026-11-27T14:03:05.123Z","outcome":1,"event":1}`:                                                       "outcome: it must be a string",
		`{"time":"2026-11-27T14:03:05.123Z","outcome":"delivered","event_base64":"*"}`:                                    "event_base64: illegal base64",
		`{"time":"2026-11-27T14:03:05.123Z","outcome":"delivered","receives":-1,"event":1}`:                               "receives: it must be a number",
		`{"time":"2026-11-27T14:03:05.123Z","outcome":"delivered","context":[],"event":1}`:                                "context: it must be an object",
		`{"time":"2026-11-27T14:03:05.123Z","outcome":"delivered","part":3,"parts":2,"whole":"x","record_base64":"e30="}`: "part 3 of 2",
	} {
		if _, err := ParseRecord([]byte(line)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", line, err, want)
		}
	}
}

func TestFieldsOfANewerVersionAreIgnored(t *testing.T) {
	r, err := ParseRecord([]byte(`{"event":{"a":1},"new":{"event":2},"time":"2026-11-27T14:03:05Z","outcome":"later","origin":7,"reason":null}`))
	if err == nil || !strings.Contains(err.Error(), "origin") {
		t.Errorf("%+v, %v", r, err)
	}
	r, err = ParseRecord([]byte(`{"event":{"a":1},"new":{"event":2},"time":"2026-11-27T14:03:05Z","outcome":"later","reason":null}`))
	if err != nil || string(r.Event) != `{"a":1}` || r.Outcome != "later" {
		t.Errorf("%+v, %v", r, err)
	}
}

// random is text that zstd can't compress by more than a quarter.
func random(n int) string {
	r := rand.NewChaCha8([32]byte{byte(n), byte(n >> 8), byte(n >> 16)})
	b := make([]byte, n*3/4+3)
	r.Read(b)
	return base64.StdEncoding.EncodeToString(b)[:n]
}

func newPacker(t testing.TB) *Packer {
	t.Helper()
	p, err := NewPacker()
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// readAll reads a concatenation of frames.
func readAll(t testing.TB, object []byte) (records []Record, damage []*DamageError) {
	t.Helper()
	r, err := NewReader(bytes.NewReader(object), 0)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	var joiner Joiner
	for {
		block, err := r.Next()
		if d, ok := errors.AsType[*DamageError](err); ok {
			damage = append(damage, d)
			continue
		}
		if err == io.EOF {
			if n := joiner.Incomplete(); n > 0 {
				t.Logf("%d records are incomplete", n)
			}
			return records, damage
		}
		if err != nil {
			t.Fatal(err)
		}
		for line := range block.Lines() {
			record, err := ParseRecord(bytes.Clone(line))
			if err != nil {
				t.Fatal(err)
			}
			if whole, ok, err := joiner.Add(record); err != nil {
				t.Fatal(err)
			} else if ok {
				records = append(records, whole)
			}
		}
	}
}

func TestFramesHoldEveryRecordWithItsOwner(t *testing.T) {
	p := newPacker(t)
	var want []string
	add := func(owner int, event string) {
		p.Add(&Record{Time: moment, Outcome: Delivered, Event: []byte(event)}, owner)
		want = append(want, event)
	}
	for i := range 3000 {
		add(i/100, `{"i":"`+random(500+i%700)+`"}`)
	}
	add(100, random(3<<20)) // not JSON: in base64 it is larger than a frame
	add(101, `"`+random(900<<10)+`"`)
	add(102, `{"last":true}`)
	var object []byte
	var owners []int
	records := 0
	for i, f := range p.Frames() {
		if len(f.Data) > MaxFrameBytes || f.Lines > MaxLinesBytes {
			t.Errorf("frame %d has %d bytes, of %d bytes of lines", i, len(f.Data), f.Lines)
		}
		object = append(object, f.Data...)
		records += f.Records
		owners = append(owners, f.Owners...)
	}
	if records != len(want) {
		t.Errorf("frames say %d records, want %d", records, len(want))
	}
	for owner := range 30 {
		if !slices.Contains(owners, owner) {
			t.Errorf("no frame has the owner %d", owner)
		}
	}
	for _, owner := range []int{100, 101, 102} {
		if !slices.Contains(owners, owner) {
			t.Errorf("no frame has the owner %d", owner)
		}
	}
	got, damage := readAll(t, object)
	if len(damage) > 0 || len(got) != len(want) {
		t.Fatalf("%d records, damage %v", len(got), damage)
	}
	for i := range got {
		if string(got[i].Event) != want[i] {
			t.Fatalf("record %d is %.50q, want %.50q", i, got[i].Event, want[i])
		}
	}
	if frames := p.Frames(); len(frames) != 0 {
		t.Errorf("%d frames are returned again", len(frames))
	}
}

// object makes an object of frames of a record each, and says where each frame begins.
func object(t testing.TB, events ...string) (data []byte, offsets []int) {
	p := newPacker(t)
	for _, e := range events {
		p.Add(&Record{Time: moment, Outcome: Delivered, Event: []byte(e)}, 0)
		offsets = append(offsets, len(data))
		for _, f := range p.Frames() {
			data = append(data, f.Data...)
		}
	}
	return data, append(offsets, len(data))
}

func TestEveryByteMayBeDamagedAndTheOtherFramesAreRead(t *testing.T) {
	events := []string{`{"n":1,"a":"` + random(100) + `"}`, `{"n":2,"a":"` + random(50) + `"}`, `{"n":3}`, `{"n":4}`}
	whole, offsets := object(t, events...)
	for i := range whole {
		damaged := bytes.Clone(whole)
		damaged[i] ^= 0x55
		hit := 0
		for offsets[hit+1] <= i {
			hit++
		}
		records, damage := readAll(t, damaged)
		if len(records) == len(events) && len(damage) == 0 { // a bit that says nothing
			continue
		}
		if len(damage) == 0 || len(records) != len(events)-1 {
			t.Errorf("byte %d, in frame %d: %d records, damage %v", i, hit, len(records), damage)
			continue
		}
		if at := damage[0].Offset; at != int64(offsets[hit]) {
			t.Errorf("byte %d: the damage is at %d, the frame at %d", i, at, offsets[hit])
		}
		lost := int64(0)
		for _, d := range damage {
			lost += d.Bytes
		}
		if want := int64(offsets[hit+1] - offsets[hit]); lost != want {
			t.Errorf("byte %d: %d bytes are damaged, of a frame of %d", i, lost, want)
		}
	}
}

func TestAnObjectThatEndsTooEarlyIsReadUpToThere(t *testing.T) {
	whole, offsets := object(t, `{"n":1}`, `{"n":2,"a":"`+random(50)+`"}`)
	for end := range whole {
		records, damage := readAll(t, whole[:end])
		want := 0
		for want+1 < len(offsets) && offsets[want+1] <= end {
			want++
		}
		if len(records) != want || (len(damage) == 0) != (end == offsets[want]) {
			t.Errorf("of %d bytes: %d records, damage %v", end, len(records), damage)
		}
	}
}

// A batch may hold a null where an event should be, and that is a dead letter like any other.
func TestAnEventThatIsNullIsARecord(t *testing.T) {
	line := AppendRecord(nil, &Record{Time: time.Now(), Outcome: DeadLettered, Event: []byte("null")})
	r, err := ParseRecord(line)
	if err != nil || string(r.Event) != "null" {
		t.Errorf("%s is read as %q: %v", line, r.Event, err)
	}
}

// Firehose may deliver a frame twice, so that a part is read twice, the second time when its record
// was given already.
func TestAPartThatComesAgainIsNoRecordThatLacksOne(t *testing.T) {
	var all []Record
	data, _ := object(t, `{"a":"`+random(2_000_000)+`"}`)
	if _, err := Select(t.Context(), bytes.NewReader(data), 0, 1, func([]byte) bool { return true }, func(l Line) error {
		r, err := ParseRecord(bytes.Clone(l.Data))
		all = append(all, r)
		return err
	}); err != nil {
		t.Fatal(err)
	}
	if len(all) < 2 {
		t.Fatalf("the record has %d parts", len(all))
	}
	var j Joiner
	given := 0
	for _, r := range slices.Concat(all, all[1:], all) {
		_, ok, err := j.Add(r)
		if err != nil {
			t.Fatal(err)
		}
		if ok {
			given++
		}
	}
	clone := j.Clone()
	if _, ok, err := clone.Add(all[0]); ok || err != nil || given != 1 || j.Incomplete()+clone.Incomplete() != 0 || j.held != 0 {
		t.Errorf("given %d times; %d records lack a part, %d bytes are held", given, j.Incomplete(), j.held)
	}
}
