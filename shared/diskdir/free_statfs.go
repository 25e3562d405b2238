//go:build darwin || dragonfly || freebsd || linux

package diskdir

import "golang.org/x/sys/unix"

// Free returns the free bytes of the file system of a directory.
func Free(dir string) (uint64, error) {
	var s unix.Statfs_t
	if err := unix.Statfs(dir, &s); err != nil {
		return 0, err
	}
	return uint64(s.Bavail) * uint64(s.Bsize), nil
}
