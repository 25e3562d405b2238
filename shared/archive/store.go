package archive

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"maps"
	"slices"
	"strings"
	"time"
)

// An Appender takes frames into the archive. It is safe for concurrent use.
type Appender interface {
	// Put archives frames, each of which has at most MaxFrameBytes. It returns nil once all of them
	// are archived and survive a power cut. A *PutError says which are not; the others are. Any
	// other error says that none may be taken for archived. A frame that was not archived may be
	// there nevertheless: readers drop doubles.
	Put(ctx context.Context, frames []Frame) error
}

// A PutError says which frames of a Put are not archived.
type PutError struct {
	Failed map[int]error // by the frame's index
	Frames int           // of the whole Put
}

func (e *PutError) Error() string {
	if len(e.Failed) == 0 {
		return "archive frames: none failed"
	}
	first := slices.Min(slices.Collect(maps.Keys(e.Failed)))
	return fmt.Sprintf("archive %d of %d frames: %v", len(e.Failed), e.Frames, e.Failed[first])
}

// Unwrap returns the errors in the order of their frames.
func (e *PutError) Unwrap() []error {
	errs := make([]error, 0, len(e.Failed))
	for _, i := range slices.Sorted(maps.Keys(e.Failed)) {
		errs = append(errs, e.Failed[i])
	}
	return errs
}

// Unarchived returns the indices of the frames that are not archived, in order: those that a
// *PutError in err names, all n of them for any other error, and none if err is nil.
func Unarchived(n int, err error) []int {
	if err == nil {
		return nil
	}
	if failed, ok := errors.AsType[*PutError](err); ok {
		return slices.Sorted(maps.Keys(failed.Failed))
	}
	all := make([]int, n)
	for i := range all {
		all[i] = i
	}
	return all
}

// Errors of a Store.
var (
	// ErrNotFound says that an object or a file does not exist (any more).
	ErrNotFound = errors.New("it does not exist")
	// ErrChanged says that an object is not the one that the caller has read.
	ErrChanged = errors.New("it has changed meanwhile")
)

// An Object is one object of the archive: a file of concatenated frames.
type Object struct {
	Name    string    // archive/yyyy/MM/dd/HH/….ndjson.zst
	Hour    time.Time // of the arrival of its first record, in UTC
	Size    int64     // in bytes
	Version string    // changes whenever its content does; the store's own
}

const (
	// Prefix begins the name of each object.
	Prefix = "archive/"
	// Extension ends the name of each object.
	Extension = ".ndjson.zst"
	// HourFormat is the folder of an hour below Prefix, for time.Format in UTC.
	HourFormat = "2006/01/02/15"
)

// ParseName returns the hour that an object's name says. ok is false for a name that no object has.
func ParseName(name string) (hour time.Time, ok bool) {
	const end = len(Prefix) + len(HourFormat)
	if len(name) <= end+1+len(Extension) || name[:len(Prefix)] != Prefix || name[end] != '/' ||
		name[len(name)-len(Extension):] != Extension {
		return time.Time{}, false
	}
	hour, err := time.Parse(HourFormat, name[len(Prefix):end])
	return hour, err == nil
}

// CheckName refuses names that no object has: they could lead out of a directory.
func CheckName(name string) error {
	if _, ok := ParseName(name); !ok || !fs.ValidPath(name) || strings.ContainsAny(name, "\\\x00") {
		return fmt.Errorf("the name of an object of the archive must be like archive/2026/11/27/14/NAME%s, is %q: %w",
			Extension, name, fs.ErrInvalid)
	}
	return nil
}

// CheckFileName refuses names of objects, and paths that are none.
func CheckFileName(name string) error {
	if !fs.ValidPath(name) || name == "." || strings.HasPrefix(name, Prefix) {
		return fmt.Errorf("the name of a file beside the archive must be a path like replay/ID.json, is %q: %w", name,
			fs.ErrInvalid)
	}
	return nil
}

// A Store has the objects of an archive, and the files of those who work on it, such as
// checkpoints. It is safe for concurrent use, also by several processes.
type Store interface {
	// Objects returns the objects of the hours from and to and between, in the order of their
	// names, which is that of their hours. It lists page by page. After an error it ends. An object
	// that is removed meanwhile may be missing, one that is new may be there.
	Objects(ctx context.Context, from, to time.Time) iter.Seq2[Object, error]
	// Open reads an object as it is now, from a byte on, or returns ErrNotFound. What is appended
	// while it is read may be missing.
	Open(ctx context.Context, o Object, offset int64) (io.ReadCloser, error)
	// Finish makes sure that nothing is appended to an object any more, and returns it as it is
	// then, or ErrNotFound.
	Finish(ctx context.Context, o Object) (Object, error)
	// Replace puts content in the place of an object, which must be finished, as a whole or not at
	// all, and returns it as it is then. It returns ErrChanged if the object has another version,
	// ErrNotFound if it is gone.
	Replace(ctx context.Context, o Object, content io.ReadSeeker) (Object, error)
	// Delete removes an object, under the same conditions. One that is gone is no error.
	Delete(ctx context.Context, o Object) error

	// Files returns the names of the files that begin with a prefix, sorted.
	Files(ctx context.Context, prefix string) iter.Seq2[string, error]
	// ReadFile returns a file, or ErrNotFound.
	ReadFile(ctx context.Context, name string) ([]byte, error)
	// WriteFile writes a file as a whole or not at all, whatever is there. Its name is a path such
	// as replay/ID.json that does not begin with Prefix.
	WriteFile(ctx context.Context, name string, data []byte) error
	// DeleteFile removes a file. One that is gone is no error.
	DeleteFile(ctx context.Context, name string) error
}
