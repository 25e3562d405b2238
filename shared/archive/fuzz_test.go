package archive

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/spillwayhq/spillway/shared/event"
)

// FuzzRecord writes a record with anything in it. It must be one line of JSON, and be read as it
// was.
func FuzzRecord(f *testing.F) {
	f.Add([]byte(`{"type":"track"}`), []byte(`{"ip":"1"}`), "detail", "key", int64(1e18), true)
	f.Add([]byte("{\n}"), []byte("{\n}"), "\x00\xff", "", int64(-1), false)
	f.Add([]byte(`"a\u2028`+"\u2028\""), []byte(nil), "", "k", int64(0), true)
	f.Fuzz(func(t *testing.T, eventBytes, context []byte, text, key string, nanos int64, client bool) {
		r := Record{Time: time.Unix(0, nanos), Outcome: DeadLettered, Reason: text, Detail: text, WriteKey: key, Event: eventBytes,
			Context: context, Receives: int(nanos % 1000)}
		if client {
			r.Origin = event.FromClient
		}
		line := AppendRecord(nil, &r)
		if !json.Valid(line) || bytes.IndexByte(line, '\n') != len(line)-1 || bytes.IndexByte(line, '\r') >= 0 {
			t.Fatalf("not a line of JSON: %q", line)
		}
		got, err := ParseRecord(line)
		if err != nil || !bytes.Equal(got.Event, eventBytes) || got.Time != r.Time.UTC().Truncate(time.Millisecond) ||
			got.Origin != r.Origin {
			t.Fatalf("%q is read as %+v, %v", line, got, err)
		}
		if want := string([]rune(key)); got.WriteKey != want {
			t.Fatalf("the write key %q is read as %q", key, got.WriteKey)
		}
		if again := AppendRecord(nil, &got); !bytes.Equal(again, line) {
			t.Fatalf("written again:\n%s\n%s", line, again)
		}
	})
}

// FuzzParseRecord reads any line.
func FuzzParseRecord(f *testing.F) {
	for _, r := range []Record{
		{Time: moment, Outcome: Delivered, Event: []byte("{}")}, {Time: moment, Outcome: Delivered, Event: []byte("{")},
		{Time: moment, Outcome: Delivered, Part: 1, Parts: 2, Whole: "x", data: []byte("y")},
	} {
		f.Add(AppendRecord(nil, &r))
	}
	f.Fuzz(func(t *testing.T, line []byte) {
		r, err := ParseRecord(line)
		if err != nil {
			return
		}
		again, err := ParseRecord(AppendRecord(nil, &r))
		if err != nil || again.Time != r.Time.Truncate(time.Millisecond) || !bytes.Equal(again.Event, r.Event) {
			t.Fatalf("%q is read as %+v, and that as %+v, %v", line, r, again, err)
		}
		var j Joiner
		if _, ok, err := j.Add(r); err == nil && !ok && j.Incomplete() != 1 {
			t.Fatalf("%q is neither whole nor a part", line)
		}
		AppendTerms(nil, &r)
	})
}

type reading struct {
	lines  []string
	damage []DamageError
}

// add adds damage. How damage that touches is divided does not matter.
func (r *reading) add(d *DamageError) {
	if n := len(r.damage); n > 0 && r.damage[n-1].Offset+r.damage[n-1].Bytes == d.Offset {
		r.damage[n-1].Bytes += d.Bytes
		return
	}
	r.damage = append(r.damage, DamageError{d.Offset, d.Bytes, nil})
}

// FuzzReader reads any object. The blocks and the damage must be all of it, and a Select must find
// the same.
func FuzzReader(f *testing.F) {
	whole, offsets := object(f, `{"n":1,"a":"`+random(30)+`"}`, `{"n":2}`, `{"n":3}`)
	f.Add(whole)
	f.Add(whole[:len(whole)-3])
	f.Add(slices.Concat(whole[:offsets[1]], []byte("\x50\x2a\x4d\x18\x02\x00\x00\x00ab"), whole[offsets[1]:]))
	f.Add(slices.Concat(whole[:offsets[2]-5], whole))
	f.Add([]byte("{\"n\":1}\n"))
	f.Add(slices.Concat(whole[:offsets[1]], packed(f, make([]byte, MaxLinesBytes+5)), whole[offsets[1]:]))
	f.Fuzz(func(t *testing.T, object []byte) {
		r, err := NewReader(bytes.NewReader(object), 0)
		if err != nil {
			t.Fatal(err)
		}
		defer r.Close()
		var got reading
		end := int64(0)
		for {
			block, err := r.Next()
			if err == io.EOF {
				break
			}
			offset, size := block.Offset, block.Bytes
			if d, ok := errors.AsType[*DamageError](err); ok {
				offset, size = d.Offset, d.Bytes
				got.add(d)
			} else if err != nil {
				t.Fatal(err)
			}
			if offset < end || size <= 0 && !block.Partial || offset+size > int64(len(object)) {
				t.Fatalf("%d bytes at %d, after byte %d of %d", size, offset, end, len(object))
			}
			end = offset + size
			for line := range block.Lines() {
				got.lines = append(got.lines, string(line))
			}
		}
		var selected reading
		stats, err := Select(t.Context(), bytes.NewReader(object), 0, 2, func([]byte) bool { return true },
			func(l Line) error { selected.lines = append(selected.lines, string(l.Data)); return nil })
		if err != nil || stats.Lines != int64(len(got.lines)) {
			t.Fatalf("%+v, %v", stats, err)
		}
		for _, d := range stats.Damage {
			selected.add(d)
		}
		if !reflect.DeepEqual(got, selected) {
			t.Fatalf("read\n%+v\nselected\n%+v", got, selected)
		}
	})
}
