// Package keyfile reads the file that --write-keys names: a write-key document, like the one that a
// deployed pipeline has as a parameter.
package keyfile

import (
	"fmt"
	"os"
	"strings"

	"github.com/spillwayhq/spillway/shared/ingest"
	"github.com/spillwayhq/spillway/shared/ingest/writekeys"
)

// Names returns the names of write keys, by key.
func Names(path string) (map[string]string, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("--write-keys: %w", err)
	}
	keys, err := writekeys.Parse(data)
	if err == nil {
		_, err = ingest.NewKeys(keys)
	}
	if err != nil {
		return nil, fmt.Errorf("--write-keys: %s: %s", path, strings.ReplaceAll(err.Error(), "\n", "; "))
	}
	names := make(map[string]string, len(keys))
	for key, k := range keys {
		names[key] = k.Name
	}
	return names, nil
}
