package message

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/spillwayhq/spillway/shared/event"
)

// maxMessage is what SQS takes, attributes included (SQS developer guide, message quotas); ours
// have less than 100 bytes.
const maxMessage = 1<<20 - 100

func TestAppendJSONWritesTheHeaderAndTheEvents(t *testing.T) {
	at := time.Date(2026, 1, 2, 3, 4, 5, 678_900_000, time.FixedZone("", -7200))
	for _, c := range []struct {
		header Header
		events []string
		want   string
	}{
		{Header{}, nil, `{"origin":"server","batch":[]}`},
		{Header{}, []string{`{}`}, `{"origin":"server","batch":[{}]}`},
		{Header{WriteKey: "a\"b\\c\n\x01é\xff"}, []string{`{}`},
			`{"writeKey":"a\"b\\c\u000a\u0001é` + "\ufffd" + `","origin":"server","batch":[{}]}`},
		{
			Header{WriteKey: "k", Origin: event.FromClient, Context: []byte(`{ "a":1}`), Integrations: []byte(`{}`),
				ReceivedAt: at}, []string{`{"n":12345678901234567890}`, ` 7`},
			`{"writeKey":"k","origin":"client","receivedAt":"2026-01-02T05:04:05.678Z","context":{ "a":1},"integrations":{},"batch":[{"n":12345678901234567890}, 7]}`,
		},
	} {
		var events [][]byte
		for _, e := range c.events {
			events = append(events, []byte(e))
		}
		got := AppendJSON([]byte("before"), c.header, events...)
		if string(got) != "before"+c.want || !json.Valid(got[len("before"):]) {
			t.Errorf("%s\nwant before%s", got, c.want)
		}
	}
}

// textEvent is an event of about n bytes that compresses as events do.
func textEvent(i, n int) []byte {
	e := fmt.Appendf(nil, `{"type":"track","userId":"user-%d","event":"Order Completed","messageId":"m-%08d","properties":{"total":%d.5,"text":"`, i%977, i, i%500)
	for j := 0; len(e) < n-3; j++ {
		e = fmt.Appendf(e, "%d green apples and ", (i*31+j*17)%100)
	}
	return append(e[:n-3], `"}}`...)
}

// noise is an event of n bytes that compression does not make shorter.
func noise(r *rand.ChaCha8, n int) []byte {
	const head, tail = `{"type":"track","userId":"u","event":"e","x":"`, `"}`
	random := make([]byte, n)
	r.Read(random)
	return []byte(head + base64.StdEncoding.EncodeToString(random)[:n-len(head)-len(tail)] + tail)
}

func TestAPackedMessageIsReadAsItWasPacked(t *testing.T) {
	h := Header{
		WriteKey: "key", Origin: event.FromClient, Context: []byte(`{"app":{"name":"shop"}}`),
		Integrations: []byte(`{"All":true}`),
		ReceivedAt:   time.Date(2026, 1, 2, 3, 4, 5, 6_000_000, time.UTC),
	}
	p := NewPacker(h, newCompressor(t))
	d := newDecoder(t)
	for _, n := range []int{1, 2, 50, 300} { // the packer is used again
		var want [][]byte
		for i := range n {
			e := textEvent(i, 1100)
			want = append(want, e)
			if !p.Fits(len(e)) {
				t.Fatalf("event %d of %d does not fit", i, n)
			}
			p.Add(e)
		}
		if p.Len() != n {
			t.Errorf("%d events were added, want %d", p.Len(), n)
		}
		packed := p.Pack()
		if p.Len() != 0 {
			t.Errorf("%d events are left after Pack", p.Len())
		}
		expected := Message{Body: packed.Body, Attributes: map[string]Attribute{
			"Event-Count": {"Number", fmt.Sprint(n)}, "Origin": {"String", "client"},
		}}
		if strings.HasPrefix(packed.Body, zstdMagic) {
			expected.Attributes["Content-Encoding"] = Attribute{"String", "zstd"}
		}
		if !reflect.DeepEqual(packed, expected) {
			t.Errorf("packed %d events: attributes %v, want %v", n, packed.Attributes, expected.Attributes)
		}
		var m Content
		if err := d.Decode([]byte(packed.Body), &m); err != nil {
			t.Fatal(err)
		}
		if m.WriteKey != h.WriteKey || m.Origin != h.Origin || !m.HasOrigin || string(m.Context) != string(h.Context) ||
			string(m.Integrations) != string(h.Integrations) || !m.ReceivedAt.Equal(h.ReceivedAt) || len(m.Events) != n {
			t.Fatalf("read %d events, header %+v", len(m.Events), m.Header)
		}
		for i := range want {
			if !bytes.Equal(m.Events[i].Raw, want[i]) || m.Events[i].Problem != nil {
				t.Errorf("event %d is %s (%v), want %s", i, m.Events[i].Raw, m.Events[i].Problem, want[i])
			}
		}
	}
}

func TestAMessageHoldsAtMostOneBatch(t *testing.T) {
	c := newCompressor(t)
	bytesOf := func(h Header, raw []byte) (events int, size int) {
		p := NewPacker(h, c)
		for p.Fits(len(raw)) {
			p.Add(raw)
			size += len(raw) + 1
		}
		return p.Len(), size
	}
	large := []byte(`{"a":"` + strings.Repeat("c", 100_000) + `"}`)
	for _, h := range []Header{{}, {WriteKey: "key", Context: large},
		{WriteKey: "key", Context: large, Integrations: large}} {
		room := event.Room(event.Overhead(h.WriteKey, h.Context, h.Integrations))
		raw := textEvent(0, 1100)
		if n, size := bytesOf(h, raw); n > event.MaxBatchEvents || size > room || size+len(raw)+1 <= room {
			t.Errorf("%d events of %d bytes in a room of %d", n, size, room)
		}
	}
	if n, _ := bytesOf(Header{}, []byte(`{}`)); n != event.MaxBatchEvents {
		t.Errorf("%d small events, want %d", n, event.MaxBatchEvents)
	}
	// An event that is too large, or has a context that leaves no room, gets a message of its own.
	for _, h := range []Header{{}, {Context: []byte(`{"a":"` + strings.Repeat("c", 490_000) + `"}`)}} {
		p := NewPacker(h, c)
		if !p.Fits(600_000) {
			t.Error("an empty packer refuses an event")
		}
		p.Add(textEvent(0, 600_000))
		if p.Fits(2) {
			t.Error("a second one is taken")
		}
	}
}

func TestTheLargestMessageIsSmallEnoughForSQS(t *testing.T) {
	random := rand.NewChaCha8([32]byte{1})
	for name, h := range map[string]Header{
		"no header": {}, "a context of 25 KB": {WriteKey: "key", Context: noise(random, 25_000)},
		"a context of 400 KB": {WriteKey: "key", Context: noise(random, 400_000)},
	} {
		for _, illegal := range []bool{false, true} {
			p := NewPacker(h, newCompressor(t))
			for i := 0; ; i++ {
				e := noise(random, event.MaxEventBytes)
				if illegal && i == 0 {
					e = append(e[:len(e)-5], "\uffff\"}"...) // SQS would not take it plain
				}
				if !p.Fits(len(e)) {
					break
				}
				p.Add(e)
			}
			n := p.Len()
			packed := p.Pack()
			if len(packed.Body) > maxMessage {
				t.Errorf("%s: a body of %d bytes", name, len(packed.Body))
			}
			if illegal && packed.Body[0] == '{' {
				t.Errorf("%s: plain, though SQS takes no U+FFFF", name)
			}
			if m, err := decode(t, packed.Body); err != nil || len(m.Events) != n || n == 0 {
				t.Errorf("%s: %v, %d events of %d", name, err, len(m.Events), n)
			}
		}
	}
}

func TestABodyThatSQSRefusesAsTextIsCompressed(t *testing.T) {
	for event, plain := range map[string]bool{
		`{"a":1}`: true, `{"a":"é 😀 \u0001 \uffff"}`: true, "{\"a\":\"\ufffd \u007f \ue000\"}": true, "{\t\n\r\"a\":1}": true,
		"{\"a\":\"\uffff\"}": false, "{\"a\":\"\ufffe\"}": false, "{\"a\":\"\xff\"}": false,
		"{\"a\":\"\xed\xa0\x80\"}": false,
	} {
		p := NewPacker(Header{}, newCompressor(t))
		p.Add([]byte(event))
		packed := p.Pack()
		_, zstd := packed.Attributes[AttrContentEncoding]
		if zstd == plain || !utf8.ValidString(packed.Body) {
			t.Errorf("%q: zstd is %v", event, zstd)
		}
		if m, err := decode(t, packed.Body); err != nil || len(m.Events) != 1 || string(m.Events[0].Raw) != event {
			t.Errorf("%q: %v, %s", event, err, text(m))
		}
	}
}

func TestACompressorIsSafeForConcurrentUse(t *testing.T) {
	c := newCompressor(t)
	var all sync.WaitGroup
	for n := range 4 {
		all.Go(func() {
			d, err := NewDecoder()
			if err != nil {
				t.Error(err)
				return
			}
			defer d.Close()
			var m Content
			for i := range 20 {
				event := textEvent(n*100+i, 2000)
				if err := d.Decode([]byte(c.Compress(event)), &m); err != nil || !bytes.Equal(m.Events[0].Raw, event) {
					t.Errorf("%v, %s", err, text(&m))
				}
			}
		})
	}
	all.Wait()
}

// BenchmarkPack and BenchmarkDecode work on messages of events of about 1.1 KB.
func BenchmarkPack(b *testing.B) {
	p := NewPacker(Header{WriteKey: "key"}, newCompressor(b))
	var events [][]byte
	for i := range 430 {
		events = append(events, textEvent(i, 1100))
	}
	b.ReportAllocs()
	for b.Loop() {
		for _, e := range events {
			p.Add(e)
		}
		p.Pack()
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*len(events)), "ns/event")
}

func BenchmarkDecode(b *testing.B) {
	for _, n := range []int{1, 250, 430} {
		b.Run(fmt.Sprintf("events=%d", n), func(b *testing.B) {
			p := NewPacker(Header{WriteKey: "key"}, newCompressor(b))
			for i := range n {
				p.Add(textEvent(i, 1100))
			}
			body := []byte(p.Pack().Body)
			d := newDecoder(b)
			var m Content
			b.ReportAllocs()
			for b.Loop() {
				if err := d.Decode(body, &m); err != nil || len(m.Events) != n {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*n), "ns/event")
		})
	}
}

func TestMessagesOfAWriteKeyAreAGroupThatDoesNotTellIt(t *testing.T) {
	c, err := NewCompressor()
	if err != nil {
		t.Fatal(err)
	}
	p := NewPacker(Header{}, c)
	group := func(h Header) string {
		p.Reset(h)
		p.Add([]byte(`{}`))
		m := p.Pack()
		return m.Group
	}
	if got := group(Header{WriteKey: "a"}); got != "" {
		t.Errorf("a Packer that is not fair made the group %q", got)
	}
	p.Fair = true
	a, again, b, none := group(Header{WriteKey: "a"}), group(Header{WriteKey: "a", Origin: event.FromClient}),
		group(Header{WriteKey: "b"}), group(Header{})
	if a != again || a == b || a == none || a == "a" || a != GroupID("a") {
		t.Errorf("the groups are %q and %q of one key, %q of another, %q without one", a, again, b, none)
	}
	// SQS takes 1 to 128 alphanumeric characters and punctuation.
	for _, id := range []string{a, none, GroupID("\x00\u00e9 " + strings.Repeat("x", 1000))} {
		if len(id) < 1 || len(id) > 128 || strings.ContainsFunc(id, func(r rune) bool { return r <= ' ' || r > '~' }) {
			t.Errorf("SQS refuses the group %q", id)
		}
	}
}
