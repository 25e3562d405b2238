package event

import (
	"bytes"
	"encoding/json"
	"io"
	"strings"
	"testing"
	"testing/iotest"
	"time"
)

func testBatch(events ...string) *Batch {
	b := &Batch{WriteKey: "key"}
	for _, e := range events {
		b.Events = append(b.Events, []byte(e))
	}
	return b
}

func TestABatchIsReadInPiecesOfAnySize(t *testing.T) {
	at := time.Date(2026, 1, 2, 3, 4, 5, 6_000_000, time.UTC)
	for _, c := range []struct {
		batch *Batch
		want  string
	}{
		{testBatch(), `{"sentAt":"2026-01-02T03:04:05.006Z","writeKey":"key","batch":[]}`},
		{testBatch(`{"a":1}`), `{"sentAt":"2026-01-02T03:04:05.006Z","writeKey":"key","batch":[{"a":1}]}`},
		{
			&Batch{WriteKey: "k\"\\\n", Context: []byte(`{"ip": null}`), Integrations: []byte(`{"All":false}`),
				Events: [][]byte{[]byte(`{}`), []byte(`{ "n": 12345678901234567890 }`), []byte(`{}`)}},
			`{"sentAt":"2026-01-02T03:04:05.006Z","writeKey":"k\"\\\u000a","context":{"ip": null},"integrations":{"All":false},"batch":[{},{ "n": 12345678901234567890 },{}]}`,
		},
	} {
		for name, wrap := range map[string]func(io.Reader) io.Reader{
			"at once": func(r io.Reader) io.Reader { return r }, "by bytes": iotest.OneByteReader,
			"in small reads": iotest.HalfReader,
		} {
			r, size := c.batch.NewReader(at)
			got, err := io.ReadAll(wrap(r))
			if err != nil || string(got) != c.want {
				t.Errorf("read %s: %v\n%s, want\n%s", name, err, got, c.want)
			}
			if int(size) != len(c.want) {
				t.Errorf("size %d, want %d", size, len(c.want))
			}
			if n, err := r.Read(make([]byte, 1)); n != 0 || err != io.EOF {
				t.Errorf("after the end: %d, %v", n, err)
			}
			if !json.Valid(got) {
				t.Errorf("%s is not JSON", got)
			}
		}
	}
}

func TestAFullBatchStaysWithinSegmentsLimit(t *testing.T) {
	for _, contextBytes := range []int{0, 100, 20_000, 30_000, 400_000, 466_000} {
		b := Batch{WriteKey: strings.Repeat("k", 40)}
		if contextBytes > 0 {
			b.Context = []byte(`{"a":"` + strings.Repeat("c", contextBytes-8) + `"}`)
		}
		room := Room(Overhead(b.WriteKey, b.Context, b.Integrations))
		for room >= MaxEventBytes+1 {
			b.Events = append(b.Events, []byte(padded(MaxEventBytes)))
			room -= MaxEventBytes + 1
		}
		if room > len(padded(100))+1 {
			b.Events = append(b.Events, []byte(padded(room-1)))
		}
		if len(b.Events) == 0 {
			t.Errorf("a context of %d bytes leaves no room for an event", contextBytes)
		}
		if _, size := b.NewReader(time.Now()); size > MaxBodyBytes {
			t.Errorf("with a context of %d bytes a full batch has %d bytes, Segment takes %d", contextBytes, size, MaxBodyBytes)
		}
	}
}

func TestThereIsNoRoomWhenTheLargestEventDoesNotFit(t *testing.T) {
	for _, c := range []struct{ overhead, want int }{
		{0, MaxBatchBytes}, {MaxBodyBytes - MaxBatchBytes, MaxBatchBytes},
		{MaxBodyBytes - MaxBatchBytes + 1, MaxBatchBytes - 1},
		{MaxBodyBytes - MaxEventBytes - 1, MaxEventBytes + 1}, {MaxBodyBytes - MaxEventBytes, 0}, {MaxBodyBytes, 0},
		{MaxBodyBytes * 2, 0},
	} {
		if got := Room(c.overhead); got != c.want {
			t.Errorf("Room(%d) is %d, want %d", c.overhead, got, c.want)
		}
	}
}

func TestOverheadIsTheSizeOfABatchWithoutEvents(t *testing.T) {
	b := Batch{WriteKey: "k\"ey", Context: []byte(`{"a":1}`), Integrations: []byte(`{}`)}
	r, size := b.NewReader(time.Now())
	body, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	if n := Overhead(b.WriteKey, b.Context, b.Integrations); n != len(body) || int64(n) != size ||
		bytes.Count(body, []byte("batch")) != 1 {
		t.Errorf("overhead %d, size %d, body %s", n, size, body)
	}
}
