package sqs

import (
	"errors"
	"fmt"
	"io/fs"
	"syscall"
)

// errLock says why the data directory could not be locked.
func errLock(dir string, err error) error {
	// Without a number of the system's it is a lock of this very process's.
	var number syscall.Errno
	if !errors.As(err, &number) || number == syscall.EAGAIN || number == syscall.EWOULDBLOCK {
		return fmt.Errorf("another process holds the data directory %s: end it", dir)
	}
	return errDirectory("lock the data directory", dir, err)
}

// errDirectory tells a directory that can't be written from one that can't be
// used for another reason; doing is what failed.
func errDirectory(doing, dir string, err error) error {
	if errors.Is(err, fs.ErrPermission) || errors.Is(err, syscall.EROFS) {
		var number syscall.Errno
		if errors.As(err, &number) {
			err = number // without the file that was tried
		}
		return fmt.Errorf("the data directory %s can't be written: %w: make it writable", dir, err)
	}
	return fmt.Errorf("%s %s: %w", doing, dir, err)
}
