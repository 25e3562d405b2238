package ingest

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/klauspost/compress/gzip"
)

// firstRead is the buffer's size before any of the body has arrived: a client that announces much
// and sends little costs no more.
const firstRead = 2 << 10

// gzipMagic is how a gzip member begins (RFC 1952, 2.3.1), with deflate, the only method there is.
var gzipMagic = []byte{0x1f, 0x8b, 0x08}

// byteOrderMark begins the UTF-8 of some writers, but JSON does not allow it.
var byteOrderMark = []byte("\xef\xbb\xbf")

// readBody reads and decompresses a request's body. It tells by the first bytes whether the body is
// gzip, because the header may be wrong: some proxies decompress a body and leave the header,
// others remove only the header, and a gateway may carry the body as text, which damages it.
func (q *request) readBody(r *http.Request, limit int) ([]byte, *refusal) {
	announced, refused := isGzip(r.Header["Content-Encoding"])
	if refused != nil {
		return nil, refused
	}
	if r.ContentLength > int64(limit) {
		return nil, bodyTooLarge(limit)
	}
	refused, err := q.readAll(&q.raw, r.Body, limit)
	q.arrived()
	if err != nil {
		refused = bodyRefusal(r, err, limit)
	}
	if refused != nil {
		return nil, refused
	}
	if isMangled(q.raw) {
		q.summary.GzipMangled = true
		if !restore(&q.raw) {
			return nil, refusalMangled
		}
	}
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

// isGzip reports whether a body is announced as gzip, by the values of Content-Encoding. Any other
// encoding is refused, whatever the body looks like.
func isGzip(values []string) (bool, *refusal) {
	found := 0
	for _, value := range values {
		for encoding := range strings.SplitSeq(value, ",") {
			switch encoding = strings.ToLower(strings.TrimSpace(encoding)); encoding {
			case "gzip", "x-gzip":
				if found++; found > 1 {
					return false, unsupportedEncoding("gzip, gzip")
				}
			case "", "identity", "utf-8", "utf8": // the last two by clients that mean a charset
			default:
				return false, unsupportedEncoding(encoding)
			}
		}
	}
	return found > 0, nil
}

// isMangled reports whether a gzip body was carried as text, which changes bytes above 0x7F: the
// second byte of the magic among them. No JSON begins with the first one.
func isMangled(body []byte) bool {
	return len(body) > 1 && body[0] == gzipMagic[0] && body[1] != gzipMagic[1]
}

// restore undoes in place what carrying a body as text has done, if each byte has become one
// character (ISO 8859-1). It can't be undone where characters were replaced.
func restore(body *[]byte) bool {
	from := *body
	if !bytes.HasPrefix(from, []byte("\x1f\xc2\x8b")) {
		return false
	}
	to := from[:0]
	for len(from) > 0 {
		c, size := utf8.DecodeRune(from)
		if c > 0xFF || c == utf8.RuneError {
			return false
		}
		to = append(to, byte(c)) // never beyond what was read
		from = from[size:]
	}
	*body = to
	return true
}

// unpack decompresses what was read. What follows the last gzip member is ignored, as gzip(1) does:
// some clients fill a block up.
func (q *request) unpack(limit int) ([]byte, *refusal) {
	q.packed.Reset(q.raw)
	if q.gzip == nil {
		q.gzip = new(gzip.Reader)
	}
	q.unpacked = q.unpacked[:0]
	for more := true; more; more = bytes.HasPrefix(q.raw[len(q.raw)-q.packed.Len():], gzipMagic) {
		if q.gzip.Reset(&q.packed) != nil {
			return nil, refusalGzip
		}
		q.gzip.Multistream(false)
		refused, err := q.readOn(&q.unpacked, q.gzip, limit)
		if err != nil {
			refused = refusalGzip
		}
		if refused != nil {
			return nil, refused
		}
	}
	return bytes.TrimPrefix(q.unpacked, byteOrderMark), nil
}

// readAll reads r into buf, one of q's buffers. refused is set if that is more than limit bytes or
// than the memory budget allows; err is r's error.
func (q *request) readAll(buf *[]byte, r io.Reader, limit int) (refused *refusal, err error) {
	*buf = (*buf)[:0]
	return q.readOn(buf, r, limit)
}

// readOn is readAll behind what buf already holds.
func (q *request) readOn(buf *[]byte, r io.Reader, limit int) (refused *refusal, err error) {
	for b := *buf; ; {
		if len(b) == cap(b) {
			more := max(firstRead, len(b)) // doubled
			if !q.reserve(more) {
				return refusalNoMemory, nil
			}
			b = slices.Grow(b, more)
		}
		n, err := r.Read(b[len(b):min(cap(b), limit+1)])
		b = b[:len(b)+n]
		*buf = b
		switch {
		case len(b) > limit:
			return bodyTooLarge(limit), nil
		case err == io.EOF:
			return nil, nil
		case err != nil:
			return nil, err
		}
		q.arriving()
	}
}

// bodyRefusal returns the refusal for an error while a body is read. Most are network errors, and a
// retry may succeed. Malformed chunks are not, but net/http does not export those errors.
func bodyRefusal(r *http.Request, err error, limit int) *refusal {
	var tooLarge *http.MaxBytesError // of a handler in front of us
	var network net.Error
	switch {
	case errors.As(err, &tooLarge):
		return bodyTooLarge(min(limit, int(tooLarge.Limit)))
	case !slices.Contains(r.TransferEncoding, "chunked") || errors.As(err, &network) ||
		errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.ErrClosedPipe) ||
		errors.Is(err, context.Canceled) || errors.Is(err, http.ErrBodyReadAfterClose):
		return refusalBodyIncomplete
	}
	return refusalChunks
}
