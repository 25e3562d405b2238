// Package diskdir is what a data directory needs of the operating system: a lock, a sync, and the
// free space.
package diskdir

import "errors"

// ErrLocked says that another process, or another part of this one, has locked the file.
var ErrLocked = errors.New("in use by another process; give each process a directory of its own")
