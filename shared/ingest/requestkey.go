package ingest

import (
	"bytes"
	"encoding/base64"
	"net/http"
	"strings"

	"github.com/spillwayhq/spillway/shared/event"
	"github.com/spillwayhq/spillway/shared/rawjson"
)

// findKey returns the write key of a request and what is known of it, or a refusal with the key
// that it is about. Of the keys that the request names it is the first that the set accepts,
// because a proxy in front may ask for credentials of its own, which the client then sends as well.
func findKey(keys KeySet, header http.Header, body []byte) (writeKey string, key Key, refused *refusal) {
	refused = refusalWriteKey
	for _, candidate := range namedKeys(header, body) {
		known, problem := lookup(keys, candidate)
		if problem == nil {
			return candidate, known, nil
		}
		if writeKey == "" {
			writeKey, key = candidate, known
		}
		if problem != refusalWriteKey && refused != refusalKeys { // a retry may find the other one
			writeKey, key, refused = candidate, known, problem
		}
	}
	return writeKey, key, refused
}

// namedKeys returns the keys that a request names, as far as they can be one, most probable first:
// Basic authentication, then the body, and a bearer token last, where with OAuth the SDKs for Node
// and Python send an access token, and the key in the body. SDKs leave the password empty, so
// credentials with one come after the body.
func namedKeys(header http.Header, body []byte) (keys [2]string) {
	var auth string
	if values := header["Authorization"]; len(values) > 0 {
		auth = values[0]
	}
	fromHeader, certain, ok := headerKey(auth)
	if !ok {
		fromHeader = ""
	}
	fromBody, ok := bodyKey(body)
	if !ok {
		fromBody = ""
	}
	if certain || fromBody == "" {
		return [...]string{fromHeader, fromBody}
	}
	return [...]string{fromBody, fromHeader}
}

// headerKey returns the write key of an Authorization header: the user name of Basic, with or
// without a colon and a password, or a bearer token. certain says that SDKs send their key so. It
// ignores anything else, which may be meant for a proxy.
func headerKey(auth string) (key string, certain, ok bool) {
	scheme, rest, _ := strings.Cut(strings.TrimSpace(auth), " ")
	rest = strings.TrimSpace(rest)
	switch {
	case strings.EqualFold(scheme, "Bearer"):
		key = rest
	case strings.EqualFold(scheme, "Basic"):
		// Decode no more than the longest key needs: the password does not matter and may be long.
		// Some clients use the alphabet for URLs.
		var text [(event.MaxWriteKeyBytes/3 + 1) * 4]byte
		size := copy(text[:], strings.TrimRight(rest, "="))
		for i, c := range text[:size] {
			switch c {
			case '-':
				text[i] = '+'
			case '_':
				text[i] = '/'
			}
		}
		n, err := base64.RawStdEncoding.Decode(text[:], text[:size])
		if err != nil {
			return "", false, false
		}
		name, password, _ := bytes.Cut(text[:n], []byte(":"))
		key, certain = string(name), len(password) == 0
	}
	return key, certain, event.ValidWriteKey(key)
}

// bodyKey returns the write key of a body, which is a JSON value there.
func bodyKey(value []byte) (key string, ok bool) {
	if !rawjson.IsString(value) || len(value) > 6*event.MaxWriteKeyBytes+2 {
		return "", false
	}
	key = string(rawjson.Unquote(nil, value))
	return key, event.ValidWriteKey(key)
}
