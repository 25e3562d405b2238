package replay

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/spillwayhq/spillway/shared/rawjson"
)

// An Edit sets or removes one field of an event. Everything else of the event stays the bytes that
// it is. The zero value is not valid: see [ParseEdit].
type Edit struct {
	text  string   // as it was given
	path  []string // of keys, at least one
	value []byte   // JSON; nil: the field is removed
}

// String returns the edit as [ParseEdit] reads it.
func (e *Edit) String() string { return e.text }

// ParseEdit reads "set PATH=VALUE" or "remove PATH". A path is keys with dots between them; a key
// that has a dot, a space or an equals sign stands in quotes, as in JSON. A value that is not JSON
// is taken as text, so that quotes that a shell would eat can be left out. The messageId is
// refused: of events that share one, Segment keeps the first.
func ParseEdit(text string) (Edit, error) {
	verb, rest, _ := strings.Cut(strings.TrimSpace(text), " ")
	e := Edit{text: text}
	path, rest, err := parsePath(strings.TrimLeft(rest, " "))
	if err != nil {
		return e, fmt.Errorf("%w in %q", err, text)
	}
	e.path = path
	if len(path) == 1 && path[0] == "messageId" {
		return e, fmt.Errorf("%q would make one event of all, or another at each try: --new-message-ids gives each a "+
			"messageId of its own", text)
	}
	switch value, isSet := strings.CutPrefix(strings.TrimLeft(rest, " "), "="); {
	case !utf8.ValidString(text):
		return e, fmt.Errorf("the edit must be UTF-8, is %q", text)
	case verb == "remove" && rest == "":
		return e, nil
	case verb == "set" && isSet:
		e.value = []byte(strings.TrimSpace(value))
		if !rawjson.Valid(e.value) {
			e.value = rawjson.AppendQuoted(nil, string(e.value))
		}
		return e, nil
	}
	return e, fmt.Errorf("an edit must be like set properties.replayed=true, or remove context.ip, is %q", text)
}

// parsePath cuts the path from the beginning of text.
func parsePath(text string) (path []string, rest string, err error) {
	for {
		var key, after string
		if strings.HasPrefix(text, `"`) {
			end := quotedEnd(text)
			if end < 0 || !rawjson.Valid([]byte(text[:end])) {
				return nil, "", errors.New("a key in quotes must be a JSON string")
			}
			key, after = string(rawjson.Unquote(nil, []byte(text[:end]))), text[end:]
		} else {
			end := strings.IndexFunc(text, func(r rune) bool { return r == '.' || r == '=' || unicode.IsSpace(r) })
			if end < 0 {
				end = len(text)
			}
			if key, after = text[:end], text[end:]; key == "" {
				return nil, "", errors.New("a key of the path must not be empty")
			}
		}
		path = append(path, key)
		var more bool
		if text, more = strings.CutPrefix(after, "."); !more {
			return path, after, nil
		}
	}
}

// quotedEnd is where the JSON string at the beginning of text ends, negative if it does not.
func quotedEnd(text string) int {
	for i := 1; i < len(text); i++ {
		switch text[i] {
		case '\\':
			i++
		case '"':
			return i + 1
		}
	}
	return -1
}

// errNoObject is why an edit can't be made.
var errNoObject = errors.New("is not an object")

// Append appends the edited event to dst. raw must be valid JSON. The error says that a part of the
// path is there and holds no object, so that nothing can be set in it; dst is then returned as it
// was.
func (e *Edit) Append(dst, raw []byte) ([]byte, error) {
	out, err := appendEdited(dst, bytes.TrimSpace(raw), e.path, e.value)
	if err != nil {
		return dst, fmt.Errorf("%s: %w", e.text, err)
	}
	return out, nil
}

// appendEdited edits one object: the field path[0] is replaced wherever it stands, since a key may
// be there twice, and appended if it is absent and something is set.
func appendEdited(dst, object []byte, path []string, value []byte) ([]byte, error) {
	if !rawjson.IsObject(object) {
		if value == nil {
			return append(dst, object...), nil // there is nothing to remove in it
		}
		return dst, errNoObject
	}
	var s rawjson.Scanner
	s.Reset(object)
	s.Enter('{')
	dst = append(dst, '{')
	start, copied, found := len(dst), s.Offset(), false
	var err error
	for {
		before := s.Offset()
		key, ok := s.Field()
		if !ok {
			break
		}
		matches := string(key) == path[0]
		v := s.Value()
		if !matches {
			continue
		}
		found = true
		from := s.Offset() - len(v)
		switch {
		case len(path) == 1 && value == nil:
			dst = appendMembers(dst, start, object[copied:before])
			copied = s.Offset()
			continue
		case len(path) == 1:
			dst = append(appendMembers(dst, start, object[copied:from]), value...)
		case rawjson.IsNull(v) && value != nil:
			dst = appendNested(appendMembers(dst, start, object[copied:from]), path[1:], value)
		default:
			dst = appendMembers(dst, start, object[copied:from])
			if dst, err = appendEdited(dst, v, path[1:], value); err != nil {
				return dst, fmt.Errorf("%s %w", path[0], err)
			}
		}
		copied = s.Offset()
	}
	end := len(object) - 1
	dst = appendMembers(dst, start, object[copied:end])
	if !found && value != nil {
		if len(dst) > start && len(bytes.TrimSpace(dst[start:])) > 0 {
			dst = append(dst, ',')
		}
		dst = append(rawjson.AppendQuoted(dst, path[0]), ':')
		dst = appendNested(dst, path[1:], value)
	}
	return append(dst, '}'), nil
}

// appendMembers copies members of an object behind those since start, without a comma at the
// beginning of the object.
func appendMembers(dst []byte, start int, members []byte) []byte {
	if len(bytes.TrimSpace(dst[start:])) == 0 {
		trimmed := bytes.TrimLeft(members, " \t\r\n")
		if len(trimmed) > 0 && trimmed[0] == ',' {
			members = trimmed[1:]
		}
	}
	return append(dst, members...)
}

// appendNested appends value within an object for each key of path.
func appendNested(dst []byte, path []string, value []byte) []byte {
	for _, key := range path {
		dst = append(rawjson.AppendQuoted(append(dst, '{'), key), ':')
	}
	dst = append(dst, value...)
	for range path {
		dst = append(dst, '}')
	}
	return dst
}
