// Package writekeys reads the ingest endpoint's set of write keys from documents that operators
// change while the program runs. docs/write-keys.md describes a document for those who write it:
//
//	{"writeKeys": [
//	  {"name": "shop web", "writeKey": "…"},
//	  {"name": "partner", "writeKey": "…", "quota": 50, "burst": 1000},
//	  {"name": "old app", "writeKey": "…", "enabled": false}
//	]}
//
// Package reload rereads the documents regularly, so no restart is needed. A document that can't be
// read changes nothing, because a typing error must not make the endpoint refuse all events. While
// a document has never been read, a key that is not in the others is answered 429, so that SDKs
// retry: accepting it would open the endpoint to everybody whenever a new process meets a mistake.
package writekeys

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spillwayhq/spillway/shared/event"
	"github.com/spillwayhq/spillway/shared/ingest"
	"github.com/spillwayhq/spillway/shared/rawjson"
)

// errDocument describes the document. The JSON decoder's own errors may quote it, and with it a
// key.
var errDocument = errors.New(`the write keys must be {"writeKeys":[{"name":"…","writeKey":"…"}]}, ` +
	`each optionally with "enabled" (true or false), "quota" and "burst" (numbers)`)

// A Document is a set of write keys.
type Document struct {
	Entries  []Entry  // in the document's order
	Warnings []string // what was corrected; they name no key
	// Unknown says where the fields are that this version does not know, like "line 3, column 9". They
	// have no effect: they are a newer version's, or misspelt.
	Unknown []string
	Keys    *ingest.Keys
}

// KnownFields are those of an entry, for people.
const KnownFields = "name, writeKey, enabled, quota, burst"

// An Entry is one write key.
type Entry struct {
	WriteKey string
	ingest.Key
}

// entry is an Entry as a document has it.
type entry struct {
	Name     string  `json:"name"`
	WriteKey string  `json:"writeKey"`
	Enabled  *bool   `json:"enabled"`
	Quota    float64 `json:"quota"`
	Burst    float64 `json:"burst"`
}

// Parse reads a document and validates its keys. A repeated field is an error, because one of the two
// would have no effect; so is a document without keys, because every request would be refused. Fields
// that are unknown are not, because an older version must go on after a roll-back. Blanks around a
// write key are removed, with a warning. No error and no warning quotes a key.
func Parse(data []byte) (*Document, error) {
	data, err := plainUTF8(data)
	if err != nil {
		return nil, err
	}
	var content struct {
		WriteKeys []entry `json:"writeKeys"`
	}
	decoder := json.NewDecoder(bytes.NewReader(data))
	if err := decoder.Decode(&content); err != nil {
		return nil, fmt.Errorf("%w: %s", errDocument, describe(data, err))
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("%w: unexpected data after the document, at %s", errDocument,
			place(data, decoder.InputOffset()))
	}
	repeated, unknown := oddFields(data)
	if len(repeated) > 0 {
		return nil, fmt.Errorf("%w: a field is there twice, at %s", errDocument, place(data, repeated[0]))
	}
	if len(content.WriteKeys) == 0 {
		return nil, fmt.Errorf("%w: there are no keys (to disable a key, set \"enabled\" to false)", errDocument)
	}
	d := new(Document)
	for _, at := range unknown {
		d.Unknown = append(d.Unknown, place(data, at))
	}
	for _, e := range content.WriteKeys {
		key := event.TrimWriteKey(e.WriteKey)
		if key != e.WriteKey {
			d.Warnings = append(d.Warnings, fmt.Sprintf("the write key named %q has white space around it, which is ignored",
				e.Name))
		}
		d.Entries = append(d.Entries, Entry{key, ingest.Key{
			Name: e.Name, Disabled: e.Enabled != nil && !*e.Enabled, Quota: e.Quota, Burst: e.Burst,
		}})
	}
	d.Keys, err = setOf(d.Entries)
	return d, err
}

// setOf validates the entries of one or more documents.
func setOf(entries []Entry) (*ingest.Keys, error) {
	keys := make(map[string]ingest.Key, len(entries))
	for _, e := range entries {
		if other, ok := keys[e.WriteKey]; ok {
			return nil, fmt.Errorf("%q and %q have the same write key", other.Name, e.Name)
		}
		keys[e.WriteKey] = e.Key
	}
	return ingest.NewKeys(keys)
}

// Together reports whether the documents can be used together: no key and no name may be in two of
// them.
func Together(documents []*Document) error {
	var all []Entry
	for _, d := range documents {
		all = append(all, d.Entries...)
	}
	_, err := setOf(all)
	return err
}

// plainUTF8 removes the byte order mark that editors on Windows write, and refuses the encoding
// that PowerShell redirects with.
func plainUTF8(data []byte) ([]byte, error) {
	if bytes.HasPrefix(data, []byte("\xff\xfe")) || bytes.HasPrefix(data, []byte("\xfe\xff")) {
		return nil, fmt.Errorf("%w: it is in UTF-16: save it as UTF-8", errDocument)
	}
	return bytes.TrimPrefix(data, []byte("\ufeff")), nil
}

// describe says where a decoder's error is.
func describe(data []byte, err error) string {
	var syntax *json.SyntaxError
	var wrongType *json.UnmarshalTypeError
	switch {
	case errors.As(err, &syntax):
		return "invalid JSON at " + place(data, syntax.Offset)
	case errors.As(err, &wrongType):
		return "the value that ends at " + place(data, wrongType.Offset) + " has the wrong type"
	}
	return "the document ends too early"
}

// place is where the first n bytes of data end, as editors count.
func place(data []byte, n int64) string {
	before := data[:min(max(n, 0), int64(len(data)))]
	line := bytes.Count(before, []byte("\n")) + 1
	column := len(before) - (bytes.LastIndexByte(before, '\n') + 1)
	return fmt.Sprintf("line %d, column %d", line, max(column, 1))
}

// fields are those that an object of a document may have, or the objects of an array: by name in
// lower case, because the decoder ignores case. nil: any.
type fields map[string]fields

var documentFields = fields{"writekeys": {"name": nil, "writekey": nil, "enabled": nil, "quota": nil, "burst": nil}}

// oddFields finds the fields that an object of a document has twice, of which the decoder would use
// the last, and those that are unknown, without what is inside them. data is valid JSON. The
// positions are where the names end.
func oddFields(data []byte) (repeated, unknown []int64) {
	var s rawjson.Scanner
	s.Reset(data)
	var value func(known fields)
	object := func(known fields) {
		seen := map[string]bool{}
		for key, ok := s.Field(); ok; key, ok = s.Field() {
			name := strings.ToLower(string(key))
			end := int64(bytes.LastIndexByte(data[:s.Offset()], '"') + 1) // before the colon
			if seen[name] {
				repeated = append(repeated, end)
			}
			seen[name] = true
			inside, ok := known[name]
			if known != nil && !ok {
				unknown = append(unknown, end)
			}
			value(inside)
		}
	}
	value = func(known fields) {
		switch s.Peek() {
		case '{':
			s.Enter('{')
			object(known)
		case '[':
			s.Enter('[')
			for s.Elem() {
				value(known)
			}
		default:
			s.Value()
		}
	}
	value(documentFields)
	return repeated, unknown
}
