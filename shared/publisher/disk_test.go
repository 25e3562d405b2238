package publisher

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/segmentio/analytics-go/v3"

	"github.com/spillwayhq/spillway/shared/spill"
)

// large returns an event of about 8 KB that does not compress: few of them fill a buffer.
func large(id string) analytics.Track {
	m := testEvent(id)
	m.Properties = analytics.Properties{"x": noise(8000)}
	return m
}

// noise returns text that does not compress, not even together with other noise.
func noise(n int) string {
	from := rand.IntN(len(noisy) - n)
	return noisy[from : from+n]
}

var noisy = func() string {
	raw := make([]byte, 3<<20)
	_, _ = rand.NewChaCha8([32]byte{}).Read(raw)
	return base64.RawURLEncoding.EncodeToString(raw)
}()

func TestEventsGoToDiskWhileSQSIsDownAndAreReplayedInOrder(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		q := &fakeQueue{answer: always(answer{err: errRefused})}
		c := newClient(t, Config{Dir: t.TempDir(), BufferBytes: 4 << 20}, q)
		const n = 1500
		for i := range n {
			if err := c.Enqueue(large(fmt.Sprint(i))); err != nil {
				t.Fatalf("event %d: %v", i, err)
			}
			time.Sleep(8 * time.Millisecond)
		}
		time.Sleep(10 * time.Second)
		s := c.Stats()
		if s.Spilled == 0 || s.DiskBytes == 0 || s.Waiting != 0 || s.WaitingBytes != 0 {
			t.Errorf("%+v", s)
		}
		q.set(nil)
		time.Sleep(10 * time.Second)
		s = c.Stats()
		if q.len() != n || s.Published != n || s.Replayed != s.Spilled || s.Oldest != 0 {
			t.Errorf("SQS has %d of %d: %+v", q.len(), n, s)
		}
		newest := 0
		for _, raw := range q.events {
			var e struct {
				MessageID int `json:"messageId,string"`
			}
			if err := json.Unmarshal([]byte(raw), &e); err != nil {
				t.Fatal(err)
			}
			if newest = max(newest, e.MessageID); newest-e.MessageID > n/4 {
				t.Fatalf("event %d came after event %d", e.MessageID, newest)
			}
		}
		mustClose(t, c)
		q.check(t)
	})
}

func TestEventsGoToDiskWhenSQSIsTooSlow(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		q := &fakeQueue{answer: always(answer{latency: 5 * time.Second})}
		c := newClient(t, Config{Dir: t.TempDir(), BufferBytes: 8 << 20}, q)
		const n = 3500
		for i := range n {
			if err := c.Enqueue(large(fmt.Sprint(i))); err != nil {
				t.Fatalf("event %d: %v: %+v", i, err, c.Stats())
			}
			if i%5 == 0 {
				time.Sleep(8 * time.Millisecond)
			}
		}
		if s := c.Stats(); s.Spilled == 0 || s.Published == 0 {
			t.Errorf("%+v", s)
		}
		q.set(nil)
		time.Sleep(20 * time.Second)
		if s := c.Stats(); q.len() != n || s.Published != n {
			t.Errorf("SQS has %d of %d: %+v", q.len(), n, s)
		}
		mustClose(t, c)
		q.check(t)
	})
}

func TestNextProcessSendsWhatCloseLeftOnDisk(t *testing.T) {
	t.Parallel()
	for _, durability := range []Durability{Memory, Process, Disk} {
		for name, m := range map[string]answer{"refused": {err: errRefused}, "black hole": {latency: time.Hour}} {
			t.Run(fmt.Sprint(durability, " ", name), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					q := &fakeQueue{answer: always(m)}
					dir := t.TempDir()
					c := newClient(t, Config{Dir: dir, Durability: durability, WriteKey: "old"}, q)
					n := 500
					if durability == Disk { // each event waits for the disk, in real time
						n = 50
					}
					for i := range n {
						if err := c.Enqueue(testEvent(fmt.Sprint(i))); err != nil {
							t.Fatal(err)
						}
						time.Sleep(time.Millisecond)
					}
					start := time.Now()
					if err := c.Close(); err != nil {
						t.Errorf("close: %v", err)
					}
					if took := time.Since(start); took > 31*time.Second {
						t.Errorf("close took %v", took)
					}
					if q.len() != 0 {
						t.Errorf("SQS has %d events", q.len())
					}
					q.set(nil)
					told := &outcomes{}
					c = newClient(t, Config{Dir: dir, Durability: durability, WriteKey: "new", Callback: told}, q)
					if err := c.Enqueue(testEvent("new")); err != nil {
						t.Fatal(err)
					}
					time.Sleep(time.Second)
					if s := c.Stats(); q.len() != n+1 || s.Published != int64(n+1) || len(told.all(true)) != n+1 {
						t.Errorf("SQS has %d of %d, told %d: %+v", q.len(), n+1, len(told.all(true)), s)
					}
					keys := map[string]int{}
					for _, h := range q.headers {
						keys[h.WriteKey]++
					}
					if keys["new"] != 1 || keys["old"] == 0 || keys["old"] > 20 {
						t.Errorf("messages by write key: %v", keys)
					}
					mustClose(t, c)
					q.check(t)
				})
			})
		}
	}
}

func TestCloseSendsTheEventsOnDisk(t *testing.T) {
	t.Parallel()
	for _, durability := range []Durability{Process, Disk} {
		synctest.Test(t, func(t *testing.T) {
			q := &fakeQueue{answer: always(answer{latency: 10 * time.Millisecond})}
			dir := t.TempDir()
			c := newClient(t, Config{Dir: dir, Durability: durability}, q)
			for i := range 100 {
				if err := c.Enqueue(testEvent(fmt.Sprint(i))); err != nil {
					t.Fatal(err)
				}
			}
			mustClose(t, c)
			if q.len() != 100 {
				t.Errorf("SQS has %d of 100 events", q.len())
			}
			if left, _ := filepath.Glob(filepath.Join(dir, "*.spill")); len(left) > 0 {
				t.Errorf("%v are left", left)
			}
			if err := c.Enqueue(testEvent("late")); err != ErrClosed {
				t.Errorf("enqueue after close: %v", err)
			}
		})
	}
}

func TestEnqueueReturnsErrClosedWhileShutdownSendsTheEventsOnDisk(t *testing.T) {
	t.Parallel()
	for _, durability := range []Durability{Process, Disk} {
		synctest.Test(t, func(t *testing.T) {
			q := &fakeQueue{answer: always(answer{latency: time.Second})}
			c := newClient(t, Config{Dir: t.TempDir(), Durability: durability}, q)
			if err := c.Enqueue(testEvent("early")); err != nil {
				t.Fatal(err)
			}
			over := make(chan struct{})
			go func() { mustClose(t, c); close(over) }()
			synctest.Wait()
			select {
			case <-over:
				t.Fatal("Close did not wait for SQS")
			default:
			}
			if err := c.Enqueue(testEvent("late")); err != ErrClosed {
				t.Errorf("enqueue during Shutdown: %v", err)
			}
			<-over
			if q.has("early") != 1 || q.has("late") != 0 {
				t.Errorf("SQS has %v", q.got)
			}
		})
	}
}

func TestEventsWrittenByAClockThatWasAheadAreSent(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	q := &fakeQueue{answer: always(answer{err: errRefused})}
	config := Config{Dir: dir, Durability: Process}
	c := newClient(t, config, q)
	if err := c.Enqueue(testEvent("of the future")); err != nil {
		t.Fatal(err)
	}
	_ = c.Shutdown(t.Context())
	synctest.Test(t, func(t *testing.T) { // in the year 2000
		c := newClient(t, config, q)
		if s := c.Stats(); s.Oldest != 0 || s.DiskBytes == 0 {
			t.Errorf("%+v", s)
		}
		q.set(nil)
		time.Sleep(10 * time.Second)
		mustClose(t, c)
		if q.has("of the future") != 1 || c.Stats().DiskBytes != 0 {
			t.Errorf("SQS has %v, %+v", q.got, c.Stats())
		}
	})
}

func TestFullDiskDropsTheNewestEventsWithErrFull(t *testing.T) {
	t.Parallel()
	for _, durability := range []Durability{Memory, Process} {
		synctest.Test(t, func(t *testing.T) {
			q := &fakeQueue{answer: always(answer{err: errThrottled})}
			var log logs
			c := newClient(t, Config{Dir: t.TempDir(), Durability: durability, DiskBytes: 4 << 20, BufferBytes: 4 << 20,
				Logger: slog.New(slog.NewTextHandler(&log, nil))}, q)
			accepted, full := 0, 0
			for i := range 1800 {
				switch err := c.Enqueue(large(fmt.Sprint(i))); err {
				case nil:
					accepted++
				case ErrFull:
					full++
				default:
					t.Fatal(err)
				}
				time.Sleep(3 * time.Millisecond)
			}
			if accepted < 400 || full < 400 || c.Stats().Dropped[Full] != int64(full) {
				t.Errorf("accepted %d, full %d: %+v", accepted, full, c.Stats())
			}
			if durability == Memory && !log.has("events can't be written to disk") {
				t.Errorf("the log is:\n%s", log.String())
			}
			q.set(nil)
			time.Sleep(15 * time.Second)
			if q.len() != accepted {
				t.Errorf("SQS has %d of %d accepted events: %+v", q.len(), accepted, c.Stats())
			}
			if err := c.Enqueue(testEvent("again")); err != nil {
				t.Errorf("with room again: %v", err)
			}
			mustClose(t, c)
			q.check(t)
		})
	}
}

func TestReplayDoesNotDelayFreshEvents(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		q := &fakeQueue{answer: always(answer{err: errRefused})}
		c := newClient(t, Config{Dir: t.TempDir(), ReplayRate: 1000, MessageEvents: 500}, q)
		for i := range 20_000 {
			if err := c.Enqueue(testEvent(fmt.Sprint("old", i))); err != nil {
				t.Fatal(err)
			}
			if i%100 == 0 {
				time.Sleep(10 * time.Millisecond)
			}
		}
		time.Sleep(5 * time.Second)
		spilled := c.Stats().Spilled
		q.set(nil)
		time.Sleep(4 * time.Second)
		for i := range 10 {
			if err := c.Enqueue(testEvent(fmt.Sprint("fresh", i))); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(300 * time.Millisecond)
		if q.has("fresh9") != 1 {
			t.Error("fresh events wait for the replay")
		}
		if s := c.Stats(); s.Replayed == 0 || s.Replayed > spilled*3/4 {
			t.Errorf("4 s after the recovery %d of %d are replayed, at 1000 a second", s.Replayed, spilled)
		}
		time.Sleep(20 * time.Second)
		if s := c.Stats(); s.Replayed != spilled || q.len() != 20_010 {
			t.Errorf("%+v", s)
		}
		mustClose(t, c)
	})
}

func TestCallbackGetsEventsFromDiskAsTheyWereEnqueued(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		q := &fakeQueue{}
		told := &outcomes{}
		c := newClient(t, Config{Dir: t.TempDir(), Durability: Process, Callback: told}, q)
		odd, err := NewRaw([]byte(
			`{"type":"track","messageId":"odd","timestamp":"2026-01-01T00:00:00Z","userId":4711,"event":"E"}`))
		if err != nil {
			t.Fatal(err)
		}
		unknown, err := NewRaw([]byte(
			`{"type":"page","messageId":"p","timestamp":"2026-01-01T00:00:00Z","anonymousId":"a","category":"c"}`))
		if err != nil {
			t.Fatal(err)
		}
		at := time.Unix(1, 0).UTC()
		want := []analytics.Message{
			analytics.Track{Type: "track", MessageId: "1", UserId: "u", Event: "E", Timestamp: at,
				Properties: analytics.Properties{"a": "b"}},
			analytics.Identify{Type: "identify", MessageId: "2", UserId: "u", Timestamp: at,
				Traits: analytics.Traits{"a": true}},
			analytics.Screen{Type: "screen", MessageId: "3", UserId: "u", Timestamp: at, Name: "n"},
			analytics.Group{Type: "group", MessageId: "4", UserId: "u", GroupId: "g", Timestamp: at},
			analytics.Alias{Type: "alias", MessageId: "5", UserId: "u", PreviousId: "p", Timestamp: at},
			odd, analytics.Page{Type: "page", MessageId: "p", AnonymousId: "a",
				Timestamp: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)},
		}
		for _, m := range append(want[:6:6], unknown) {
			if err := c.Enqueue(m); err != nil {
				t.Fatal(err)
			}
		}
		mustClose(t, c)
		if got := told.all(true); !reflect.DeepEqual(got, want) {
			t.Errorf("told\n%#v, want\n%#v", got, want)
		}
	})
}

func TestNewFailsOnAnUnusableDirectory(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	held := t.TempDir()
	log, err := spill.Open(spill.Options{Dir: held})
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	for _, c := range []struct {
		config Config
		field  string
		want   string
	}{
		{Config{Dir: file}, "Dir", "file"},
		{Config{Dir: held}, "Dir", "another process"},
		{Config{Durability: Process}, "Dir", "must be a directory"},
		{Config{Durability: 3}, "Durability", "publisher.Memory"},
		{Config{Dir: held, DiskBytes: 1}, "DiskBytes", "at least"},
		{Config{Dir: held, ReplayRate: -1}, "ReplayRate", "at least 1"},
	} {
		c.config.QueueURL, c.config.SQS = atAWS, answering(nil)
		_, err := New(t.Context(), c.config)
		var typed *ConfigError
		if !errors.As(err, &typed) || typed.Field != c.field || !strings.Contains(err.Error(), c.want) ||
			errors.Is(err, ErrDirInUse) != (c.want == "another process") {
			t.Errorf("%+v: %v", c.config, err)
		}
	}
}

func TestUnreadableRecordsAreCountedAndTheOthersAreSent(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		log, err := spill.Open(spill.Options{Dir: dir})
		if err != nil {
			t.Fatal(err)
		}
		if err := log.Append([]byte{}, []byte("\xff\xff\xff"), []byte("\x01"), []byte("\x00{}")); err != nil {
			t.Fatal(err)
		}
		if err := log.Append(appendRecord(nil, 1,
			`{"batch":[{"type":"track","userId":"u","event":"E","messageId":"good","timestamp":"t"}]}`)); err != nil {
			t.Fatal(err)
		}
		if err := log.Close(); err != nil {
			t.Fatal(err)
		}
		q := &fakeQueue{}
		c := newClient(t, Config{Dir: dir}, q)
		time.Sleep(time.Second)
		if q.has("good") != 1 || c.Stats().Dropped[Unreadable] != 4 {
			t.Errorf("SQS has %v: %+v", q.got, c.Stats())
		}
		mustClose(t, c)
	})
}

// The directory was written by Spillway before its first release: single events of write key
// "durable", and a compressed message of write key "memory". Every later version must send them.
func TestDirectoryOfTheFirstVersionIsSent(t *testing.T) {
	t.Parallel()
	for _, durability := range []Durability{Memory, Process} {
		synctest.Test(t, func(t *testing.T) {
			dir := t.TempDir()
			if err := os.CopyFS(dir, os.DirFS("testdata/version1")); err != nil {
				t.Fatal(err)
			}
			q := &fakeQueue{}
			c := newClient(t, Config{Dir: dir, Durability: durability, WriteKey: "new"}, q)
			time.Sleep(time.Second)
			mustClose(t, c)
			q.check(t)
			for n := range 43 {
				id := fmt.Sprint("packed-", n)
				if n >= 40 {
					id = fmt.Sprint("durable-", n-40)
				}
				if q.has(id) != 1 {
					t.Errorf("SQS has %s %d times", id, q.has(id))
				}
			}
			for _, h := range q.headers {
				if h.WriteKey != "durable" && h.WriteKey != "memory" ||
					h.Context != nil && !strings.Contains(string(h.Context), `"app":{"name":"old"}`) {
					t.Errorf("write key %q, context %s", h.WriteKey, h.Context)
				}
			}
			raw := `{"type":"page","messageId":"durable-raw","timestamp":"2026-11-24T08:00:00Z","userId":"u1","category":"c"}`
			if q.len() != 44 || !slices.Equal(q.noContext, []string{"durable-raw"}) || !slices.Contains(q.events, raw) {
				t.Errorf("%d events, without context %v", q.len(), q.noContext)
			}
		})
	}
}

// slowToFail holds the calls with fresh events 5 s longer than their context, and the others as
// long as theirs.
type slowToFail struct{}

func (slowToFail) SendMessageBatch(ctx context.Context, in *sqs.SendMessageBatchInput,
	_ ...func(*sqs.Options)) (*sqs.SendMessageBatchOutput, error) {
	<-ctx.Done()
	if strings.Contains(*in.Entries[0].MessageBody, "fresh") {
		time.Sleep(5 * time.Second)
	}
	return nil, errReset
}

func TestShutdownLeavesOnDiskWhatIsReplayedWhileMemoryIsStillSent(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		q := &fakeQueue{answer: always(answer{err: errRefused})}
		c := newClient(t, Config{Dir: dir}, q)
		if err := c.Enqueue(testEvent("old")); err != nil {
			t.Fatal(err)
		}
		mustClose(t, c)
		c, err := New(t.Context(), Config{QueueURL: "http://localhost/0/e", Dir: dir, Logger: slog.New(slog.DiscardHandler),
			SQS: func(string) (SQS, error) { return slowToFail{}, nil }})
		if err != nil {
			t.Fatal(err)
		}
		if err := c.Enqueue(testEvent("fresh")); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := c.Shutdown(ctx); err != nil {
			t.Errorf("shutdown: %v", err)
		}
		q.set(nil)
		c = newClient(t, Config{Dir: dir}, q)
		time.Sleep(time.Second)
		mustClose(t, c)
		if q.has("old") != 1 || q.has("fresh") != 1 {
			t.Errorf("SQS has %v", q.got)
		}
	})
}
