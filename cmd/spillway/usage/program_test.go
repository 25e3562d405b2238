package usage

import "testing"

func TestProgramIsWhatTheReaderHasTyped(t *testing.T) {
	for started, want := range map[string]string{
		"spillway":                            "spillway",
		"./spillway":                          "./spillway",
		`.\spillway.exe`:                      `.\spillway.exe`,
		"/tmp/go-build1234/b001/exe/spillway": "go run ./cmd/spillway",
		"/home/me/.cache/go-build/ab/0f-d/spillway":                                             "go run ./cmd/spillway",
		"/cache/ab/6fd0e9c0a07f7e4d0b0c5c0b0a1f0e2d3c4b5a69788796a5b4c3d2e1f0a1b2c3-d/spillway": "go run ./cmd/spillway",
	} {
		if got := Program(started); got != want {
			t.Errorf("started as %s: %q, want %q", started, got, want)
		}
	}
}
