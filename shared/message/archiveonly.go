package message

import (
	"bytes"
	"encoding/base64"
	"fmt"
)

// An archive-only message carries a frame of the archive that the archive did not take. Its events
// have ended: nothing of it goes to Segment. Its body is
//
//	{"archiveFrame":"<the frame in base64>","batch":[]}
//
// No version of Spillway takes an empty batch. So one that does not know archive-only messages
// makes it a dead letter that holds the whole body, and after a redrive it is archived.
const (
	archiveOnlyStart = `{"archiveFrame":"`
	archiveOnlyEnd   = `","batch":[]}`
)

// MaxArchiveFrame is the largest frame in bytes that one message holds, in base64, which adds a
// third. SQS's limit counts attributes too, and those of a dead letter have up to 2 KB.
const MaxArchiveFrame = (MaxBytes - 4<<10) / 4 * 3

// NewArchiveOnly returns the archive-only message of a frame, which must be a zstd frame of at most
// [MaxArchiveFrame] bytes and holds so many records.
func NewArchiveOnly(frame []byte, records int) (Message, error) {
	if len(frame) > MaxArchiveFrame {
		return Message{}, fmt.Errorf("a frame of %d bytes does not fit into a message: it may have at most %d",
			len(frame), MaxArchiveFrame)
	}
	body := make([]byte, 0, len(archiveOnlyStart)+base64.StdEncoding.EncodedLen(len(frame))+len(archiveOnlyEnd))
	body = append(body, archiveOnlyStart...)
	body = base64.StdEncoding.AppendEncode(body, frame)
	body = append(body, archiveOnlyEnd...)
	return Message{Body: string(body),
		Attributes: map[string]Attribute{AttrEventCount: NumberAttribute(int64(records))}}, nil
}

// isArchiveOnly reports whether a text is the body of an archive-only message, by its first and
// last bytes.
func isArchiveOnly(text []byte) bool {
	rest, ok := bytes.CutPrefix(text, []byte(archiveOnlyStart))
	return ok && bytes.HasPrefix(rest, []byte(zstdMagic)) && bytes.HasSuffix(rest, []byte(archiveOnlyEnd))
}

// archiveFrame returns the frame of such a body.
func archiveFrame(text []byte) ([]byte, error) {
	text = text[len(archiveOnlyStart) : len(text)-len(archiveOnlyEnd)]
	frame, err := base64.StdEncoding.AppendDecode(nil, text)
	if err != nil {
		return nil, undecodable("decode the base64 of an archive-only message: %w", err)
	}
	return frame, nil
}
