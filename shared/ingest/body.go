package ingest

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"slices"
	"strings"

	"github.com/klauspost/compress/gzip"
)

// firstRead is how much room a body gets before any of it has come: a client that announces much and sends little costs no more.
const firstRead = 4 << 10

// reserve takes n bytes of what may wait, until the request's end; false when there is no room.
func (h *Handler) reserve(q *request, n int) bool {
	if h.waiting.Add(int64(n)) > int64(h.c.Limits.MaxWaiting) {
		h.waiting.Add(int64(-n))
		return false
	}
	q.reserved += n
	return true
}

// readAll appends what r yields to buf, not more than limit bytes, each of them reserved. The fault otherwise is what r's error
// means.
func (h *Handler) readAll(q *request, buf []byte, r io.Reader, limit int, otherwise *fault) ([]byte, *fault) {
	for {
		if len(buf) == cap(buf) {
			buf = slices.Grow(buf, max(firstRead, len(buf))) // doubled
		}
		n, err := r.Read(buf[len(buf):min(cap(buf), limit+1)])
		buf = buf[:len(buf)+n]
		if len(buf) > limit {
			return buf, faultBody
		}
		if !h.reserve(q, n) {
			return buf, faultBusy
		}
		if err == io.EOF {
			return buf, nil
		}
		if err != nil {
			var tooLarge *http.MaxBytesError // somebody's in front of us
			if errors.As(err, &tooLarge) {
				return buf, faultBody
			}
			return buf, otherwise
		}
	}
}

// gzipMagic is how a gzip member begins (RFC 1952, 2.3.1), with deflate, the only method there is.
var gzipMagic = []byte{0x1f, 0x8b, 0x08}

// readBody reads and decompresses a request's body. Whether it is compressed its first bytes say and not its header: some
// gateways decide by the content type whether they carry a body as text, which mangles it, and some proxies decompress it and
// leave the header.
func (h *Handler) readBody(q *request, r *http.Request) ([]byte, *fault) {
	limit := h.c.Limits.MaxBody
	if r.ContentLength > int64(limit) {
		return nil, faultBody
	}
	if n := int(r.ContentLength); n > 0 && n < 64<<10 && cap(q.raw) <= n {
		q.raw = make([]byte, 0, n+1) // with room to see the end
	}
	var f *fault
	if q.raw, f = h.readAll(q, q.raw[:0], r.Body, limit, faultRead); f != nil {
		return nil, f
	}
	announced := strings.EqualFold(r.Header.Get("Content-Encoding"), "gzip")
	if !bytes.HasPrefix(q.raw, gzipMagic) {
		body := bytes.TrimPrefix(q.raw, utf8Mark)
		if announced {
			if trimmed := bytes.TrimLeft(body, " \t\r\n"); len(trimmed) == 0 || trimmed[0] != '{' {
				return nil, faultGzip
			}
			q.summary.GzipAbsent = true
		}
		return body, nil
	}
	q.summary.GzipUnannounced = !announced
	q.packed.Reset(q.raw)
	if q.gzip == nil {
		q.gzip = new(gzip.Reader)
	}
	if q.gzip.Reset(&q.packed) != nil {
		return nil, faultGzip
	}
	if q.unpacked, f = h.readAll(q, q.unpacked[:0], q.gzip, limit, faultGzip); f != nil {
		return nil, f
	}
	return bytes.TrimPrefix(q.unpacked, utf8Mark), nil
}

// utf8Mark is the byte order mark that some writers put in front of UTF-8, and that JSON does not know.
var utf8Mark = []byte("\xef\xbb\xbf")
