// Package writekeys keeps the door's set of write keys up to date, from a document that operators
// change while it is in use.
//
// The document names the keys and has their switches:
//
//	{"writeKeys": [
//	  {"name": "shop web", "writeKey": "…"},
//	  {"name": "partner", "writeKey": "…", "quota": 50, "burst": 1000},
//	  {"name": "old app", "writeKey": "…", "enabled": false}
//	]}
//
// enabled is true where it is left out, quota is in events a second and none where it is left out,
// and burst is how many events may come at once before the quota counts. A quota is kept by each
// environment of a function and by each server: n of them let n times as much through.
//
// The document is read again every minute, so no restart is needed. What can't be read or
// understood changes nothing: the last good set stays, because a typing error must not turn all
// events away; and the program starts without any, because a source that is away for a moment must
// not keep the door shut. Until a first set was read any well-formed key is taken, as without a
// set: Segment drops what has an unknown key, while events that we refuse are lost, for every SDK
// takes our word that a key is wrong.
package writekeys

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/spillwayhq/spillway/shared/ingest"
)

// errDocument is what to write. The decoder's own errors may quote the document, and with it a key.
var errDocument = errors.New(`it is no set of write keys: write {"writeKeys":[{"name":"…","writeKey":"…"}]}, in which each may have "enabled" (true or false), "quota" and "burst" (numbers) besides`)

// mistake says where a decoder's error is.
func mistake(err error) string {
	var syntax *json.SyntaxError
	var kind *json.UnmarshalTypeError
	switch {
	case errors.As(err, &syntax):
		return fmt.Sprintf("it is no JSON from byte %d on", syntax.Offset)
	case errors.As(err, &kind):
		return fmt.Sprintf("the value that ends at byte %d is not of that kind", kind.Offset)
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return "it ends too early"
	}
	return "it has a field of another name"
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

// Parse reads a document. A field that is not known is an error, because it is a switch that would
// do nothing; so is a document without any key, because it would turn everything away. No error
// quotes a key. What is wrong with the keys themselves ingest.Keys says.
func Parse(data []byte) (map[string]ingest.Key, error) {
	var d document
	decoder := json.NewDecoder(bytes.NewReader(data))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&d); err != nil {
		return nil, fmt.Errorf("%w (%s)", errDocument, mistake(err))
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("%w (there is more behind its end, at byte %d)", errDocument, decoder.InputOffset())
	}
	if len(d.WriteKeys) == 0 {
		return nil, fmt.Errorf("%w (it has none; to turn a key off, write \"enabled\":false)", errDocument)
	}
	keys := make(map[string]ingest.Key, len(d.WriteKeys))
	for _, e := range d.WriteKeys {
		if other, twice := keys[e.WriteKey]; twice {
			return nil, fmt.Errorf("%q and %q are the same write key: write it once", other.Name, e.Name)
		}
		keys[e.WriteKey] = ingest.Key{Name: e.Name, Disabled: e.Enabled != nil && !*e.Enabled, Quota: e.Quota, Burst: e.Burst}
	}
	return keys, nil
}
