package archive

import "bytes"

// A Needle finds lines that may have one of some texts, without reading them as JSON. It is safe
// for concurrent use.
type Needle struct{ texts [][]byte }

// NewNeedle returns the Needle for texts, none of which may be empty.
func NewNeedle(texts ...string) Needle {
	var n Needle
	for _, t := range texts {
		n.texts = append(n.texts, []byte(t))
	}
	return n
}

var inBase64 = []byte(`_base64":"`)

// MayBeIn reports whether a string or number of a line may be one of the texts. False is certain: a
// text stands there as it is, unless the line has an escape, or what it holds is in base64.
func (n Needle) MayBeIn(line []byte) bool {
	for _, t := range n.texts {
		if bytes.Contains(line, t) {
			return true
		}
	}
	return bytes.IndexByte(line, '\\') >= 0 || bytes.Contains(line, inBase64)
}
