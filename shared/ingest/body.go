package ingest

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"io"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/klauspost/compress/gzip"
)

// firstRead is the buffer's size before any of the body has arrived: a client that announces much
// and sends little costs no more.
const firstRead = 4 << 10

// gzipMagic is how a gzip member begins (RFC 1952, 2.3.1), with deflate, the only method there is.
var gzipMagic = []byte{0x1f, 0x8b, 0x08}

// byteOrderMark begins the UTF-8 of some writers, but JSON does not allow it.
var byteOrderMark = []byte("\xef\xbb\xbf")

// readBody reads and decompresses a request's body. It tells by the first bytes whether the body is
// compressed, because the header may be wrong: some proxies decompress a body and leave the header,
// others remove only the header. A gateway that carried a gzip body as text has damaged it: it is
// refused.
func (q *request) readBody(r *http.Request, limit int) ([]byte, *refusal) {
	if r.ContentLength > int64(limit) {
		return nil, refusalBodyTooLarge
	}
	refused, err := q.readAll(&q.raw, r.Body, limit)
	if err != nil {
		refused = bodyRefusal(r, err)
	}
	if refused != nil {
		return nil, refused
	}
	announced := strings.EqualFold(r.Header.Get("Content-Encoding"), "gzip")
	if bytes.HasPrefix(q.raw, gzipMagic) {
		q.summary.GzipUnannounced = !announced
		return q.unpack(limit)
	}
	body := bytes.TrimPrefix(q.raw, byteOrderMark)
	if announced {
		if trimmed := bytes.TrimLeft(body, " \t\r\n"); len(trimmed) == 0 || trimmed[0] != '{' {
			return nil, refusalGzip
		}
		q.summary.GzipAbsent = true
	}
	return body, nil
}

// unpack decompresses what was read.
func (q *request) unpack(limit int) ([]byte, *refusal) {
	q.packed.Reset(q.raw)
	if q.gzip == nil {
		q.gzip = new(gzip.Reader)
	}
	if q.gzip.Reset(&q.packed) != nil {
		return nil, refusalGzip
	}
	refused, err := q.readAll(&q.unpacked, q.gzip, limit)
	if err != nil {
		refused = refusalGzip
	}
	if refused != nil {
		return nil, refused
	}
	return bytes.TrimPrefix(q.unpacked, byteOrderMark), nil
}

// readAll reads r into buf, one of q's buffers. refused is set if that is more than limit bytes or
// than the memory budget allows; err is r's error.
func (q *request) readAll(buf *[]byte, r io.Reader, limit int) (refused *refusal, err error) {
	for b := (*buf)[:0]; ; {
		if len(b) == cap(b) {
			more := max(firstRead, len(b)) // doubled
			if !q.reserve(more) {
				return refusalOverloaded, nil
			}
			b = slices.Grow(b, more)
		}
		n, err := r.Read(b[len(b):min(cap(b), limit+1)])
		b = b[:len(b)+n]
		*buf = b
		switch {
		case len(b) > limit:
			return refusalBodyTooLarge, nil
		case err == io.EOF:
			return nil, nil
		case err != nil:
			return nil, err
		}
	}
}

// bodyRefusal returns the refusal for an error while a body is read. Most are network errors, and a
// retry may succeed. Malformed chunks are not, but net/http does not export those errors.
func bodyRefusal(r *http.Request, err error) *refusal {
	var tooLarge *http.MaxBytesError // of a handler in front of us
	var network net.Error
	switch {
	case errors.As(err, &tooLarge):
		return refusalBodyTooLarge
	case !slices.Contains(r.TransferEncoding, "chunked") || errors.As(err, &network) ||
		errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.ErrClosedPipe) ||
		errors.Is(err, context.Canceled) || errors.Is(err, http.ErrBodyReadAfterClose):
		return refusalBodyIncomplete
	}
	return refusalChunks
}

// readPixel decodes the query parameter data: base64 of either alphabet, with padding or without.
func (q *request) readPixel(query string, limit int) ([]byte, *refusal) {
	values, err := url.ParseQuery(query)
	data := strings.TrimRight(values.Get("data"), "=")
	if err != nil || data == "" {
		return nil, refusalPixel
	}
	if len(data) > limit {
		return nil, refusalBodyTooLarge
	}
	// A plus that was not escaped has become a space.
	data = strings.NewReplacer("-", "+", "_", "/", " ", "+").Replace(data)
	if q.raw, err = base64.RawStdEncoding.AppendDecode(q.raw[:0], []byte(data)); err != nil || len(q.raw) == 0 {
		return nil, refusalPixel
	}
	return q.raw, nil
}
