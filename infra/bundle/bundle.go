// Package bundle reads what a release carries for AWS: a zip archive spillway_VERSION_aws.zip with the
// functions' archives and one template. It turns settings into a template and parameters that
// CloudFormation takes as they are, without the CDK, Go or Node.js.
package bundle

import (
	"errors"
	"io"

	"github.com/spillwayhq/spillway/infra/settings"
)

// Format is the number of the format that this version reads and writes.
const Format = 1

// BucketParameter is the name of the template's parameter with the bucket of the functions' code. A
// Plan does not have it among its Parameters: only who deploys knows the bucket.
const BucketParameter = "CodeBucket"

// A Bundle is an opened bundle, of which nothing but the manifest has been read yet. It is safe for
// concurrent use until it is closed.
type Bundle struct{}

// Open opens the bundle in a file, and checks its manifest: the format, the version, and that it
// lists what is in the archive and nothing else. The error says what is wrong with the file.
func Open(path string) (*Bundle, error) { return nil, errors.New("bundle: not implemented") }

// Close closes the file. Nothing of the bundle can be read afterwards.
func (b *Bundle) Close() error { return nil }

// Version is that of the release, like v1.2.3.
func (b *Bundle) Version() string { return "" }

// Plan computes what to deploy with these settings, which must be valid (settings.Validate). adopt
// says that all of the pipeline's queues exist outside of the stack and are to be used, as the CDK
// app's adoptQueues decides for each queue: a bundle can adopt all three or none.
//
// The error has a line for each setting that the template can't express: its name, and that the CDK
// can.
func (b *Bundle) Plan(s *settings.Settings, adopt bool) (*Plan, error) {
	return nil, errors.New("bundle: not implemented")
}

// A Plan is what to deploy: a stack in one region.
type Plan struct {
	Stack  string // its name, NAME-REGION as the CDK app's
	Region string
	// Template is JSON, above the 51,200 bytes that CloudFormation takes in a request and at most
	// 1 MB: it has to be uploaded as TemplateKey, which contains its SHA-256.
	Template    []byte
	TemplateKey string
	// Parameters are all of the template's but BucketParameter, by name. Secret are the names of
	// those whose values must not be shown.
	Parameters map[string]string
	Secret     []string
	// Tags are the stack's own: CloudFormation puts them on its resources.
	Tags                  map[string]string
	TerminationProtection bool
	// Files are the functions' archives, in the order of their keys.
	Files []File
}

// A File is one that has to be in the bucket. Its key contains its SHA-256: one that is there is the
// same.
type File struct {
	Key    string // like functions/deliver-arm64-SHA256.zip
	SHA256 string // 64 hexadecimal digits
	Size   int64  // bytes
	open   func() (io.ReadCloser, error)
}

// Open reads the file from the bundle. The reader returns an error at the end if the content is not
// that of SHA256.
func (f File) Open() (io.ReadCloser, error) { return f.open() }
