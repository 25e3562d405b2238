// Package frame is the format of the log files of package spill and of the SQS emulator's store:
// records in frames with checksums, so that damage is found, costs only the frames that it hits, and
// is never taken for data.
//
// A file is a header, written twice so that one flipped bit in it does not cost the file, and
// frames up to its end:
//
//	header  "spillway" · version u32 · salt u32 · created i64 · CRC of these u32
//	frame   marker u32 · length u32 · stamp i64 · CRC of the data u32 · CRC of the frame's header so far u32 · data
//
// Numbers are little-endian, times are Unix nanoseconds, and each CRC is a CRC32C that starts from
// the salt. The process that writes the file draws the salt, so that a piece of an old file, also
// inside a record, is never taken for a frame. The frame's header has a CRC of its own, so that its
// length and stamp can be trusted: damaged data costs only its own record, and the next frame is
// found without a search.
package frame

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"
	"time"
)

const (
	// Version is the version of the format.
	Version = 1
	// HeaderBytes is the size of one header.
	HeaderBytes = 28
	// HeadersBytes is the size of both headers.
	HeadersBytes = 2 * HeaderBytes
	// Overhead is the size of a frame without its data.
	Overhead = 24
	magic    = "spillway"
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Marker begins a frame. It is not valid UTF-8, so that no JSON contains it and the search for the
// next frame seldom finds a false one.
const Marker = "\xf5\xc0\xff\x1e"

var marker = []byte(Marker)

// Checksum is the CRC32C of b that starts from the salt.
func Checksum(salt uint32, b []byte) uint32 { return crc32.Update(salt, castagnoli, b) }

// AppendHeaders appends both headers of a file.
func AppendHeaders(b []byte, salt uint32, created int64) []byte {
	start := len(b)
	b = append(b, magic...)
	b = binary.LittleEndian.AppendUint32(b, Version)
	b = binary.LittleEndian.AppendUint32(b, salt)
	b = binary.LittleEndian.AppendUint64(b, uint64(created))
	b = binary.LittleEndian.AppendUint32(b, Checksum(salt, b[start:]))
	return append(b, b[start:]...)
}

// Header is what a file's header says.
type Header struct {
	Version, Salt uint32
	Created       time.Time
}

// ParseHeaders returns the first of a file's two headers that is not damaged.
func ParseHeaders(b []byte) (Header, bool) {
	for ; len(b) >= HeaderBytes; b = b[HeaderBytes:] {
		h := Header{
			Version: binary.LittleEndian.Uint32(b[8:]), Salt: binary.LittleEndian.Uint32(b[12:]),
			Created: time.Unix(0, int64(binary.LittleEndian.Uint64(b[16:]))),
		}
		if string(b[:8]) == magic && binary.LittleEndian.Uint32(b[24:]) == Checksum(h.Salt, b[:24]) {
			return h, true
		}
	}
	return Header{}, false
}

// Append appends a frame; dataSum is the Checksum of its data, and the stamp is the writer's own: a
// time or a number.
func Append(b []byte, salt uint32, stamp int64, dataSum uint32, data []byte) []byte {
	b = appendHeader(b, salt, stamp, dataSum, len(data))
	return append(b, data...)
}

func appendHeader(b []byte, salt uint32, stamp int64, dataSum uint32, length int) []byte {
	start := len(b)
	b = append(b, marker...)
	b = binary.LittleEndian.AppendUint32(b, uint32(length))
	b = binary.LittleEndian.AppendUint64(b, uint64(stamp))
	b = binary.LittleEndian.AppendUint32(b, dataSum)
	return binary.LittleEndian.AppendUint32(b, Checksum(salt, b[start:]))
}

// Begin appends the place of a frame's header. The caller appends the data and calls Finish.
func Begin(b []byte) []byte { return append(b, make([]byte, Overhead)...) }

// Finish completes the frame that Begin began at start and that ends with b.
func Finish(b []byte, start int, salt uint32, stamp int64) {
	data := b[start+Overhead:]
	appendHeader(b[:start], salt, stamp, Checksum(salt, data), len(data))
}

// State is what Parse found.
type State int

// The states of a frame.
const (
	Whole   State = iota
	Short         // the bytes end before the frame does
	Damaged       // the frame is complete, but its data are not what was written
	None          // no frame begins here
)

// Frame is a frame as it was read.
type Frame struct {
	Data  []byte // aliases what was parsed; nil unless the frame is Whole or Damaged
	Stamp int64
	Bytes int // of the frame; 0 if it is Short and even its header is incomplete
}

// Parse reads the frame that b begins with, whose data has at most limit bytes.
func Parse(b []byte, salt uint32, limit int) (Frame, State) {
	if len(b) < Overhead {
		if n := min(len(b), len(marker)); !bytes.Equal(b[:n], marker[:n]) {
			return Frame{}, None
		}
		return Frame{}, Short
	}
	length := binary.LittleEndian.Uint32(b[4:])
	if !bytes.Equal(b[:4], marker) || binary.LittleEndian.Uint32(b[20:]) != Checksum(salt, b[:20]) ||
		int64(length) > int64(limit) {
		return Frame{}, None
	}
	f := Frame{Stamp: int64(binary.LittleEndian.Uint64(b[8:])), Bytes: Overhead + int(length)}
	if len(b) < f.Bytes {
		return f, Short
	}
	f.Data = b[Overhead:f.Bytes:f.Bytes]
	if binary.LittleEndian.Uint32(b[16:]) != Checksum(salt, f.Data) {
		return f, Damaged
	}
	return f, Whole
}

// NextMarker returns the first offset after 0 at which a frame may begin: at a marker, or at an end
// that may be the beginning of one.
func NextMarker(b []byte) int {
	if len(b) == 0 {
		return 0
	}
	rest := b[1:]
	if i := bytes.Index(rest, marker); i >= 0 {
		return 1 + i
	}
	for n := min(len(marker)-1, len(rest)); n > 0; n-- {
		if bytes.HasSuffix(rest, marker[:n]) {
			return len(b) - n
		}
	}
	return len(b)
}
