package spill

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"
	"time"
)

// A segment file is a header, written twice so that one flipped bit in it does not cost the file,
// and frames up to its end:
//
//	header  "spillway" · version u32 · salt u32 · created i64 · CRC of these u32
//	frame   marker u32 · length u32 · appended i64 · CRC of the data u32 · CRC of the frame's header so far u32 · data
//
// Numbers are little-endian, times are Unix nanoseconds, and each CRC is a CRC32C that starts from
// the salt. The process that writes the file draws the salt, so that a piece of an old file, also
// inside a record, is never taken for a frame. The frame's header has a CRC of its own, so that its
// length can be trusted: damaged data costs only its own record, and the next frame is found
// without a search.
const (
	version      = 1
	headerBytes  = 28
	headersBytes = 2 * headerBytes
	frameBytes   = 24 // before the data
	magic        = "spillway"
)

var (
	castagnoli = crc32.MakeTable(crc32.Castagnoli)
	// marker begins a frame. It is not valid UTF-8, so that no JSON contains it and the search for
	// the next frame seldom finds a false one.
	marker = []byte{0xf5, 0xc0, 0xff, 0x1e}
)

func checksum(salt uint32, b []byte) uint32 { return crc32.Update(salt, castagnoli, b) }

func appendHeaders(b []byte, salt uint32, created int64) []byte {
	start := len(b)
	b = append(b, magic...)
	b = binary.LittleEndian.AppendUint32(b, version)
	b = binary.LittleEndian.AppendUint32(b, salt)
	b = binary.LittleEndian.AppendUint64(b, uint64(created))
	b = binary.LittleEndian.AppendUint32(b, checksum(salt, b[start:]))
	return append(b, b[start:]...)
}

// header is the first of a file's two headers that is not damaged.
type header struct {
	version, salt uint32
	created       time.Time
}

func parseHeaders(b []byte) (header, bool) {
	for ; len(b) >= headerBytes; b = b[headerBytes:] {
		h := header{
			version: binary.LittleEndian.Uint32(b[8:]), salt: binary.LittleEndian.Uint32(b[12:]),
			created: time.Unix(0, int64(binary.LittleEndian.Uint64(b[16:]))),
		}
		if string(b[:8]) == magic && binary.LittleEndian.Uint32(b[24:]) == checksum(h.salt, b[:24]) {
			return h, true
		}
	}
	return header{}, false
}

func appendFrame(b []byte, salt uint32, appended int64, dataSum uint32, data []byte) []byte {
	start := len(b)
	b = append(b, marker...)
	b = binary.LittleEndian.AppendUint32(b, uint32(len(data)))
	b = binary.LittleEndian.AppendUint64(b, uint64(appended))
	b = binary.LittleEndian.AppendUint32(b, dataSum)
	b = binary.LittleEndian.AppendUint32(b, checksum(salt, b[start:]))
	return append(b, data...)
}

type frameState int

const (
	whole   frameState = iota
	short              // the bytes end before the frame does
	damaged            // the frame is complete, but its data are not what was written
	noFrame            // no frame begins here
)

type frame struct {
	data     []byte // aliases what was parsed
	appended int64
	bytes    int // of the frame; 0 if it is short and even its header is incomplete
}

// parseFrame reads the frame that b begins with.
func parseFrame(b []byte, salt uint32) (frame, frameState) {
	if len(b) < frameBytes {
		if n := min(len(b), len(marker)); !bytes.Equal(b[:n], marker[:n]) {
			return frame{}, noFrame
		}
		return frame{}, short
	}
	length := binary.LittleEndian.Uint32(b[4:])
	if !bytes.Equal(b[:4], marker) || binary.LittleEndian.Uint32(b[20:]) != checksum(salt, b[:20]) ||
		length > MaxRecordBytes {
		return frame{}, noFrame
	}
	f := frame{appended: int64(binary.LittleEndian.Uint64(b[8:])), bytes: frameBytes + int(length)}
	if len(b) < f.bytes {
		return f, short
	}
	f.data = b[frameBytes:f.bytes:f.bytes]
	if binary.LittleEndian.Uint32(b[16:]) != checksum(salt, f.data) {
		return f, damaged
	}
	return f, whole
}

// nextMarker returns the first offset after 0 at which a frame may begin: at a marker, or at an end
// that may be the beginning of one.
func nextMarker(b []byte) int {
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
