package dlq

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"
)

// FileFormat describes, in paragraphs of a help text, what export and drop write.
func FileFormat() []string {
	return []string{
		"Each exported line is one event: the JSON of a message for the events queue, with the additional field " +
			"\"deadLetter\", which has the ID, reason and detail of the dead letter. `spillway send` sends such lines " +
			"again.",
		"The lines contain write keys: restrict access to the file. A body that can't be decoded is a line with the field " +
			"\"body\" and no event. `spillway send` skips it: correct the body, and send it with `aws sqs send-message`.",
	}
}

// DropFile is the name of a file for what is deleted at that time, if none is given.
func DropFile(now time.Time) string {
	return "spillway-dropped-" + now.UTC().Format("20060102T150405Z") + ".ndjson"
}

// A File is a new file for what drop deletes: its lines are on disk when Append returns.
type File struct {
	file  *os.File
	wrote bool
}

// NewFile creates a file that must not exist.
func NewFile(path string) (*File, error) {
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return nil, fmt.Errorf("create the file for deleted dead letters: %w: give another with --file", err)
	}
	dir, err := os.Open(filepath.Dir(path)) // after a crash the file exists only if its directory was synced, too
	if err == nil {
		err = dir.Sync()
		dir.Close()
	}
	if err != nil {
		file.Close()
		return nil, fmt.Errorf("sync the directory of %s: %w: give a file elsewhere with --file", path, err)
	}
	return &File{file: file}, nil
}

// NewFileIn creates a file with the name of [DropFile] in a directory, which is made if it is missing.
func NewFileIn(dir string, now time.Time) (*File, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("make the directory for deleted dead letters: %w", err)
	}
	return NewFile(filepath.Join(dir, DropFile(now)))
}

// Name is the file's path.
func (f *File) Name() string { return f.file.Name() }

// Append writes lines and syncs them to disk.
func (f *File) Append(lines []byte) error {
	f.wrote = true
	if _, err := f.file.Write(lines); err != nil {
		return err
	}
	return f.file.Sync()
}

// Close removes the file if nothing was written.
func (f *File) Close() error {
	err := f.file.Close()
	if !f.wrote {
		err = errors.Join(err, os.Remove(f.file.Name()))
	}
	return err
}
