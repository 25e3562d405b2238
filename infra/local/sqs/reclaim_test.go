package sqs

import (
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// diskUsage is what the messages take on disk: the store's files without its log, of which it
// retains up to five files for reuse.
func diskUsage(t *testing.T, fs vfs.FS, dir string) (bytes int64) {
	t.Helper()
	names, err := fs.List(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		if info, err := fs.Stat(fs.PathJoin(dir, name)); err == nil &&
			(strings.HasSuffix(name, ".blob") || strings.HasSuffix(name, ".sst")) {
			bytes += info.Size()
		}
	}
	return bytes
}

func sendNoise(t *testing.T, q *Queue, messages int) {
	t.Helper()
	for range messages {
		sendBodies(t, q, noise(100_000))
	}
}

func TestTheSpaceOfDeletedMessagesIsReclaimed(t *testing.T) {
	const messages = 100 // of 100 KB; their tombstones alone make Pebble do nothing
	tests := map[string]struct {
		messages int
		empty    func(t *testing.T, s *Server, q *Queue) (reopen bool)
	}{
		"after a drain": {messages, func(t *testing.T, _ *Server, q *Queue) bool {
			if got := drain(t, q); len(got) != messages {
				t.Fatalf("received %d", len(got))
			}
			return false
		}},
		"after a drain just before the end of the process": {messages, func(t *testing.T, _ *Server, q *Queue) bool {
			drain(t, q)
			return true
		}},
		"after a purge": {messages, func(t *testing.T, _ *Server, q *Queue) bool {
			if err := q.purge(); err != nil {
				t.Fatal(err)
			}
			return false
		}},
		"of a deleted queue": {messages, func(t *testing.T, s *Server, q *Queue) bool {
			if err := s.queues.remove(q); err != nil {
				t.Fatal(err)
			}
			return false
		}},
		"of messages that have expired": {messages, func(t *testing.T, _ *Server, q *Queue) bool {
			if err := q.setAttributes(map[string]string{"MessageRetentionPeriod": "60"}); err != nil {
				t.Fatal(err)
			}
			time.Sleep(2 * time.Minute)
			return false
		}},
		"where the oldest message stays": {3 * messages, func(t *testing.T, s *Server, q *Queue) bool {
			ms, err := q.Receive(t.Context(), 1, 0)
			if err != nil || len(ms) != 1 {
				t.Fatalf("%d messages, %v", len(ms), err)
			}
			if got := drain(t, q); len(got) != 3*messages-1 {
				t.Fatalf("received %d", len(got))
			}
			s.store.deleted.add(q.keys.id, reclaimBytes) // as of more messages than a test should send
			return false
		}},
		"while there are later messages": {2 * messages, func(t *testing.T, _ *Server, q *Queue) bool {
			for range messages / 5 * 9 {
				ms, err := q.Receive(t.Context(), 1, 0)
				if err != nil || len(ms) != 1 {
					t.Fatalf("%d messages, %v", len(ms), err)
				}
				if err := q.Delete(t.Context(), []string{ms[0].ReceiptHandle}); err != nil {
					t.Fatal(err)
				}
			}
			return false
		}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				fs := vfs.NewMem()
				s := open(t, Options{Dir: "data", FS: fs})
				q := queue(t, s, "events", nil)
				other := queue(t, s, "other", nil)
				sendBodies(t, other, "stays")
				sendNoise(t, q, test.messages)
				synctest.Wait() // for flushes
				before := diskUsage(t, fs, "data")
				if test.empty(t, s, q) {
					if err := s.Close(); err != nil {
						t.Fatal(err)
					}
					s = open(t, Options{Dir: "data", FS: fs})
				}
				left := q.Stats().Visible + q.Stats().InFlight
				time.Sleep(3 * reclaimEvery)
				synctest.Wait()
				// The remaining message shares its file, of a memtable's size, with others.
				limit := int64(64 << 10)
				if left > 0 {
					limit = 9 << 20
				}
				if after := diskUsage(t, fs, "data"); after > limit || before < 4<<20 {
					t.Errorf("%d KB of %d KB are still taken, by %d messages", after>>10, before>>10, left)
				}
				other, _ = s.Queue("other")
				if got := drain(t, other); got["stays"] != 1 {
					t.Errorf("the other queue held %v", got)
				}
			})
		})
	}
}

func TestSpaceIsReclaimedWhenThereIsEnoughOfIt(t *testing.T) {
	const mb = 1 << 20
	tests := []struct {
		name  string
		count deletedCount
		full  bool
		used  int64
		want  []reclaimable
	}{
		{"nothing was deleted", deletedCount{}, true, mb, nil},
		{"little, and more may come", deletedCount{bytes: 63 * mb, scattered: 63 * mb, busy: true}, false, 0, nil},
		{"much", deletedCount{bytes: 64 * mb, scattered: 64 * mb, busy: true}, false, 0, []reclaimable{{7, 64 * mb, false}}},
		{"some, and no more came", deletedCount{bytes: 4 * mb, scattered: 4 * mb}, false, 0,
			[]reclaimable{{7, 4 * mb, false}}},
		{"too little, and no more came", deletedCount{bytes: 3 * mb, scattered: 3 * mb}, false, 0, nil},
		{"little on a full disk", deletedCount{bytes: mb, scattered: mb, busy: true}, true, 0, []reclaimable{{7, mb, false}}},
		{"half of the store", deletedCount{bytes: mb, scattered: 64 * mb}, false, 128 * mb, []reclaimable{{7, mb, true}}},
		{"less than half of the store", deletedCount{bytes: mb, scattered: 64 * mb}, false, 130 * mb, nil},
		{"half of the store on a full disk", deletedCount{bytes: mb, scattered: 64 * mb}, true, 0,
			[]reclaimable{{7, mb, false}}},
		{"half of the store, and more may come", deletedCount{bytes: mb, scattered: 64 * mb, busy: true}, false, 0, nil},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			g := deletedBytes{queues: map[uint32]*deletedCount{7: &test.count}}
			used := func() int64 { return test.used }
			if got := g.due(test.full, used); !slices.Equal(got, test.want) {
				t.Errorf("due: %v, want %v", got, test.want)
			}
			if len(test.want) > 0 {
				if got := g.due(test.full, func() int64 { return 1 << 40 }); len(got) > 0 {
					t.Errorf("due again: %v", got)
				}
			}
		})
	}
}
