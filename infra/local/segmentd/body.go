package segmentd

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"

	"github.com/klauspost/compress/gzip"
)

// Segment's limits, from the HTTP Tracking API's documentation: 32 KB an event, 500 KB a batch,
// 2,500 events a batch. KB is read as 1,024 bytes, the larger reading: Segment's own SDKs send
// events of up to 32,768 bytes, and an emulator that refused what Segment accepts would make working
// clients fail. A client that must be sure observes both readings. A batch has 12 KiB more for what is
// around its events: the Ruby SDK fills 512,000 bytes with events alone.
const (
	maxEventBytes  = 32 << 10
	maxBatchBytes  = 512 << 10
	maxBatchEvents = 2500
)

// maxDrain is how much of a too large body is still read, in bytes, so that the client sees the 400
// and not a reset while it is sending.
const maxDrain = 8 << 20

// refusal is why a request is answered 400.
type refusal struct{ code, message string }

// buffers is the memory that one request needs while it is parsed. They are pooled: a batch is up to
// half a megabyte, and allocating that costs more than scanning it.
type buffers struct {
	body  bytes.Buffer
	plain bytes.Buffer
	unzip *gzip.Reader
	batch batch
}

// release drops what points into the buffers, before they go back to the pool.
func (b *buffers) release() {
	b.body.Reset()
	b.plain.Reset()
	b.batch.reset()
}

// read returns the decompressed body, valid until release, and how many bytes of the wire it took.
func (b *buffers) read(r *http.Request, rt route) (body []byte, wire int, _ *refusal) {
	limit, what := maxBatchBytes, "batch"
	if !rt.batch {
		limit, what = maxEventBytes, "event"
	}
	tooLarge := &refusal{what + "_too_large", fmt.Sprintf("%s is larger than %d bytes", what, limit)}

	if n := r.ContentLength; n > 0 && n <= int64(limit) {
		b.body.Grow(int(n) + bytes.MinRead) // MinRead more, or ReadFrom grows again to see the end
	}
	ok, err := readBounded(&b.body, r.Body, limit)
	wire = b.body.Len()
	if err != nil {
		return nil, wire, &refusal{"unreadable_body", "the body could not be read to its end"}
	}
	if !ok {
		drained, _ := io.CopyN(io.Discard, r.Body, maxDrain)
		return nil, wire + int(drained), tooLarge
	}
	switch enc := strings.ToLower(strings.TrimSpace(r.Header.Get("Content-Encoding"))); enc {
	case "", "identity":
		return b.body.Bytes(), wire, nil
	case "gzip":
		ok, err := b.gunzip(limit)
		if err != nil {
			return nil, wire, &refusal{"invalid_gzip", "the body has Content-Encoding: gzip and is not complete gzip"}
		}
		if !ok {
			return nil, wire, tooLarge
		}
		return b.plain.Bytes(), wire, nil
	default:
		return nil, wire, &refusal{"unsupported_encoding", "Content-Encoding must be gzip or identity"}
	}
}

// gunzip decompresses body into plain, and reports whether it fits in limit bytes.
func (b *buffers) gunzip(limit int) (bool, error) {
	if b.unzip == nil {
		b.unzip = new(gzip.Reader)
	}
	if err := b.unzip.Reset(&b.body); err != nil {
		return false, err
	}
	return readBounded(&b.plain, b.unzip, limit)
}

// readBounded reads r into dst and reports whether its end came within limit bytes. It holds at
// most one byte more.
func readBounded(dst *bytes.Buffer, r io.Reader, limit int) (bool, error) {
	n, err := dst.ReadFrom(io.LimitReader(r, int64(limit)+1))
	if err != nil && !errors.Is(err, io.EOF) {
		return false, err
	}
	return n <= int64(limit), nil
}

// decodeBase64 reads base64 with or without padding, and returns "" for anything else.
func decodeBase64(s string) string {
	out, err := base64.RawStdEncoding.DecodeString(strings.TrimRight(s, "="))
	if err != nil {
		return ""
	}
	return string(out)
}
