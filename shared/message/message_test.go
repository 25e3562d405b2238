package message

import (
	"fmt"
	"testing"

	"github.com/spillwayhq/spillway/shared/event"
)

func TestTheAttributesDescribeTheBody(t *testing.T) {
	for body, zstd := range map[string]bool{"{}": false, "KLUv/": true} {
		m := New(body, 250, event.FromClient)
		want := map[string]Attribute{"Event-Count": {"Number", "250"}, "Origin": {"String", "client"}}
		if zstd {
			want["Content-Encoding"] = Attribute{"String", "zstd"}
		}
		if m.Body != body || fmt.Sprint(m.Attributes) != fmt.Sprint(want) {
			t.Errorf("%s %v, want %v", m.Body, m.Attributes, want)
		}
	}
}
