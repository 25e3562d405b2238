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

// firstRead is how much room a body gets before any of it has arrived: a client that announces much
// and sends little costs no more.
const firstRead = 4 << 10

// gzipMagic is how a gzip member begins (RFC 1952, 2.3.1), with deflate, the only method there is.
var gzipMagic = []byte{0x1f, 0x8b, 0x08}

// byteOrderMark is what some writers put in front of UTF-8, and what JSON does not allow.
var byteOrderMark = []byte("\xef\xbb\xbf")

// readBody reads and decompresses a request's body. Its first bytes say whether it is compressed,
// and not its header: some gateways decide by the content type whether they carry a body as text,
// which damages it, and some proxies decompress it and leave the header.
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

// readAll fills buf, one of q's buffers, with what r yields. refused says that this is more than
// limit bytes or than the memory allows; err is r's.
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

// bodyRefusal says what an error of a request's body means. Most are the network's, and a retry may
// succeed. Malformed chunks will not be better then; net/http has no names for those errors.
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
