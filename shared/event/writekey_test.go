package event

import (
	"strings"
	"testing"
)

func TestAFingerprintIsToldFromAWriteKey(t *testing.T) {
	for text, want := range map[string]bool{KeyID("partner"): true, "0a1b2c3d": true, "": false, "none": false,
		"0A1B2C3D": false, "0a1b2c3": false, "0a1b2c3d4e": false, "partners": false, strings.Repeat("k", 32): false} {
		if IsKeyID(text) != want {
			t.Errorf("%q: %t", text, !want)
		}
	}
}
