package sqs

import (
	"errors"
	"fmt"
	"io/fs"
	"syscall"
)

// errLock is the error of a data directory that could not be locked.
func errLock(dir string, err error) error {
	// Without a system error the lock is one of this process.
	var number syscall.Errno
	if !errors.As(err, &number) || number == syscall.EAGAIN || number == syscall.EWOULDBLOCK {
		return fmt.Errorf("the data directory %s is in use by another process", dir)
	}
	return errDirectory("lock the data directory", dir, err)
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
