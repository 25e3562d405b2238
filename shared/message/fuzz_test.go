package message

import (
	"bytes"
	"errors"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/spillwayhq/spillway/shared/event"
	"github.com/spillwayhq/spillway/shared/rawjson"
)

// FuzzDecode: no body makes it panic; an error has a reason; and what it accepts as a batch reads
// the same when AppendJSON has written it again.
func FuzzDecode(f *testing.F) {
	c := newCompressor(f)
	batch := `{"writeKey":"k\u0041","origin":"client","receivedAt":"2026-01-02T03:04:05.678Z","context":{"a":1},"integrations":{},"batch":[` + run + `,{},7]}`
	packed := c.Compress([]byte(batch))
	for _, seed := range []string{
		"", " ", "{", run, batch, packed, packed[:len(packed)-4], packed[:len(packed)/2], "KLUv/", "KLUv/QBY", `{"batch":[]}`,
		`{"archiveFrame":"KLUv/QQ=","batch":[]}`, `{"archiveFrame":"KLUv/","batch":[]}`,
		`{"batch":[{}],"batch":[{}]}`,
		`{"batch":[{"a":null}],"context":null,"origin":"server"}`, "{\"batch\":[{\"a\":\"\xff\"}]}",
		`{"batch":[{}],"receivedAt":"2026-01-02T03:04:05.6789Z"}`,
		strings.Repeat(`{"a":`, 100), c.Compress([]byte(strings.Repeat(" ", MaxRawBytes+1))),
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		d := newDecoder(t)
		before := bytes.Clone(body)
		var m Content
		err := d.Decode(body, &m)
		if !bytes.Equal(body, before) {
			t.Fatalf("the body was changed from %q to %q", before, body)
		}
		if err != nil {
			var e *DecodeError
			if !errors.As(err, &e) || e.Reason != ReasonUndecodable && e.Reason != ReasonTooLarge {
				t.Fatalf("error %v", err)
			}
			return
		}
		if len(m.Events) == 0 {
			t.Fatalf("%q was read and has no event", body)
		}
		if m.Size() > MaxRawBytes {
			t.Fatalf("%d bytes of events", m.Size())
		}
		var events [][]byte
		for i := range m.Events {
			if !rawjson.Valid(m.Events[i].Raw) {
				t.Fatalf("%q: event %d is %q", body, i, m.Events[i].Raw)
			}
			events = append(events, m.Events[i].Raw)
		}
		again := AppendJSON(nil, m.Header, events...)
		if len(again) > MaxRawBytes {
			return
		}
		var back Content
		if err := newDecoder(t).Decode(again, &back); err != nil {
			t.Fatalf("%q was read, and %q of it was not: %v", body, again, err)
		}
		back.HasOrigin = m.HasOrigin // it is always written
		m.ReceivedAt = m.ReceivedAt.Truncate(time.Millisecond)
		if text(&back) != text(&m) {
			t.Fatalf("%q reads as\n%s\nand written again as\n%s", body, text(&m), text(&back))
		}
	})
}

// FuzzPack: what is packed is read as it was.
func FuzzPack(f *testing.F) {
	f.Add("key", false, []byte(`{"a":1}`), []byte(run), 3)
	f.Add("", true, []byte(nil), []byte("{\"a\":\"\xff\"}"), 1)
	f.Add("k\"\\\x00\xff", true, []byte(`{"a":{"b":[]}}`), []byte(` [1, 2] `), 200)
	f.Add("k", false, []byte(`{}`), []byte("{\"a\":\"\uffff\"}"), 1)
	f.Fuzz(func(t *testing.T, key string, client bool, context, raw []byte, n int) {
		if !rawjson.Valid(raw) || len(raw) > event.MaxEventBytes {
			return
		}
		h := Header{WriteKey: key, ReceivedAt: time.UnixMilli(1_700_000_000_123)}
		if client {
			h.Origin = event.FromClient
		}
		// A caller must not give a context that Decode would refuse.
		var probe Content
		if newDecoder(t).Decode([]byte(`{"batch":[{}],"context":`+string(context)+`}`), &probe) == nil &&
			len(probe.Events) == 1 && string(probe.Events[0].Raw) == "{}" {
			h.Context = probe.Context
		}
		p := NewPacker(h, newCompressor(t))
		n = 1 + (n%300+300)%300
		for range n {
			if !p.Fits(len(raw)) {
				break
			}
			p.Add(raw)
		}
		n = p.Len()
		packed := p.Pack()
		if len(packed.Body) > maxMessage || packed.Attributes[AttrEventCount].Text != strconv.Itoa(n) {
			t.Fatalf("%v events of %d in %d bytes", packed.Attributes[AttrEventCount], n, len(packed.Body))
		}
		var m Content
		if err := newDecoder(t).Decode([]byte(packed.Body), &m); err != nil {
			t.Fatalf("%q: %v", packed.Body, err)
		}
		// Runes, because each byte that is not UTF-8 becomes U+FFFD of its own.
		if m.WriteKey != string([]rune(key)) || m.Origin != h.Origin || string(m.Context) != string(h.Context) ||
			!m.ReceivedAt.Equal(h.ReceivedAt) || len(m.Events) != n {
			t.Fatalf("header %+v and %d events, want %+v and %d", m.Header, len(m.Events), h, n)
		}
		for i := range m.Events {
			if want := bytes.Trim(raw, " \t\r\n"); !bytes.Equal(m.Events[i].Raw, want) {
				t.Fatalf("event %d is %q, want %q", i, m.Events[i].Raw, want)
			}
		}
	})
}
