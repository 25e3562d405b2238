package sqs

import (
	"crypto/rand"
	"encoding/base64"
	"errors"
	"syscall"
	"testing"
	"time"
)

// TestTheServerSurvivesARealFullDisk fills a file system of 160 MB, drains it, and
// fills it again.
func TestTheServerSurvivesARealFullDisk(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=80m"); err != nil {
		t.Skipf("can't mount a small file system here (it takes root): %v", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, 0); err != nil {
			t.Errorf("unmount: %v", err)
		}
	})
	s := open(t, Options{Dir: dir + "/data", minFree: 16 << 20, ballast: 8 << 20})
	q := queue(t, s, "events", nil)
	body := noise(100_000)
	fill := func() (accepted int) {
		for {
			err := s.disk.room()
			if err == nil {
				e, _, invalid := newEntry(q, messageInput{MessageBody: body})
				if invalid != nil {
					t.Fatal(invalid)
				}
				err = q.send([]*entry{e})
			}
			var api *apiError
			if errors.As(err, &api) && api.code == "RequestThrottled" {
				return accepted
			}
			if err != nil {
				t.Fatalf("after %d messages: %v", accepted, err)
			}
			accepted++
		}
	}
	first := fill()
	if got := int64(first); first == 0 || q.Stats().Visible != got {
		t.Fatalf("accepted %d, %+v", first, q.Stats())
	}
	n := 0
	for _, times := range drain(t, q) {
		n += times
	}
	if n != first {
		t.Fatalf("received %d of %d", n, first)
	}
	// Some of the space may be back, and taken again, before the rest is.
	for second := 0; second < first/2; {
		waitForRoom(t, s.disk)
		second += fill()
	}
}

// noise is text of n bytes that does not compress.
func noise(n int) string {
	b := make([]byte, n)
	_, _ = rand.Read(b) // never fails
	return base64.StdEncoding.EncodeToString(b)[:n]
}

// waitForRoom waits until sends are accepted again. The store gives space back
// in its own time; without that this ends with the test's.
func waitForRoom(t *testing.T, d *disk) {
	t.Helper()
	tick := time.NewTicker(probeEvery)
	defer tick.Stop()
	for range tick.C {
		if d.room() == nil {
			return
		}
		if t.Context().Err() != nil {
			t.Fatal("no room")
		}
	}
}
