// Package keyfile reads files with a write-key document, like the one that a deployed pipeline has
// as a parameter.
package keyfile

import (
	"fmt"
	"os"
	"strings"

	"github.com/spillwayhq/spillway/shared/ingest/writekeys"
)

// Names returns the names of write keys, by key.
func Names(path string) (map[string]string, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("--write-keys: %w", err)
	}
	d, err := Parse(path, data)
	if err != nil {
		return nil, fmt.Errorf("--write-keys: %w", err)
	}
	names := make(map[string]string, len(d.Entries))
	for _, e := range d.Entries {
		names[e.WriteKey] = e.Name
	}
	return names, nil
}

// Parse reads what is in the file with that name. Its error is one line, which begins with the
// name.
func Parse(path string, data []byte) (*writekeys.Document, error) {
	d, err := writekeys.Parse(data)
	if err != nil {
		return nil, fmt.Errorf("%s: %s", path, strings.ReplaceAll(err.Error(), "\n", "; "))
	}
	return d, nil
}
