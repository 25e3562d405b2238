package message

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"math/bits"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"
	"go.uber.org/goleak"

	"github.com/spillwayhq/spillway/shared/event"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const run = `{"type":"track","userId":"u","event":"Run Started"}`

func newDecoder(t testing.TB) *Decoder {
	t.Helper()
	d, err := NewDecoder()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(d.Close)
	return d
}

func newCompressor(t testing.TB) *Compressor {
	t.Helper()
	c, err := NewCompressor()
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func decode(t testing.TB, body string) (*Content, error) {
	t.Helper()
	var m Content
	err := newDecoder(t).Decode([]byte(body), &m)
	return &m, err
}

// text shows a message for comparison.
func text(m *Content) string {
	var b strings.Builder
	fmt.Fprintf(&b, "key=%s origin=%v/%v context=%s integrations=%s", m.WriteKey, m.Origin, m.HasOrigin, m.Context,
		m.Integrations)
	if !m.ReceivedAt.IsZero() {
		fmt.Fprintf(&b, " received=%s", m.ReceivedAt.UTC().Format(time.RFC3339Nano))
	}
	for _, e := range m.Events {
		fmt.Fprintf(&b, " %s", e.Raw)
		if e.Problem != nil {
			fmt.Fprintf(&b, "(%s)", e.Problem.Code)
		}
	}
	return b.String()
}

const none = "key= origin=server/false context= integrations="

func TestABodyIsABatchOrAnEvent(t *testing.T) {
	for _, c := range []struct{ body, want string }{
		{run, none + " " + run},
		{" \r\n\t" + run + "\n", none + " " + run},
		{`{}`, none + ` {}(type_unknown)`},
		{`{"type":"track","userId":null,"event":"e"}`, none + ` {"type":"track","userId":null,"event":"e"}(no_user_anon_id)`},
		// The write key of a single event is the message's too; its other fields are its own.
		{`{"writeKey":"k","type":"identify","userId":"u","context":7,"integrations":[],"origin":"x","receivedAt":1}`,
			`key=k origin=server/false context= integrations= {"writeKey":"k","type":"identify","userId":"u","context":7,"integrations":[],"origin":"x","receivedAt":1}`},
		// A batch is an array; anything else of that name is the event's own.
		{`{"type":"identify","userId":"u","batch":7}`, none + ` {"type":"identify","userId":"u","batch":7}`},
		{`{"batch":{"a":1},"type":"identify"}`, none + ` {"batch":{"a":1},"type":"identify"}(no_user_anon_id)`},
		{`{"batch":null,"type":"identify","userId":"u"}`, none + ` {"batch":null,"type":"identify","userId":"u"}`},
		{`{"batch":[` + run + `],"type":"identify","batch":7}`,
			none + ` {"batch":[` + run + `],"type":"identify","batch":7}(no_user_anon_id)`},
		{`{"batch":[` + run + `]}`, none + " " + run},
		{` { "batch" : [ ` + run + ` , {} , 7,null ] } `,
			none + " " + run + ` {}(type_unknown) 7(not_an_object) null(not_an_object)`},
		{`{"writeKey":"a\u0022b","origin":"client","receivedAt":"2026-01-02T03:04:05.678+01:00","context":{"ip": "1"},"integrations":{},"sentAt":"x","batch":[{}]}`,
			`key=a"b origin=client/true context={"ip": "1"} integrations={} received=2026-01-02T02:04:05.678Z {}(type_unknown)`},
		{`{"batch":[{}],"origin":"server","writeKey":""}`, `key= origin=server/true context= integrations= {}(type_unknown)`},
		// null is absent
		{`{"writeKey":null,"origin":null,"receivedAt":null,"context":null,"integrations":null,"batch":[{}]}`,
			none + ` {}(type_unknown)`},
		// the last of duplicate keys counts, whatever the first was
		{`{"batch":[{"first":1},{}],"batch":[` + run + `]}`, none + " " + run},
		{`{"writeKey":7,"writeKey":"k","context":[],"context":{},"batch":[{}]}`,
			`key=k origin=server/false context={} integrations= {}(type_unknown)`},
		{"{\"context\":{\"a\":\"\xff\"},\"context\":{},\"batch\":[{}]}",
			`key= origin=server/false context={} integrations= {}(type_unknown)`},
		{`{"\u0062atch":[{}]}`, none + ` {}(type_unknown)`},
		{`{"Batch":[{}]}`, none + ` {"Batch":[{}]}(type_unknown)`},
		// A problem of one event does not affect the others.
		{"{\"batch\":[{\"a\":\"\xff\"}," + run + "],\"unknown\":\"\xff\"}", none + " {\"a\":\"\xff\"}(not_utf8) " + run},
	} {
		m, err := decode(t, c.body)
		if err != nil {
			t.Errorf("%q: %v", c.body, err)
		} else if got := text(m); got != c.want {
			t.Errorf("%q is\n%s, want\n%s", c.body, got, c.want)
		}
		// Compressed it is the same.
		m, err = decode(t, newCompressor(t).Compress([]byte(c.body)))
		if strings.HasPrefix(c.body, "{") && (err != nil || text(m) != c.want) {
			t.Errorf("compressed %q is %v\n%s, want\n%s", c.body, err, text(m), c.want)
		}
	}
}

func TestAFieldOfABatchThatCannotBeReadNeverCostsItsEvents(t *testing.T) {
	deep := strings.Repeat(`{"a":`, event.MaxDepth) + "{}" + strings.Repeat("}", event.MaxDepth)
	const all = event.OmittedBatchOrigin | event.OmittedBatchReceivedAt | event.OmittedBatchContext |
		event.OmittedBatchIntegrations
	for _, c := range []struct {
		fields string
		want   event.Omitted
	}{
		{`"context":[]`, event.OmittedBatchContext}, // PHP's empty array
		{`"context":""`, event.OmittedBatchContext},
		{`"context":7`, event.OmittedBatchContext},
		{`"context":false`, event.OmittedBatchContext},
		{`"context":{},"context":[]`, event.OmittedBatchContext}, // the last counts
		{"\"context\":{\"a\":\"\xff\"}", event.OmittedBatchContext},
		{`"context":` + deep, event.OmittedBatchContext},
		{`"integrations":[]`, event.OmittedBatchIntegrations},
		{`"integrations":"All"`, event.OmittedBatchIntegrations},
		{`"integrations":` + deep, event.OmittedBatchIntegrations},
		{`"origin":"phone"`, event.OmittedBatchOrigin},
		{`"origin":["client"]`, event.OmittedBatchOrigin},
		{`"origin":1`, event.OmittedBatchOrigin},
		{`"receivedAt":1700000000`, event.OmittedBatchReceivedAt},
		{`"receivedAt":"yesterday"`, event.OmittedBatchReceivedAt},
		{`"receivedAt":{}`, event.OmittedBatchReceivedAt},
		{`"origin":[],"receivedAt":true,"context":"","integrations":0`, all},
		{`"context":[],"context":null`, 0},
	} {
		for _, body := range []string{`{` + c.fields + `,"batch":[` + run + `]}`,
			`{"batch":[` + run + `],` + c.fields + `}`} {
			m, err := decode(t, body)
			if err != nil || text(m) != none+" "+run || m.Omitted != c.want {
				t.Errorf("%.100s: error %v, %.200s, %b omitted, want %b", body, err, text(m), m.Omitted, c.want)
			}
		}
	}
}

func TestAByteOrderMarkBeforeABodyIsIgnored(t *testing.T) {
	const mark = "\xef\xbb\xbf"
	plain := `{"batch":[` + run + `]}`
	packed := newCompressor(t).Compress([]byte(plain))
	for _, body := range []string{mark + plain, mark + " \n" + plain, " " + mark + plain, mark + packed,
		newCompressor(t).Compress([]byte(mark + plain)), mark + newCompressor(t).Compress([]byte(mark+" "+plain))} {
		if m, err := decode(t, body); err != nil || text(m) != none+" "+run {
			t.Errorf("%.40q: error %v, %s", body, err, text(m))
		}
	}
}

func TestAHeaderMakesRoomForTheLargestEvent(t *testing.T) {
	object := func(n int) []byte { return []byte(`{"a":"` + strings.Repeat("x", n-8) + `"}`) }
	for _, c := range []struct {
		context, integrations []byte
		want                  event.Omitted
	}{
		{object(100), object(100), 0},
		{object(460_000), object(100), 0},
		{object(470_000), object(100), event.OmittedBatchContext},
		{object(100), object(470_000), event.OmittedBatchIntegrations},
		{object(470_000), object(480_000), event.OmittedBatchContext | event.OmittedBatchIntegrations},
		{object(240_000), object(230_000), event.OmittedBatchContext},
		{nil, object(490_000), event.OmittedBatchIntegrations},
		{nil, nil, 0},
	} {
		h := Header{WriteKey: "k", Context: c.context, Integrations: c.integrations}
		if got := h.LeaveRoom(); got != c.want || h.Room() == 0 ||
			(h.Context == nil) != (c.context == nil || got&event.OmittedBatchContext != 0) {
			t.Errorf("context of %d and integrations of %d bytes: %b left out, want %b", len(c.context),
				len(c.integrations), got, c.want)
		}
	}
}

func TestABodyThatCannotBeReadSaysWhy(t *testing.T) {
	packed := newCompressor(t).Compress([]byte(`{"batch":[` + run + `]}`))
	for _, c := range []struct{ body, reason, want string }{
		{"", ReasonUndecodable, "it is empty"},
		{" \n", ReasonUndecodable, "it is empty"},
		{"hello", ReasonUndecodable, `it begins with 'h'`},
		{"[" + run + "]", ReasonUndecodable, `it begins with '['`},
		{"\xff\xfe", ReasonUndecodable, "a body is a JSON object"},
		{"\xef\xbb\xbf", ReasonUndecodable, "it is empty"},
		{"\xef\xbb\xbf\xef\xbb\xbf{}", ReasonUndecodable, "a body is a JSON object"},
		{"{", ReasonUndecodable, "unexpected end"},
		{run + run, ReasonUndecodable, "expected the end of the document"},
		{`{"batch":[` + run, ReasonUndecodable, "unexpected end"},
		{`{"batch":[` + run + `,]}`, ReasonUndecodable, "expected a value"},
		{`{"batch":[` + run + ` ` + run + `]}`, ReasonUndecodable, "expected ','"},
		{`{"batch":[]}`, ReasonUndecodable, "empty_batch"},
		{`{"batch":[{}],"batch":[]}`, ReasonUndecodable, "empty_batch"},
		{`{"batch":null}`, ReasonUndecodable, "batch must be an array"},
		{`{"batch":{}}`, ReasonUndecodable, "batch must be an array"},
		{`{"batch":[{}],"batch":"x"}`, ReasonUndecodable, "batch must be an array"},
		{`{"batch":[{}],"writeKey":7}`, ReasonUndecodable, "the writeKey must be a string"},
		{`{"writeKey":["k"],"type":"identify","userId":"u"}`, ReasonUndecodable, "the writeKey must be a string"},
		{"KLUv/", ReasonUndecodable, "decode base64"},
		{"KLUv/*" + packed[6:], ReasonUndecodable, "decode base64"},
		{packed[:len(packed)-4], ReasonUndecodable, "decompress zstd"},
		{packed[:12], ReasonUndecodable, "decompress zstd"},
		{packed + packed, ReasonUndecodable, ""}, // two documents, or base64 with padding in the middle
		{newCompressor(t).Compress([]byte("hello")), ReasonUndecodable, "expected an object"},
		{newCompressor(t).Compress(nil), ReasonUndecodable, ""},
		{newCompressor(t).Compress([]byte(packed)), ReasonUndecodable, "expected an object"}, // once is enough
		{`{"a":"` + strings.Repeat("x", MaxRawBytes-7) + `"}`, ReasonTooLarge,
			"it has 1048577 bytes, more than the maximum of 1048576"},
		{newCompressor(t).Compress([]byte(`{"a":"` + strings.Repeat("x", MaxRawBytes-7) + `"}`)), ReasonTooLarge,
			"decompressed it has more than 1048576 bytes"},
	} {
		m, err := decode(t, c.body)
		var e *DecodeError
		if !errors.As(err, &e) || e.Reason != c.reason || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%.80q: error %v, want %s with %q", c.body, err, c.reason, c.want)
		} else if m.WriteKey != "" && e.Reason == ReasonTooLarge {
			t.Errorf("%.80q: a write key %q of what was not read", c.body, m.WriteKey)
		}
	}
}

func TestABodyOfExactlyOneMiBIsRead(t *testing.T) {
	body := `{"a":"` + strings.Repeat("x", MaxRawBytes-8) + `"}`
	for name, b := range map[string]string{"plain": body, "packed": newCompressor(t).Compress([]byte(body))} {
		if m, err := decode(t, b); err != nil || len(m.Events) != 1 || m.Events[0].Problem != event.TooLarge ||
			m.Size() != MaxRawBytes {
			t.Errorf("%s: %v, %d events of %d bytes", name, err, len(m.Events), m.Size())
		}
	}
}

// stream compresses as a program does that does not know how much there will be: without a size,
// with the window of its level.
func stream(t testing.TB, window, chunk, times int, what string) []byte {
	t.Helper()
	var out bytes.Buffer
	w, err := zstd.NewWriter(&out, zstd.WithWindowSize(window), zstd.WithEncoderConcurrency(1))
	if err != nil {
		t.Fatal(err)
	}
	for i := range times {
		if _, err := w.Write([]byte(what)); err != nil {
			t.Fatal(err)
		}
		if chunk > 0 && i%chunk == 0 {
			if err := w.Flush(); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func TestFramesOfUnknownSizeAndWithLargeWindowsAreRead(t *testing.T) {
	events := strings.Repeat(run+",", 4000) + run // 200 KB and more than a block
	body := `{"writeKey":"k","batch":[` + events + `]}`
	for _, window := range []int{1 << 10, 128 << 10, 1 << 20, 2 << 20, 8 << 20, 128 << 20, 512 << 20} {
		frame := stream(t, min(window, 8<<20), 1, 1, body)
		frame[5] = byte(bits.TrailingZeros(uint(window))-10) << 3 // the compressor would take what it may need of a larger one
		var h zstd.Header
		if err := h.Decode(frame); err != nil || h.HasFCS || h.WindowSize != uint64(window) {
			t.Fatalf("the frame has a window of %d, a size: %v, error %v", h.WindowSize, h.HasFCS, err)
		}
		m, err := decode(t, base64.StdEncoding.EncodeToString(frame))
		if err != nil || m.WriteKey != "k" || len(m.Events) != 4001 {
			t.Errorf("window of %d: %v, %d events", window, err, len(m.Events))
		}
	}
	for name, frame := range map[string]string{ // made by zstd 1.5 of what came through a pipe
		"zstd -19":                   "KLUv/QRomQEAeyJ0eXBlIjoidHJhY2siLCJ1c2VySWQiOiJ1IiwiZXZlbnQiOiJmcm9tIGEgcGlwZSJ9qTIfvw==",
		"zstd --ultra -22 --long=27": "KLUv/QSImQEAeyJ0eXBlIjoidHJhY2siLCJ1c2VySWQiOiJ1IiwiZXZlbnQiOiJmcm9tIGEgcGlwZSJ9qTIfvw==",
	} {
		m, err := decode(t, frame+"\n")
		if want := `{"type":"track","userId":"u","event":"from a pipe"}`; err != nil || len(m.Events) != 1 ||
			string(m.Events[0].Raw) != want {
			t.Errorf("%s: %v, %s", name, err, text(m))
		}
	}
}

func TestBase64WithLineBreaksIsRead(t *testing.T) {
	packed := newCompressor(t).Compress(fmt.Appendf(nil, `{"batch":[%s],"context":{"a":"%x"}}`, run,
		bytes.Repeat([]byte("0123456789"), 50)))
	var lines strings.Builder
	for len(packed) > 76 {
		lines.WriteString(packed[:76] + "\r\n")
		packed = packed[76:]
	}
	if m, err := decode(t, " "+lines.String()+packed+"\n"); err != nil || len(m.Events) != 1 {
		t.Errorf("%v, %d events", err, len(m.Events))
	}
}

// bomb is a frame of 1 GiB of spaces in 8,192 blocks that each say "this byte, 131,072 times" (RFC
// 8878, 3.1.1.2), after the given rest of a header.
func bomb(header ...byte) []byte {
	frame := append([]byte("\x28\xb5\x2f\xfd"), header...)
	for i := range 8192 {
		block := uint32(128<<10)<<3 | 1<<1
		if i == 8191 {
			block |= 1 // the last
		}
		frame = append(frame, byte(block), byte(block>>8), byte(block>>16), ' ')
	}
	return frame
}

func TestADecompressionBombIsRefusedInBoundedMemory(t *testing.T) {
	spaces := strings.Repeat(" ", 1<<20)
	many := bytes.Repeat(newCompressorFrame(t, spaces), 1024) // a thousand frames, each of which may be read
	d := newDecoder(t)
	for name, frame := range map[string][]byte{
		"of unknown size": bomb(0, 8<<3), "with a window of 8 MiB": bomb(0, 13<<3),
		"of known size":  bomb(2<<6, 8<<3, 0, 0, 0, 1<<6),
		"in one segment": bomb(2<<6|1<<5, 0, 0, 0, 1<<6), "of a size that lies": bomb(2<<6, 8<<3, 0, 0, 1, 0),
		"of a stream":    stream(t, 8<<20, 0, 64, spaces),
		"of many frames": many,
	} {
		body := []byte(base64.StdEncoding.EncodeToString(frame))
		var m Content
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		err := d.Decode(body, &m)
		runtime.ReadMemStats(&after)
		var e *DecodeError
		if want := map[bool]string{false: ReasonTooLarge,
			true: ReasonUndecodable}[name == "of a size that lies"]; !errors.As(err, &e) || e.Reason != want {
			t.Errorf("%s: error %v, want %s", name, err, want)
		}
		if spent := after.TotalAlloc - before.TotalAlloc; spent > 8<<20 {
			t.Errorf("%s: a body of %d bytes cost %d bytes of memory, want at most 8 MiB", name, len(body), spent)
		}
		// The decoder can still be used.
		if err := d.Decode([]byte(run), &m); err != nil || len(m.Events) != 1 {
			t.Errorf("after the bomb: %v", err)
		}
	}
}

func newCompressorFrame(t testing.TB, plain string) []byte {
	t.Helper()
	frame, err := base64.StdEncoding.DecodeString(newCompressor(t).Compress([]byte(plain)))
	if err != nil {
		t.Fatal(err)
	}
	return frame
}

func TestDecodeOverwritesTheLastMessage(t *testing.T) {
	d := newDecoder(t)
	c := newCompressor(t)
	full := `{"writeKey":"secret","origin":"client","receivedAt":"2026-01-02T03:04:05Z","context":{"a":1},"integrations":{"b":2},"batch":[{"bad":1},` + run + `,` + run + `]}`
	long := `{"batch":[` + strings.Repeat(run+",", 100) + run + `]}`
	var used Content
	bodies := []string{full, run, c.Compress([]byte(full)), `{"batch":[` + run + `]}`, c.Compress([]byte(long)),
		c.Compress([]byte(run)), "broken", run, c.Compress([]byte(long))[:40], c.Compress([]byte(run)), `{"batch":[{},{`, run}
	for i, body := range bodies {
		err := d.Decode([]byte(body), &used)
		fresh, wantErr := decode(t, body)
		if (err == nil) != (wantErr == nil) || err != nil && err.Error() != wantErr.Error() {
			t.Fatalf("body %d: error %v, want %v", i, err, wantErr)
		}
		if err == nil && text(&used) != text(fresh) {
			t.Errorf("body %d reads as\n%s\nwith a message that was used before, otherwise as\n%s", i, text(&used), text(fresh))
		}
	}
}

func TestDecodeReusesTheMemoryOfTheLastEvents(t *testing.T) {
	d := newDecoder(t)
	var m Content
	body := []byte(newCompressor(t).Compress([]byte(`{"batch":[` + strings.Repeat(run+",", 500) + run + `]}`)))
	if n := testing.AllocsPerRun(20, func() {
		if err := d.Decode(body, &m); err != nil || len(m.Events) != 501 {
			t.Fatal(err)
		}
	}); n > 5 {
		t.Errorf("%v allocations for 501 events, want a handful for the message", n)
	}
}

// Size is the sum of the events' bytes.
func (m *Content) Size() int {
	size := 0
	for i := range m.Events {
		size += len(m.Events[i].Raw)
	}
	return size
}
