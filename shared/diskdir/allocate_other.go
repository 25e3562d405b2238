//go:build !linux

package diskdir

import (
	"errors"
	"os"
)

// Allocate makes a new file as large as it says, on blocks of its own. The error is an
// errors.ErrUnsupported where the file system can do that only by writing.
func Allocate(*os.File, int64) error { return errors.ErrUnsupported }
