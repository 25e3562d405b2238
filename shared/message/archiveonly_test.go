package message

import (
	"bytes"
	"crypto/rand"
	"errors"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"
)

// zstdFrame is a frame of so many bytes that do not compress.
func zstdFrame(t *testing.T, size int) []byte {
	t.Helper()
	z, err := zstd.NewWriter(nil)
	if err != nil {
		t.Fatal(err)
	}
	raw := make([]byte, size)
	_, _ = rand.Read(raw) // never fails
	return z.EncodeAll(raw, nil)
}

func TestAnArchiveOnlyMessageHoldsItsFrameAndNoEvent(t *testing.T) {
	frame := zstdFrame(t, MaxArchiveFrame-1000)
	m, err := NewArchiveOnly(frame, 2500)
	if err != nil || m.Size() > MaxBytes {
		t.Fatalf("%d bytes: %v", m.Size(), err)
	}
	if got := m.Attributes[AttrEventCount]; got != NumberAttribute(2500) {
		t.Errorf("Event-Count is %+v", got)
	}
	d := newDecoder(t)
	for name, body := range map[string]string{"plain": m.Body, "packed": newCompressor(t).Compress([]byte(m.Body))} {
		content := Content{Events: nil}
		var e *DecodeError
		if err := d.Decode([]byte(body), &content); !errors.As(err, &e) || e.Reason != ReasonUndecodable {
			t.Errorf("%s: %v, want a dead letter for who has no archive", name, err)
		}
		if !bytes.Equal(content.ArchiveFrame, frame) || len(content.Events) != 0 {
			t.Errorf("%s: another frame of %d bytes, %d events", name, len(content.ArchiveFrame), len(content.Events))
		}
	}
	if _, err := NewArchiveOnly(make([]byte, MaxArchiveFrame+1), 1); err == nil {
		t.Error("a frame that does not fit is taken")
	}
}

func TestAnArchiveOnlyMessageThatWasADeadLetterIsStillOne(t *testing.T) {
	m, err := NewArchiveOnly(zstdFrame(t, 700_000), 9)
	if err != nil {
		t.Fatal(err)
	}
	l := DeadLetter{ID: "id", Reason: ReasonUndecodable, Detail: strings.Repeat("d", MaxDetail), Body: []byte(m.Body)}
	messages := l.Messages(newCompressor(t))
	if len(messages) != 1 {
		t.Fatalf("it is cut into %d messages", len(messages))
	}
	var content Content
	_ = newDecoder(t).Decode([]byte(messages[0].Body), &content) // an error, as for every such message
	if content.ArchiveFrame == nil {
		t.Error("it is no archive-only message any more")
	}
}

func TestOnlyAFrameAndAnEmptyBatchMakeAnArchiveOnlyMessage(t *testing.T) {
	d := newDecoder(t)
	for _, body := range []string{
		`{"archiveFrame":"KLUv/QQ","batch":[{"type":"track","userId":"u","event":"E"}]}`,
		`{"archiveFrame":"KLUv/QQ","type":"track","userId":"u","event":"E"}`,
		`{"archiveFrame":"AAAA","batch":[]}`,
		`{"archiveFrame":"KLUv/!!","batch":[]}`, // no base64
		`{"archiveFrame":"KLUv/`,
		`{"archiveFrame":"","batch":[]}`,
		`{"batch":[]}`,
	} {
		var m Content
		_ = d.Decode([]byte(body), &m)
		if m.ArchiveFrame != nil {
			t.Errorf("%s counts as one", body)
		}
	}
	m, err := NewArchiveOnly(zstdFrame(t, 10), 1)
	if err != nil {
		t.Fatal(err)
	}
	var content Content
	_ = d.Decode([]byte(m.Body), &content)
	if err := d.Decode([]byte(`{"type":"track","userId":"u","event":"E"}`), &content); err != nil || content.ArchiveFrame != nil {
		t.Errorf("the message after it: %v, frame %q", err, content.ArchiveFrame)
	}
}
