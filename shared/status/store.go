package status

import (
	"context"
	"errors"
)

// A Store holds the site's files by name, like status.json and history/2026-11.html. It is safe for
// concurrent use, by other processes too.
type Store interface {
	// Read returns a file and its version, an ETag or the like. The error is ErrNotFound if there
	// is none.
	Read(ctx context.Context, name string) (data []byte, version string, err error)
	// Write replaces a file that has this version; with "" it makes one that must not exist. The
	// error is ErrChanged if that is not so, or if another write was under way: read again.
	Write(ctx context.Context, name string, data []byte, ifVersion string) error
	// Put replaces or makes a file, whatever is there.
	Put(ctx context.Context, name, contentType string, data []byte) error
}

// Errors of a Store, to be found with errors.Is.
var (
	ErrNotFound = errors.New("there is no such file")
	ErrChanged  = errors.New("another writer has changed the file")
)

// Names of files in a store. What Render writes stands beside them.
const (
	DocumentFile = "status.json" // the document
	SiteFile     = "site.json"   // what the page is called and shows
)

// Folders of a bucket that has a site. CloudFront reads only the first, so what the function
// remembers for itself is never served.
const (
	SiteFolder  = "site"
	StateFolder = "state"
)
