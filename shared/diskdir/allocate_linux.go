package diskdir

import (
	"os"
	"syscall"
)

// Allocate makes a new file as large as it says, on blocks of its own. The error is an
// errors.ErrUnsupported where the file system can do that only by writing.
func Allocate(f *os.File, bytes int64) (err error) {
	for err = syscall.EINTR; err == syscall.EINTR; {
		err = syscall.Fallocate(int(f.Fd()), 0, 0, bytes)
	}
	return err
}
