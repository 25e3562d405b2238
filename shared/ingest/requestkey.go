package ingest

import (
	"bytes"
	"encoding/base64"
	"net/http"
	"strings"

	"github.com/spillwayhq/spillway/shared/event"
	"github.com/spillwayhq/spillway/shared/rawjson"
)

// requestKey returns the write key of a request, or "". Basic authentication comes first, then the
// body, and a bearer token last: with OAuth, Node's and Python's SDKs send an access token there,
// and the key in the body.
func requestKey(header http.Header, body []byte) string {
	var auth string
	if values := header["Authorization"]; len(values) > 0 {
		auth = values[0]
	}
	fromHeader, bearer, ok := headerKey(auth)
	if ok && !bearer {
		return fromHeader
	}
	if key, found := bodyKey(body); found || !ok {
		return key
	}
	return fromHeader
}

// headerKey returns the write key of an Authorization header: the user name of Basic, with or
// without a colon and a password, or a bearer token. It ignores anything else, which may be meant
// for a proxy.
func headerKey(auth string) (key string, bearer, ok bool) {
	scheme, rest, _ := strings.Cut(strings.TrimSpace(auth), " ")
	rest = strings.TrimSpace(rest)
	switch {
	case strings.EqualFold(scheme, "Bearer"):
		key, bearer = rest, true
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
		name, _, _ := bytes.Cut(text[:n], []byte(":"))
		key = string(name)
	}
	return key, bearer, event.ValidWriteKey(key)
}

// bodyKey returns the write key of a body, which is a JSON value there.
func bodyKey(value []byte) (key string, ok bool) {
	if !rawjson.IsString(value) || len(value) > 6*event.MaxWriteKeyBytes+2 {
		return "", false
	}
	key = string(rawjson.Unquote(nil, value))
	return key, event.ValidWriteKey(key)
}
