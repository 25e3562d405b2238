package sqs

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/spillwayhq/spillway/infra/local/sqs/store"
)

// diskUsage is what the messages take on disk.
func diskUsage(t *testing.T, fs store.FS, dir string) (bytes int64) {
	t.Helper()
	names, err := fs.List(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		if size, err := fs.Size(dir + "/" + name); err == nil && strings.HasSuffix(name, ".log") {
			bytes += size
		}
	}
	return bytes
}

func sendNoise(t *testing.T, q *Queue, messages int) {
	t.Helper()
	body := noise(100_000)
	for i := range messages {
		sendBodies(t, q, fmt.Sprint(i, body))
	}
}

func TestTheSpaceOfDeletedMessagesIsReclaimed(t *testing.T) {
	t.Parallel()
	const messages = 100 // of 100 KB
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
				fs := new(store.Mem)
				s := open(t, Options{Dir: "data", FS: fs})
				q := queue(t, s, "events", nil)
				other := queue(t, s, "other", nil)
				sendBodies(t, other, "stays")
				sendNoise(t, q, test.messages)
				before := diskUsage(t, fs, "data")
				if test.empty(t, s, q) {
					if err := s.Close(); err != nil {
						t.Fatal(err)
					}
					s = open(t, Options{Dir: "data", FS: fs})
				}
				left := q.Stats().Visible + q.Stats().InFlight
				time.Sleep(3 * keepEvery)
				synctest.Wait()
				limit := int64(64 << 10)
				if left > 0 {
					limit = 17 << 20 // a remaining message shares its file, of 16 MB, with others
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
