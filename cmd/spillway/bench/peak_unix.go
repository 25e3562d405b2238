//go:build unix

package bench

import (
	"os"
	"runtime"
	"syscall"
)

// peakOf is the peak memory of a process that has stopped, in bytes.
func peakOf(state *os.ProcessState) int64 {
	usage, ok := state.SysUsage().(*syscall.Rusage)
	if !ok {
		return 0
	}
	if runtime.GOOS == "darwin" {
		return int64(usage.Maxrss)
	}
	return int64(usage.Maxrss) << 10 // others count in KB
}
