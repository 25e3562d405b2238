package sqs

import (
	"errors"
	"fmt"
	"io/fs"
	"syscall"

	"github.com/spillwayhq/spillway/infra/local/sqs/store"
)

// errOpen is the error of a store that could not be opened.
func errOpen(dir string, err error) error {
	if store.Locked(err) {
		return fmt.Errorf("the data directory %s is in use by another process", dir)
	}
	return errDirectory("open the queues' store in", dir, err)
}

// errDirectory distinguishes a directory that is not writable from other errors; doing is what failed.
func errDirectory(doing, dir string, err error) error {
	if errors.Is(err, fs.ErrPermission) || errors.Is(err, syscall.EROFS) {
		if number, ok := errors.AsType[syscall.Errno](err); ok {
			err = number // without the name of the file
		}
		return fmt.Errorf("the data directory %s must be writable: %w", dir, err)
	}
	return fmt.Errorf("%s %s: %w", doing, dir, err)
}
