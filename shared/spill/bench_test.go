package spill

import (
	"bytes"
	"fmt"
	"sync"
	"testing"
	"time"
)

// BenchmarkAppend appends records of 1 KB from several goroutines, each waiting for its own record,
// while another one reads them.
func BenchmarkAppend(b *testing.B) {
	for _, sync := range []bool{false, true} {
		for _, writers := range []int{1, 2, 8, 64} {
			b.Run(fmt.Sprintf("sync=%v/goroutines=%d", sync, writers),
				func(b *testing.B) { benchmarkAppend(b, sync, writers, 1) })
		}
	}
}

// BenchmarkAppendMany appends twenty records a call.
func BenchmarkAppendMany(b *testing.B) { benchmarkAppend(b, false, 1, 20) }

func benchmarkAppend(b *testing.B, synced bool, writers, perCall int) {
	l, err := Open(Options{Dir: b.TempDir(), Sync: synced})
	if err != nil {
		b.Fatal(err)
	}
	record := bytes.Repeat([]byte("x"), 1000)
	call := make([][]byte, perCall)
	for i := range call {
		call[i] = record
	}
	var reading sync.WaitGroup
	reading.Go(func() {
		into := make([]Record, 512)
		for {
			n, err := l.Read(b.Context(), into)
			if err != nil {
				return
			}
			l.Done(into[:n]...)
		}
	})
	var writing sync.WaitGroup
	b.SetBytes(int64(len(record) * perCall))
	b.ReportAllocs()
	b.ResetTimer()
	start := time.Now()
	for w := range writers {
		writing.Go(func() {
			for i := w; i < b.N; i += writers {
				if err := l.Append(call...); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	writing.Wait()
	b.StopTimer()
	b.ReportMetric(float64(b.N*perCall)/time.Since(start).Seconds(), "records/s")
	if err := l.Close(); err != nil {
		b.Fatal(err)
	}
	reading.Wait()
}

// BenchmarkRead reads records of 1 KB that were appended before.
func BenchmarkRead(b *testing.B) {
	l, err := Open(Options{Dir: b.TempDir(), MaxBytes: 64 << 30, SegmentBytes: maxSegmentBytes})
	if err != nil {
		b.Fatal(err)
	}
	defer l.Close()
	call := make([][]byte, 500)
	for i := range call {
		call[i] = bytes.Repeat([]byte("x"), 1000)
	}
	for i := 0; i < b.N; i += len(call) {
		if err := l.Append(call...); err != nil {
			b.Fatal(err)
		}
	}
	into := make([]Record, 500)
	b.SetBytes(1000)
	b.ReportAllocs()
	b.ResetTimer()
	for left := b.N; left > 0; {
		n, err := l.Read(b.Context(), into[:min(left, len(into))])
		if err != nil {
			b.Fatal(err)
		}
		l.Done(into[:n]...)
		left -= n
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "records/s")
}
