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

	"github.com/klauspost/compress/gzip"
)

// firstRead is how much room a body gets before any of it has come: a client that announces much
// and sends little costs no more.
const firstRead = 4 << 10

// hold counts what the request holds, and more bytes that it is about to take, among what all
// requests may hold; false when there is no room for what came on top.
func (h *Handler) hold(q *request, more int) bool {
	n := q.size() + more - q.reserved
	if h.waiting.Add(int64(n)) > int64(h.config.Limits.MaxMemory) && n > 0 {
		h.waiting.Add(int64(-n))
		return false
	}
	q.reserved += n
	return true
}

// readAll fills buf, a buffer of q's, with what r yields, not more than limit bytes. otherwise says
// what an error of r's means.
func (h *Handler) readAll(q *request, buf *[]byte, r io.Reader, limit int, otherwise func(error) *refusal) *refusal {
	for b := (*buf)[:0]; ; {
		if len(b) == cap(b) {
			more := max(firstRead, len(b)) // doubled
			if !h.hold(q, more) {
				return refusalOverloaded
			}
			b = slices.Grow(b, more)
		}
		n, err := r.Read(b[len(b):min(cap(b), limit+1)])
		b = b[:len(b)+n]
		*buf = b
		if len(b) > limit {
			return refusalBodyTooLarge
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return otherwise(err)
		}
	}
}

// readFault says what an error of a request's body means. Most are the network's, and the body may
// come again. What can't be read as chunks will not be better then; net/http has no names for its
// errors there.
func readFault(r *http.Request) func(error) *refusal {
	return func(err error) *refusal {
		var tooLarge *http.MaxBytesError // somebody's in front of us
		var network net.Error
		switch {
		case errors.As(err, &tooLarge):
			return refusalBodyTooLarge
		case !slices.Contains(r.TransferEncoding, "chunked") || errors.As(err, &network) ||
			errors.Is(err, io.ErrUnexpectedEOF) ||
			errors.Is(err, io.ErrClosedPipe) || errors.Is(err, context.Canceled) || errors.Is(err, http.ErrBodyReadAfterClose):
			return refusalBodyIncomplete
		}
		return refusalChunks
	}
}

func gzipFault(error) *refusal { return refusalGzip }

// gzipMagic is how a gzip member begins (RFC 1952, 2.3.1), with deflate, the only method there is.
var gzipMagic = []byte{0x1f, 0x8b, 0x08}

// readBody reads and decompresses a request's body. Whether it is compressed its first bytes say
// and not its header: some gateways decide by the content type whether they carry a body as text,
// which mangles it, and some proxies decompress it and leave the header.
func (h *Handler) readBody(q *request, r *http.Request) ([]byte, *refusal) {
	limit := h.config.Limits.MaxBody
	if r.ContentLength > int64(limit) {
		return nil, refusalBodyTooLarge
	}
	if f := h.readAll(q, &q.raw, r.Body, limit, readFault(r)); f != nil {
		return nil, f
	}
	announced := strings.EqualFold(r.Header.Get("Content-Encoding"), "gzip")
	if !bytes.HasPrefix(q.raw, gzipMagic) {
		body := bytes.TrimPrefix(q.raw, byteOrderMark)
		if announced {
			if trimmed := bytes.TrimLeft(body, " \t\r\n"); len(trimmed) == 0 || trimmed[0] != '{' {
				return nil, refusalGzip
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
		return nil, refusalGzip
	}
	if f := h.readAll(q, &q.unpacked, q.gzip, limit, gzipFault); f != nil {
		return nil, f
	}
	return bytes.TrimPrefix(q.unpacked, byteOrderMark), nil
}

// utf8Mark is the byte order mark that some writers put in front of UTF-8, and that JSON does not
// know.
var byteOrderMark = []byte("\xef\xbb\xbf")
