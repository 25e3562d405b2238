//go:build darwin || dragonfly || freebsd || linux || netbsd || openbsd

package diskdir

import (
	"errors"
	"io"
	"os"
	"syscall"
)

// A lock is a file with a lock.
type lock struct{ *os.File }

// Close unlocks the file before it closes it: a child that another goroutine is just starting holds
// a copy of the file until it has become its program, and would hold the lock with it.
func (l lock) Close() error { return errors.Join(flock(l.File, syscall.LOCK_UN), l.File.Close()) }

func flock(f *os.File, how int) (err error) {
	for err = syscall.EINTR; err == syscall.EINTR; {
		err = syscall.Flock(int(f.Fd()), how)
	}
	return err
}

// Lock locks a file, which it makes if it does not exist, until it is closed or the process ends. A
// second lock in the same process fails too, with ErrLocked.
func Lock(path string) (io.Closer, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	err = flock(f, syscall.LOCK_EX|syscall.LOCK_NB)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		err = ErrLocked
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return lock{f}, nil
}

// Sync makes new and removed names in a directory survive a power cut.
func Sync(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}
