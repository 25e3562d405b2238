// Package writekeys reads the ingest endpoint's set of write keys from a document that operators
// change while the program runs.
//
// The document names the keys and has their settings:
//
//	{"writeKeys": [
//	  {"name": "shop web", "writeKey": "…"},
//	  {"name": "partner", "writeKey": "…", "quota": 50, "burst": 1000},
//	  {"name": "old app", "writeKey": "…", "enabled": false}
//	]}
//
// enabled is true by default. quota is in events a second, unlimited by default, and burst is how
// many events may come at once before the quota counts. Each environment of a function and each
// server counts separately: n of them admit n times the quota.
//
// Package reload rereads the document regularly, so no restart is needed. A document that can't be
// read changes nothing, because a typing error must not make the endpoint refuse all events. Until
// a first set has been read, any well-formed key is accepted: Segment drops events with an unknown
// key anyway, while SDKs give up events that ingest refuses.
package writekeys

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/spillwayhq/spillway/shared/ingest"
)

// errDocument describes the document. The JSON decoder's own errors may quote it, and with it a
// key.
var errDocument = errors.New(`the write keys must be {"writeKeys":[{"name":"…","writeKey":"…"}]}, ` +
	`each optionally with "enabled" (true or false), "quota" and "burst" (numbers)`)

// describe says where a decoder's error is.
func describe(err error) string {
	var syntax *json.SyntaxError
	var wrongType *json.UnmarshalTypeError
	switch {
	case errors.As(err, &syntax):
		return fmt.Sprintf("invalid JSON at byte %d", syntax.Offset)
	case errors.As(err, &wrongType):
		return fmt.Sprintf("the value that ends at byte %d has the wrong type", wrongType.Offset)
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return "the document ends too early"
	}
	return "unknown field"
}

type document struct {
	WriteKeys []entry `json:"writeKeys"`
}

type entry struct {
	Name     string  `json:"name"`
	WriteKey string  `json:"writeKey"`
	Enabled  *bool   `json:"enabled"`
	Quota    float64 `json:"quota"`
	Burst    float64 `json:"burst"`
}

// Parse reads a document. An unknown field is an error, because it would be a setting without
// effect; so is a document without keys, because every request would be refused. No error quotes a
// key. [ingest.NewKeys] validates the keys themselves.
func Parse(data []byte) (map[string]ingest.Key, error) {
	var d document
	decoder := json.NewDecoder(bytes.NewReader(data))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&d); err != nil {
		return nil, fmt.Errorf("%w: %s", errDocument, describe(err))
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("%w: unexpected data after the document, at byte %d", errDocument, decoder.InputOffset())
	}
	if len(d.WriteKeys) == 0 {
		return nil, fmt.Errorf("%w: there are no keys (to disable a key, set \"enabled\" to false)", errDocument)
	}
	keys := make(map[string]ingest.Key, len(d.WriteKeys))
	for _, e := range d.WriteKeys {
		if other, ok := keys[e.WriteKey]; ok {
			return nil, fmt.Errorf("%q and %q have the same write key", other.Name, e.Name)
		}
		keys[e.WriteKey] = ingest.Key{Name: e.Name, Disabled: e.Enabled != nil && !*e.Enabled, Quota: e.Quota, Burst: e.Burst}
	}
	return keys, nil
}
