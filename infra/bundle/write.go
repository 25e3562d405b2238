package bundle

import (
	"archive/zip"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"time"
)

// CheckVersion is an error if the version can't be that of a release.
func CheckVersion(version string) error {
	if !versionText.MatchString(version) {
		return fmt.Errorf("the version must be like v1.2.3, is %q", version)
	}
	return nil
}

// Write writes a bundle of a release: code returns the archive of a function, one of Functions, for one
// of Architectures. The same contents make the same bytes.
func Write(w io.Writer, version string, template []byte,
	code func(function, architecture string) ([]byte, error)) error {
	m := manifest{Format: Format, Version: version, Template: entry{templateName, sum(template)}}
	if err := CheckVersion(version); err != nil {
		return fmt.Errorf("write a bundle: %w", err)
	}
	contents := map[string][]byte{templateName: template}
	names := []string{templateName}
	for _, function := range Functions() {
		for _, architecture := range Architectures() {
			name := codeName(function, architecture)
			content, err := code(function, architecture)
			if err != nil {
				return fmt.Errorf("write a bundle: %w", err)
			}
			m.Functions = append(m.Functions, functionCode{function, architecture, entry{name, sum(content)}})
			contents[name], names = content, append(names, name)
		}
	}
	listed, err := json.MarshalIndent(m, "", "  ")
	if err != nil {
		return fmt.Errorf("write a bundle: %w", err)
	}
	contents[manifestName] = append(listed, '\n')
	z := zip.NewWriter(w)
	for _, name := range append([]string{manifestName}, names...) {
		// Stored: archives are compressed already. A fixed time, so that the same contents make the
		// same bytes.
		header := &zip.FileHeader{Name: name, Method: zip.Store,
			Modified: time.Date(1980, time.January, 1, 0, 0, 0, 0, time.UTC)}
		header.SetMode(0o644)
		f, err := z.CreateHeader(header)
		if err == nil {
			_, err = f.Write(contents[name])
		}
		if err != nil {
			return fmt.Errorf("write a bundle: %w", err)
		}
	}
	if err := z.Close(); err != nil {
		return fmt.Errorf("write a bundle: %w", err)
	}
	return nil
}

func sum(content []byte) string {
	sum := sha256.Sum256(content)
	return hex.EncodeToString(sum[:])
}
