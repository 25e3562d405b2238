package rawjson

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
)

func FuzzIndent(f *testing.F) {
	for _, d := range documents {
		f.Add([]byte(d), 100)
	}
	f.Add([]byte(`{"a[":"\\","b\"{":["[",{"c":[]},"\\\""] , "d":"{"}`), 1000)
	f.Fuzz(func(t *testing.T, document []byte, limit int) {
		var want bytes.Buffer
		if !json.Valid(document) || json.Indent(&want, bytes.Trim(document, " \t\r\n"), "", "  ") != nil {
			return
		}
		whole, rest := Indent([]byte("before"), document, 1<<30)
		if string(whole) != "before"+want.String() || rest != 0 {
			t.Fatalf("%q indented is %q, want %q; %d bytes are left out", document, whole, want.String(), rest)
		}
		part, rest := Indent(nil, document, limit)
		if !bytes.HasPrefix(want.Bytes(), bytes.TrimRight(part, " \n")) || rest == 0 && len(part) != want.Len() {
			t.Fatalf("%d bytes of %q indented are %q, and %d bytes are left out", limit, document, part, rest)
		}
	})
}

func TestADocumentThatIsVeryLongWhenItIsIndentedIsCut(t *testing.T) {
	const depth, numbers = 100_000, 400_000
	document := strings.Repeat("[", depth) + strings.Repeat("1,", numbers) + "1" + strings.Repeat("]", depth)
	indented, rest := Indent(nil, []byte(document), 64<<10)
	if len(indented) > 64<<10+2*depth || rest < len(document)/2 {
		t.Errorf("%d bytes become %d, and %d are left out", len(document), len(indented), rest)
	}
}
