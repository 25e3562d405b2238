// Package bundle reads what a release carries for AWS: a zip archive spillway_VERSION_aws.zip with the
// functions' archives and one template. It turns settings into a template and parameters that
// CloudFormation takes as they are, without the CDK, Go or Node.js.
//
// Nothing of a bundle is trusted before it was compared with the SHA-256 in the manifest, and no name
// of the archive becomes the path of a file.
package bundle

import (
	"archive/zip"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"maps"
	"os"
	"regexp"
	"slices"

	"github.com/spillwayhq/spillway/infra/bundle/template"
)

// Format is the number of the format that this version reads and writes.
const Format = 1

// BucketParameter is the name of the template's parameter with the bucket of the functions' code. A
// Plan does not have it among its Parameters: only who deploys knows the bucket.
const BucketParameter = template.BucketParameter

// Architectures are Lambda's names of those for which a bundle has the functions.
func Architectures() []string { return []string{"arm64", "x86_64"} }

// Functions are the folders in functions that a bundle has.
func Functions() []string { return []string{"canary", "deliver", "ingest", "rollout"} }

// The limits of what is read of a bundle, far above what a release has, so that a hostile one can't
// fill the memory.
const (
	maxManifest = 1 << 20
	maxTemplate = 16 << 20
	maxArchive  = 250 << 20 // that Lambda takes
)

const (
	manifestName = "manifest.json"
	templateName = "template.json"
)

// A manifest lists what is in a bundle.
type manifest struct {
	Format    int            `json:"format"`
	Version   string         `json:"version"`
	Template  entry          `json:"template"`
	Functions []functionCode `json:"functions"` // each of Functions for each of Architectures
}

// An entry is a file of the bundle.
type entry struct {
	Name   string `json:"name"`
	SHA256 string `json:"sha256"`
}

type functionCode struct {
	Function     string `json:"function"`
	Architecture string `json:"architecture"`
	entry
}

// codeName is the name of a function's archive in a bundle.
func codeName(function, architecture string) string {
	return "functions/" + function + "-" + architecture + ".zip"
}

// A Bundle is an opened bundle, of which only the manifest has been read yet. It is safe for
// concurrent use until it is closed.
type Bundle struct {
	path     string
	manifest manifest
	files    map[string]*zip.File // those that the manifest lists, by name
	archive  *zip.ReadCloser
}

var (
	versionText = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9.+-]{0,99}$`)
	sumText     = regexp.MustCompile(`^[0-9a-f]{64}$`)
)

// Open opens the bundle in a file, and checks its manifest: the format, and that it lists what is in
// the archive and nothing else. The error says what is wrong with the file. Whether the contents are
// those that the manifest says shows when they are read.
func Open(path string) (*Bundle, error) {
	archive, err := zip.OpenReader(path)
	switch {
	case errors.Is(err, os.ErrNotExist), errors.Is(err, os.ErrPermission):
		return nil, fmt.Errorf("open the bundle: %w", err)
	case err != nil:
		return nil, fmt.Errorf("open the bundle %s: it is no zip archive, or not all of it is there: download it again: %w",
			path, err)
	}
	b := &Bundle{path: path, archive: archive}
	if err := b.readManifest(); err != nil {
		return nil, errors.Join(fmt.Errorf("open the bundle %s: %w", path, err), archive.Close())
	}
	return b, nil
}

func (b *Bundle) readManifest() error {
	all := map[string]*zip.File{}
	for _, f := range b.archive.File {
		if all[f.Name] != nil {
			return fmt.Errorf("it has %q twice", f.Name)
		}
		all[f.Name] = f
	}
	if all[manifestName] == nil {
		return fmt.Errorf("it has no %s, so it is no bundle of Spillway: it must be a spillway_VERSION_aws.zip of a release",
			manifestName)
	}
	content, err := readAll(all[manifestName], maxManifest)
	if err != nil {
		return err
	}
	var format struct{ Format int } // alone first: of another format nothing else is known
	if err := json.Unmarshal(content, &format); err != nil {
		return fmt.Errorf("read %s: %w", manifestName, err)
	}
	if format.Format != Format {
		return fmt.Errorf("its format is %d, and this version reads format %d: use the spillway command of the same release",
			format.Format, Format)
	}
	if err := json.Unmarshal(content, &b.manifest); err != nil {
		return fmt.Errorf("read %s: %w", manifestName, err)
	}
	if err := CheckVersion(b.manifest.Version); err != nil {
		return fmt.Errorf("read %s: %w", manifestName, err)
	}
	delete(all, manifestName)
	return b.list(all)
}

// list checks that the manifest lists what is there.
func (b *Bundle) list(all map[string]*zip.File) error {
	b.files = map[string]*zip.File{}
	listed := func(want string, e entry) error {
		switch {
		case e.Name != want:
			return fmt.Errorf("read %s: it names the file %q, must be %q", manifestName, e.Name, want)
		case !sumText.MatchString(e.SHA256):
			return fmt.Errorf("read %s: the SHA-256 of %s must be 64 hexadecimal digits, is %q", manifestName, want, e.SHA256)
		case all[want] == nil:
			return fmt.Errorf("it has no %s", want)
		}
		b.files[want] = all[want]
		delete(all, want)
		return nil
	}
	if err := listed(templateName, b.manifest.Template); err != nil {
		return err
	}
	for _, function := range Functions() {
		for _, architecture := range Architectures() {
			if err := listed(codeName(function, architecture), b.code(function, architecture).entry); err != nil {
				return err
			}
		}
	}
	if len(all) > 0 {
		return fmt.Errorf("it has %q, which %s does not list", slices.Sorted(maps.Keys(all))[0], manifestName)
	}
	return nil
}

// code is what the manifest says of a function's archive; the zero value if it says nothing.
func (b *Bundle) code(function, architecture string) functionCode {
	for _, f := range b.manifest.Functions {
		if f.Function == function && f.Architecture == architecture {
			return f
		}
	}
	return functionCode{}
}

// Close closes the file. Nothing of the bundle can be read afterwards.
func (b *Bundle) Close() error { return b.archive.Close() }

// Version is that of the release, like v1.2.3.
func (b *Bundle) Version() string { return b.manifest.Version }

// A File is one that has to be in the bucket. Its key contains its SHA-256: one that is there is the
// same.
type File struct {
	Key    string // like functions/deliver-arm64-SHA256.zip
	SHA256 string // 64 hexadecimal digits
	Size   int64  // bytes
	open   func() (io.ReadCloser, error)
}

// Open reads the file from the bundle. The reader returns an error at the end, in place of io.EOF, if
// the content is not that of SHA256 and Size. Each call is a reader of its own.
func (f File) Open() (io.ReadCloser, error) { return f.open() }

// file is the archive of a function.
func (b *Bundle) file(function, architecture string) (File, error) {
	code := b.code(function, architecture)
	packed := b.files[code.Name]
	if packed.UncompressedSize64 > maxArchive {
		return File{}, fmt.Errorf("the bundle %s: %s has %d bytes, and Lambda takes at most %d", b.path, code.Name,
			packed.UncompressedSize64, maxArchive)
	}
	size := int64(packed.UncompressedSize64)
	return File{
		Key: fmt.Sprintf("functions/%s-%s-%s.zip", function, architecture, code.SHA256), SHA256: code.SHA256, Size: size,
		open: func() (io.ReadCloser, error) {
			content, err := packed.Open()
			if err != nil {
				return nil, fmt.Errorf("read %s of the bundle %s: %w", code.Name, b.path, err)
			}
			what := fmt.Sprintf("read %s of the bundle %s", code.Name, b.path)
			return &checked{ReadCloser: content, what: what, sum: sha256.New(), left: size, want: code.SHA256}, nil
		},
	}, nil
}

// checked is a content that must have a SHA-256 and a size.
type checked struct {
	io.ReadCloser
	what string
	sum  hash.Hash
	left int64
	want string
}

func (c *checked) Read(p []byte) (int, error) {
	n, err := c.ReadCloser.Read(p)
	c.sum.Write(p[:n])
	c.left -= int64(n)
	switch {
	case c.left < 0, errors.Is(err, io.EOF) && (c.left != 0 || hex.EncodeToString(c.sum.Sum(nil)) != c.want):
		return n, fmt.Errorf("%s: its content is not that of the release: download the bundle again", c.what)
	case err != nil && !errors.Is(err, io.EOF):
		return n, fmt.Errorf("%s: %w", c.what, err)
	}
	return n, err
}

// template reads the template.
func (b *Bundle) template() ([]byte, error) {
	content, err := readAll(b.files[templateName], maxTemplate)
	if err != nil {
		return nil, fmt.Errorf("the bundle %s: %w", b.path, err)
	}
	if sum := sha256.Sum256(content); hex.EncodeToString(sum[:]) != b.manifest.Template.SHA256 {
		return nil, fmt.Errorf("the bundle %s: %s is not that of the release: download the bundle again", b.path,
			templateName)
	}
	return content, nil
}

// readAll reads a file of at most so many bytes.
func readAll(f *zip.File, most int64) ([]byte, error) {
	r, err := f.Open()
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", f.Name, err)
	}
	content, err := io.ReadAll(io.LimitReader(r, most+1))
	if err := errors.Join(err, r.Close()); err != nil {
		return nil, fmt.Errorf("read %s: %w", f.Name, err)
	}
	if int64(len(content)) > most {
		return nil, fmt.Errorf("read %s: it must have at most %d bytes", f.Name, most)
	}
	return content, nil
}
