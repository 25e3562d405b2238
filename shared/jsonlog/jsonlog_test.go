package jsonlog

import (
	"bytes"
	"encoding/json"
	"log"
	"strings"
	"testing"
)

func TestLinesOfPackageLogAreJSON(t *testing.T) {
	for _, c := range []struct{ line, level, msg, more string }{
		{"runtime API client failed to close the response body: EOF", "WARN",
			"runtime API client failed to close the response body: EOF", `{}`},
		{`{"errorMessage":"decode the payload: \"x\"","errorType":"errorString"}`, "ERROR", "the invocation failed",
			`{"error":"decode the payload: \"x\"","error_type":"errorString"}`},
		{`{"errorMessage":"boom","errorType":"string","stackTrace":[{"path":"a.go","line":7,"label":"f"}]}`, "ERROR",
			"the invocation failed",
			`{"error":"boom","error_type":"string","stack":[{"label":"f","line":7,"path":"a.go"}]}`},
		{"two\nlines", "WARN", "two\nlines", `{}`},
		{`{"other":"object"}`, "WARN", `{"other":"object"}`, `{}`},
		{"null", "WARN", "null", `{}`},
		{"not \xff UTF-8", "WARN", "not \ufffd UTF-8", `{}`},
		{"", "WARN", "", `{}`},
	} {
		var out bytes.Buffer
		Redirect(&out)
		log.Print(c.line)
		var got map[string]any
		if err := json.Unmarshal(out.Bytes(), &got); err != nil || strings.Count(out.String(), "\n") != 1 {
			t.Errorf("%q: %q is not one line of JSON: %v", c.line, &out, err)
			continue
		}
		if got["level"] != c.level || got["msg"] != c.msg || got["time"] == nil {
			t.Errorf("%q: %s, want level %s and message %q", c.line, &out, c.level, c.msg)
		}
		delete(got, "level")
		delete(got, "msg")
		delete(got, "time")
		if rest, _ := json.Marshal(got); string(rest) != c.more {
			t.Errorf("%q: also %s, want %s", c.line, rest, c.more)
		}
	}
}
