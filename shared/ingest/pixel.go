package ingest

import (
	"context"
	"encoding/base64"
	"iter"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/spillwayhq/spillway/shared/event"
	"github.com/spillwayhq/spillway/shared/rawjson"
)

// readPixel returns the event of a pixel request, which is in the query parameter data, or without
// it in the other parameters. limit bounds the query, in bytes.
func (q *request) readPixel(query string, limit int) (body []byte, refused *refusal) {
	if len(query) > limit {
		return nil, bodyTooLarge(limit)
	}
	data, others := "", false
	for name, value := range queryPairs(query) {
		switch {
		case name == "data":
			if data == "" {
				data = value
			}
		case name == "writeKey":
			q.queryKey = value
		default:
			others = true
		}
	}
	switch {
	case data != "":
		q.raw, refused = appendData(q.raw[:0], data)
	case others:
		q.raw, refused = appendQueryEvent(q.raw[:0], query)
	default:
		refused = refusalPixel
	}
	return q.raw, refused
}

// queryPairs yields the names and values of a query. It reads as browsers write, and what is
// wrongly escaped as it stands: one broken pair must not cost the others.
func queryPairs(query string) iter.Seq2[string, string] {
	return func(yield func(string, string) bool) {
		for pair := range strings.SplitSeq(query, "&") {
			name, value, _ := strings.Cut(pair, "=")
			name = strings.TrimPrefix(name, "amp;") // of an HTML page that was escaped twice
			if name != "" && !yield(unescape(name, " "), unescape(value, " ")) {
				return
			}
		}
	}
}

// unescape replaces the escapes of a query, and a plus by what it stands for. A percent sign that
// begins no escape is left.
func unescape(text, plus string) string {
	if !strings.ContainsAny(text, "%+") {
		return text
	}
	var b strings.Builder
	for i := 0; i < len(text); i++ {
		c := text[i]
		if c == '+' {
			b.WriteString(plus)
			continue
		}
		if c == '%' && i+2 < len(text) {
			high, low := unhex(text[i+1]), unhex(text[i+2])
			if high >= 0 && low >= 0 {
				c = byte(high<<4 | low)
				i += 2
			}
		}
		b.WriteByte(c)
	}
	return b.String()
}

func unhex(c byte) int { return strings.IndexByte("0123456789abcdef", c|0x20) }

// appendData decodes the parameter data: an event's JSON, as it is or in base64. Both may be
// escaped once more than needed, since btoa takes no text beyond Latin-1 that is not.
func appendData(dst []byte, data string) ([]byte, *refusal) {
	text := trimData(data)
	if !strings.HasPrefix(text, "{") {
		var ok bool
		if text, ok = decodeBase64(unescape(text, "+")); !ok {
			return dst, refusalPixel
		}
		text = trimData(text)
	}
	return append(dst, text...), nil
}

// trimData removes what surrounds a document, and escapes.
func trimData(text string) string {
	const blank = " \t\r\n\ufeff"
	text = strings.Trim(text, blank)
	if strings.HasPrefix(text, "%") {
		text = strings.Trim(unescape(text, "+"), blank)
	}
	return text
}

// base64Variants are what the characters of base64 become: those of the alphabet for URLs, a plus
// that was not escaped, and the ends of lines.
var base64Variants = strings.NewReplacer("-", "+", "_", "/", " ", "+", "\r", "", "\n", "", "\t", "")

// decodeBase64 reads base64 of either alphabet, with padding or without. ok is false for nothing.
func decodeBase64(text string) (decoded string, ok bool) {
	b, err := base64.RawStdEncoding.DecodeString(strings.TrimRight(base64Variants.Replace(text), "="))
	return string(b), err == nil && len(b) > 0
}

// A queryObject is an object of an event that is written in a query: of strings of JSON and of
// further objects.
type queryObject map[string]any

// appendQueryEvent appends the event that a query writes as fields: properties.plan=pro is a field
// of an object. All values are strings, because nothing says what else they are, but for true and
// false where Segment reads nothing else. A value that is empty is absent, because AMP sends its
// variables so that it does not know, but not in properties and traits.
func appendQueryEvent(dst []byte, query string) ([]byte, *refusal) {
	root, size := queryObject{}, 0
	for name, value := range queryPairs(query) {
		path := strings.SplitN(name, ".", event.MaxDepth+1)
		size += len(value) + len(path[len(path)-1])
		switch {
		case size > event.MaxEventBytes:
			return dst, eventRefusal(event.TooLarge)
		case !utf8.ValidString(name) || !utf8.ValidString(value):
			return dst, eventRefusal(event.NotUTF8)
		case len(path) > event.MaxDepth:
			return dst, eventRefusal(event.TooDeep)
		case name == "data", value == "" && path[0] != "properties" && path[0] != "traits":
			continue
		}
		root.set(path, value)
	}
	return root.append(dst), nil
}

// set sets a field. Where one pair says that a field is an object and another that it is not, it is
// one.
func (o queryObject) set(path []string, value string) {
	root, last := path[0], len(path)-1
	for _, name := range path[:last] {
		next, ok := o[name].(queryObject)
		if !ok {
			next = queryObject{}
			o[name] = next
		}
		o = next
	}
	name := path[last]
	if last == 0 && setObject(o, name, value) {
		return
	}
	if _, ok := o[name].(queryObject); ok {
		return
	}
	consents := root == "context" && last > 1 && path[1] == "consent"
	if (root == "integrations" || consents) && (value == "true" || value == "false") {
		o[name] = value
		return
	}
	o[name] = string(rawjson.AppendQuoted(nil, value))
}

// setObject sets a field of the event that is an object to one that is written as JSON. It returns
// false if it is none.
func setObject(event queryObject, name, value string) bool {
	switch name {
	case "context", "integrations", "properties", "traits":
	default:
		return false
	}
	if !strings.HasPrefix(value, "{") || !rawjson.Valid([]byte(value)) {
		return false
	}
	o, ok := event[name].(queryObject)
	if !ok {
		o = queryObject{}
		event[name] = o
	}
	var s rawjson.Scanner
	s.Reset([]byte(value))
	s.Enter('{')
	for {
		key, ok := s.Field()
		if !ok {
			return true
		}
		name := string(key)
		if _, ok := o[name].(queryObject); !ok {
			o[name] = string(s.Value())
		} else {
			s.Value()
		}
	}
}

// append appends the object as JSON, its fields in alphabetical order.
func (o queryObject) append(dst []byte) []byte {
	dst = append(dst, '{')
	for i, name := range slices.Sorted(maps.Keys(o)) {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(rawjson.AppendQuoted(dst, name), ':')
		switch v := o[name].(type) {
		case queryObject:
			dst = v.append(dst)
		case string:
			dst = append(dst, v...)
		}
	}
	return append(dst, '}')
}

// pixelLogInterval is the least time between two lines of a pixelLog: anybody can cause them.
const pixelLogInterval = time.Second

// pixelLog logs by their codes the pixel requests that were refused, since whoever sends them sees
// only the image. It is safe for concurrent use.
type pixelLog struct {
	mu     sync.Mutex
	counts map[string]int // since the last line
	next   time.Time      // no line before
}

func (l *pixelLog) add(ctx context.Context, logger *slog.Logger, now time.Time, code string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.counts == nil {
		l.counts = map[string]int{}
	}
	l.counts[code]++
	if !now.Before(l.next) {
		l.next = now.Add(pixelLogInterval)
		l.write(ctx, logger)
	}
}

// flush logs what has not been logged yet.
func (l *pixelLog) flush(logger *slog.Logger) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.write(context.Background(), logger)
}

func (l *pixelLog) write(ctx context.Context, logger *slog.Logger) {
	if len(l.counts) == 0 {
		return
	}
	logger.WarnContext(ctx, "pixel requests were refused and answered with the image: their events are lost",
		"requests_by_code",
		l.counts)
	l.counts = nil
}
