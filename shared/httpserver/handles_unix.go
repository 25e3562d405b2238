//go:build unix

package httpserver

import (
	"math"
	"syscall"
)

// maxHandles is how many files and connections the process may have open.
func maxHandles() int {
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return math.MaxInt
	}
	return int(min(uint64(limit.Cur), math.MaxInt))
}
