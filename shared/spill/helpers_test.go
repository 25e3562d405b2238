package spill

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/spillwayhq/spillway/shared/frame"
)

func open(t testing.TB, o Options) *Log {
	t.Helper()
	l, err := Open(o)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func closeLog(t testing.TB, l *Log) {
	t.Helper()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
}

// crash leaves the directory as kill -9 would: nothing is cleaned up, and the lock is released.
func crash(t testing.TB, l *Log) {
	t.Helper()
	if err := l.lock.Close(); err != nil {
		t.Fatal(err)
	}
	l.store.mu.Lock()
	defer l.store.mu.Unlock()
	close(l.store.closed)
	for _, s := range l.store.segments {
		_ = s.close() // a killed process leaves no file open either
	}
}

// rest reads all records that are there. In a synctest bubble time passes only when Read waits.
func rest(t testing.TB, l *Log) []Record {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	var all []Record
	for {
		var some [7]Record
		n, err := l.Read(ctx, some[:])
		all = append(all, some[:n]...)
		if errors.Is(err, context.DeadlineExceeded) {
			return all
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

// numbered returns a record of n bytes, at least 8, that begins with its id.
func numbered(id uint64, n int) []byte {
	b := bytes.Repeat([]byte{byte(id)}, max(n, 8))
	binary.BigEndian.PutUint64(b, id)
	return b
}

func idOf(data []byte) uint64 { return binary.BigEndian.Uint64(data) }

func ids(records []Record) []uint64 {
	var out []uint64
	for _, r := range records {
		out = append(out, idOf(r.Data))
	}
	return out
}

func segmentFiles(t testing.TB, dir string) []string {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join(dir, "*.spill"))
	if err != nil {
		t.Fatal(err)
	}
	return paths
}

// place is the position of a frame in a segment file.
type place struct {
	id       uint64
	from, to int
}

// places returns the frames of a segment file up to the first damage.
func places(t testing.TB, path string) []place {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	h, ok := frame.ParseHeaders(b[:frame.HeadersBytes])
	if !ok {
		t.Fatalf("%s has no header", path)
	}
	var out []place
	for at := frame.HeadersBytes; at < len(b); {
		f, v := frame.Parse(b[at:], h.Salt, MaxRecordBytes)
		if v != frame.Whole {
			return out
		}
		out = append(out, place{id: idOf(f.Data), from: at, to: at + f.Bytes})
		at += f.Bytes
	}
	return out
}
