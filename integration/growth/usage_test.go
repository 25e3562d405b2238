package growth

import (
	"fmt"
	"runtime"
	"syscall"
	"testing"
	"time"
)

// cpu is what this process has used.
func cpu(t *testing.T) time.Duration {
	t.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		t.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// flat is how much more CPU time an event may take when there are many than when there are few: the
// times of other processes' work on the same cores are in it.
const flat = 1.3

// fileBytes is the size of the queue's files, at least.
const fileBytes = 4 << 20

// micros is how many microseconds each of n took.
func micros(all time.Duration, n int) float64 {
	return float64(all.Nanoseconds()) / 1000 / float64(max(1, n))
}

// holds is what a pipeline has at a moment.
type holds struct {
	memory     int64 // bytes that are reachable; the files of the queue are in memory too
	goroutines int
	files      int
	disk       int64 // bytes of the files
}

func (h holds) String() string {
	return fmt.Sprintf("%.1f MB, %d goroutines, %d files of %.1f MB", float64(h.memory)/(1<<20), h.goroutines, h.files,
		float64(h.disk)/(1<<20))
}

// tooManyFiles reports whether there are more files than what is in them explains.
func (h holds) tooManyFiles() bool { return h.files > 8+int(h.disk/fileBytes) }

// disk counts the queue's files and their bytes.
func (p *pipeline) disk() (files int, bytes int64) {
	p.Helper()
	names, err := p.files.List(dataDir)
	if err != nil {
		p.Fatal(err)
	}
	for _, name := range names {
		if size, err := p.files.Size(dataDir + "/" + name); err == nil { // it may have been removed
			bytes += size
		}
	}
	return len(names), bytes
}

// diskRange includes the bytes of the queue's files in a range; 0, 0 is none yet.
func (p *pipeline) diskRange(least, most int64) (int64, int64) {
	_, bytes := p.disk()
	if most == 0 {
		return bytes, bytes
	}
	return min(least, bytes), max(most, bytes)
}

// holds looks what the pipeline has.
func (p *pipeline) holds() (h holds) {
	p.Helper()
	h.files, h.disk = p.disk()
	runtime.GC()
	runtime.GC() // frees what the first one has taken out of the pools
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	h.memory, h.goroutines = int64(m.HeapAlloc), runtime.NumGoroutine()
	return h
}
