package sqs

import (
	"encoding/base64"
	"encoding/binary"
	"hash/crc32"
)

// handle is the content of a receipt handle: the queue, the message, its place, and the receive. It
// has all that a delete needs, so that it works after its visibility timeout and after a restart.
type handle struct {
	queue uint32
	place place
	count uint64 // the receive count with this receive
	nonce uint64 // unique among receives
}

const (
	handleVersion = 1
	handleBytes   = 49
)

func (h handle) String() string { return string(h.append(nil)) }

// append appends the receipt handle.
func (h handle) append(dst []byte) []byte {
	var bytes [handleBytes]byte
	b := append(bytes[:0], handleVersion)
	b = binary.BigEndian.AppendUint32(b, h.queue)
	for _, v := range [...]uint64{uint64(h.place.at), uint64(h.place.sent), h.place.seq, h.count, h.nonce} {
		b = binary.BigEndian.AppendUint64(b, v)
	}
	b = binary.BigEndian.AppendUint32(b, crc32.ChecksumIEEE(b))
	return base64.StdEncoding.AppendEncode(dst, b)
}

// parseHandle reads a handle of the queue with this id.
func parseHandle(s string, queue uint32) (handle, error) {
	h, ok := decodeHandle(s)
	if !ok || h.queue != queue {
		return handle{}, errReceiptHandle(s)
	}
	return h, nil
}

// decodeHandle returns false for anything that String did not write.
func decodeHandle(s string) (handle, bool) {
	if len(s) != base64.StdEncoding.EncodedLen(handleBytes) {
		return handle{}, false
	}
	var text [(handleBytes + 2) / 3 * 4]byte
	var bytes [handleBytes + 2]byte // of whole groups of three
	copy(text[:], s)
	n, err := base64.StdEncoding.Decode(bytes[:], text[:])
	b := bytes[:n]
	if err != nil || n != handleBytes || b[0] != handleVersion ||
		crc32.ChecksumIEEE(b[:45]) != binary.BigEndian.Uint32(b[45:]) {
		return handle{}, false
	}
	u := func(i int) uint64 { return binary.BigEndian.Uint64(b[5+8*i:]) }
	return handle{
		queue: binary.BigEndian.Uint32(b[1:]),
		place: place{at: int64(u(0)), sent: int64(u(1)), seq: u(2)},
		count: u(3),
		nonce: u(4),
	}, true
}
