package event

import "testing"

func TestOriginsAreReadAsTheyAreWritten(t *testing.T) {
	for _, o := range []Origin{FromServer, FromClient} {
		if got, ok := ParseOrigin(o.String()); !ok || got != o {
			t.Errorf("ParseOrigin(%q) is %v, %v", o, got, ok)
		}
	}
	for _, text := range []string{"", "Client", "browser"} {
		if o, ok := ParseOrigin(text); ok || o != FromServer {
			t.Errorf("ParseOrigin(%q) is %v, %v, want none", text, o, ok)
		}
	}
}
