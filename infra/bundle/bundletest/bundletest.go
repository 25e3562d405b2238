// Package bundletest writes bundles for tests: with the template of a release, and small archives in
// place of the functions'.
package bundletest

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"github.com/spillwayhq/spillway/infra/bundle"
	"github.com/spillwayhq/spillway/infra/bundle/released"
)

// Code is what the bundles have as the archive of a function: another one for each version. It is no
// zip archive.
func Code(version, function, architecture string) []byte {
	return []byte(function + " of " + version + " for " + architecture)
}

// Write writes the bundle of a version into a folder of the test, and returns its path.
func Write(tb testing.TB, version string) string {
	tb.Helper()
	var content bytes.Buffer
	err := bundle.Write(&content, version, released.Template, func(function, architecture string) ([]byte, error) {
		return Code(version, function, architecture), nil
	})
	path := filepath.Join(tb.TempDir(), "spillway_"+version+"_aws.zip")
	if err == nil {
		err = os.WriteFile(path, content.Bytes(), 0o644)
	}
	if err != nil {
		tb.Fatal(err)
	}
	return path
}

// Open is Write, opened until the end of the test.
func Open(tb testing.TB, version string) *bundle.Bundle {
	tb.Helper()
	b, err := bundle.Open(Write(tb, version))
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = b.Close() })
	return b
}
