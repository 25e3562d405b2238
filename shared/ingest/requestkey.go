package ingest

import (
	"bytes"
	"encoding/base64"
	"net/http"
	"strings"

	"github.com/spillwayhq/spillway/shared/event"
	"github.com/spillwayhq/spillway/shared/rawjson"
)

// requestKey is the write key of a request, empty without one: that of Basic authentication, then
// that of the body, and a bearer token last, because Node's and Python's SDKs with OAuth send a
// token there that is no write key, and the key in the body.
func requestKey(header http.Header, body []byte) string {
	var auth string
	if values := header["Authorization"]; len(values) > 0 {
		auth = values[0]
	}
	inHeader, bearer, ok := headerKey(auth)
	if ok && !bearer {
		return inHeader
	}
	if key, found := bodyKey(body); found || !ok {
		return key
	}
	return inHeader
}

// headerKey is the write key of an Authorization header: the user name of Basic, with or without
// the colon and a password behind it, or a bearer token. Anything else is none: it may be meant for
// a proxy on the way.
func headerKey(auth string) (key string, bearer, ok bool) {
	scheme, rest, _ := strings.Cut(strings.TrimSpace(auth), " ")
	rest = strings.TrimSpace(rest)
	switch {
	case strings.EqualFold(scheme, "Bearer"):
		key, bearer = rest, true
	case strings.EqualFold(scheme, "Basic"):
		// No more than a key can be of: a password is nothing to us, and may be long. Some clients
		// use the alphabet for URLs.
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
		name, _, _ := bytes.Cut(text[:n], []byte(":"))
		key = string(name)
	}
	return key, bearer, event.ValidWriteKey(key)
}

// bodyKey is the write key that stands in a body as a JSON value.
func bodyKey(value []byte) (key string, ok bool) {
	if !rawjson.IsString(value) || len(value) > 6*event.MaxWriteKeyBytes+2 {
		return "", false
	}
	key = string(rawjson.Unquote(nil, value))
	return key, event.ValidWriteKey(key)
}
