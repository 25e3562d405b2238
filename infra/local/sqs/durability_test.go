package sqs

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/smithy-go"

	"github.com/spillwayhq/spillway/infra/local/sqs/store"
)

func sendBodies(t testing.TB, q *Queue, bodies ...string) {
	t.Helper()
	for _, b := range bodies {
		e, _, err := newEntry(q, messageInput{MessageBody: b})
		if err != nil {
			t.Fatal(err)
		}
		if err := q.send([]*entry{e}); err != nil {
			t.Fatal(err)
		}
	}
}

// drain receives and deletes until nothing is left, and counts the bodies.
func drain(t testing.TB, q *Queue) map[string]int {
	t.Helper()
	got := map[string]int{}
	for {
		ms, err := q.Receive(t.Context(), 10, 0)
		if err != nil {
			t.Fatal(err)
		}
		if len(ms) == 0 {
			return got
		}
		var handles []string
		for _, m := range ms {
			got[m.Body]++
			handles = append(handles, m.ReceiptHandle)
		}
		if err := q.Delete(t.Context(), handles); err != nil {
			t.Fatal(err)
		}
	}
}

func TestAPowerLossLosesNoAcknowledgedMessage(t *testing.T) {
	fs := new(store.Mem)
	s := open(t, Options{Dir: "data", FS: fs})
	queue(t, s, "events", map[string]string{"VisibilityTimeout": "77"})
	var mu sync.Mutex
	acked := map[string]bool{}
	var wg sync.WaitGroup
	enough := make(chan struct{})
	var stop atomic.Bool
	var n atomic.Int64
	q, _ := s.Queue("events")
	for w := range 4 {
		wg.Go(func() {
			for i := 0; !stop.Load(); i++ {
				body := fmt.Sprintf("%d-%d %s", w, i, strings.Repeat("x", 300))
				e, _, err := newEntry(q, messageInput{MessageBody: body})
				if err == nil {
					err = q.send([]*entry{e})
				}
				if err != nil {
					t.Error(err)
					return
				}
				mu.Lock()
				acked[body] = true
				mu.Unlock()
				if n.Add(1) == 400 {
					close(enough)
				}
			}
		})
	}
	<-enough
	mu.Lock()
	before := make(map[string]bool, len(acked))
	for b := range acked {
		before[b] = true
	}
	mu.Unlock()
	// In mid-send, with any half of what was not synced.
	after := fs.Crash(rand.New(rand.NewPCG(1, 2)))
	stop.Store(true)
	wg.Wait()

	s2 := open(t, Options{Dir: "data", FS: after})
	q2, ok := s2.Queue("events")
	if !ok || q2.settings.Load().visibility != 77*time.Second {
		t.Fatal("the queue or its attributes are gone")
	}
	total := q2.Stats().Visible
	got := drain(t, q2)
	if int64(len(got)) != total {
		t.Errorf("%d messages counted at the start, %d received", total, len(got))
	}
	for b := range before {
		if got[b] != 1 {
			t.Fatalf("an acknowledged message was received %d times", got[b])
		}
	}
}

func TestAfterARestartMessagesInFlightAreVisibleAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fs := new(store.Mem)
		s := open(t, Options{Dir: "data", FS: fs})
		q := queue(t, s, "events", map[string]string{"VisibilityTimeout": "600"})
		sendBodies(t, q, "a", "b", "c")
		ms, err := q.Receive(t.Context(), 3, 0)
		if err != nil || len(ms) != 3 {
			t.Fatalf("%d messages, %v", len(ms), err)
		}
		s2 := open(t, Options{Dir: "data", FS: fs.Crash(nil)})
		q2, _ := s2.Queue("events")
		if st := q2.Stats(); st.Visible != 3 || st.InFlight != 0 {
			t.Fatalf("after the restart: %+v", st)
		}
		// A consumer that outlived the server can still delete.
		if err := q2.Delete(t.Context(), []string{ms[0].ReceiptHandle}); err != nil {
			t.Fatal(err)
		}
		if got := drain(t, q2); len(got) != 2 || got[ms[0].Body] != 0 {
			t.Fatalf("received %v", got)
		}
	})
}

func TestReceiveCountsSurviveAnOrderlyRestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fs := new(store.Mem)
		s := open(t, Options{Dir: "data", FS: fs})
		q := queue(t, s, "events", nil)
		sendBodies(t, q, "a")
		if _, err := q.Receive(t.Context(), 1, 0); err != nil {
			t.Fatal(err)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		q2, _ := open(t, Options{Dir: "data", FS: fs}).Queue("events")
		ms, err := q2.Receive(t.Context(), 1, 0)
		if err != nil || len(ms) != 1 || ms[0].Attributes["ApproximateReceiveCount"] != "2" {
			t.Fatalf("%+v, %v", ms, err)
		}
	})
}

func TestAMoveTaskContinuesAfterARestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fs := new(store.Mem)
		s := open(t, Options{Dir: "data", FS: fs})
		dlq := queue(t, s, "dead", nil)
		q := queue(t, s, "events",
			map[string]string{"RedrivePolicy": `{"deadLetterTargetArn":"` + dlq.ARN() + `","maxReceiveCount":"3"}`})
		for i := range 20 {
			sendBodies(t, dlq, fmt.Sprint(i))
		}
		if _, err := s.tasks.start(dlq, q.ARN(), 2); err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * time.Second)
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		moved := q.Stats().Visible
		if moved == 0 || moved == 20 {
			t.Fatalf("%d messages moved before the restart", moved)
		}
		s2 := open(t, Options{Dir: "data", FS: fs})
		time.Sleep(20 * time.Second)
		q2, _ := s2.Queue("events")
		if got := drain(t, q2); len(got) != 20 {
			t.Fatalf("%d messages moved", len(got))
		}
	})
}

func TestASecondProcessCanNotOpenTheDirectory(t *testing.T) {
	dir := t.TempDir()
	open(t, Options{Dir: dir})
	_, err := Open(Options{Dir: dir, Logger: quiet()})
	if err == nil || !strings.Contains(err.Error(), "the data directory "+dir+" is in use by another process") {
		t.Fatalf("error %v", err)
	}
}

func TestADirectoryThatCantBeCreatedIsAnError(t *testing.T) {
	file := t.TempDir() + "/file"
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(Options{Dir: file + "/data", Logger: quiet()}); err == nil {
		t.Fatal("opened")
	}
	if _, err := Open(Options{}); err == nil {
		t.Fatal("opened without a directory")
	}
}

func TestAFullDiskRefusesSendsAndAcceptsDeletes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fs := new(store.Mem)
		var free atomic.Uint64
		free.Store(1 << 30)
		s := open(t, Options{Dir: "data", FS: fs, freeSpace: func() (uint64, error) { return free.Load(), nil }})
		q := queue(t, s, "events", nil)
		ballast := "data/" + ballastName
		there := func() bool { _, err := fs.Size(ballast); return err == nil }
		if !there() {
			t.Fatal("no ballast on a disk with room")
		}
		sendBodies(t, q, "before")
		url := aws.String("http://localhost/000000000000/events")
		send := func() error {
			time.Sleep(2 * probeEvery)
			_, err := sdk(s).SendMessage(t.Context(), &sqs.SendMessageInput{QueueUrl: url, MessageBody: aws.String("x")})
			return err
		}
		refused := func(when, why string) {
			t.Helper()
			var api smithy.APIError
			if err := send(); !errors.As(err, &api) || api.ErrorCode() != "RequestThrottled" ||
				!strings.Contains(api.ErrorMessage(), "disk full: "+why) {
				t.Fatalf("%s: send: %v, want RequestThrottled: disk full: %s", when, err, why)
			}
		}
		free.Store(minFreeBytes - 1)
		refused("little space", "15 MB are free for data, 16 MB are needed")
		if !there() {
			t.Fatal("the ballast went before it was needed")
		}
		free.Store(1 << 20)
		refused("no space", "17 MB are free for data, 32 MB are needed")
		if there() {
			t.Fatal("the ballast is still there")
		}
		if got := drain(t, q); got["before"] != 1 {
			t.Fatalf("received %v", got)
		}
		free.Store(minFreeBytes + 1) // what the ballast freed is not for sends
		refused("the ballast's space", "16 MB are free for data, 32 MB are needed")
		free.Store(1 << 30)
		if err := send(); err != nil || !there() {
			t.Fatalf("with room again: %v, ballast %v", err, there())
		}
	})
}

func TestAMessageOfALaterVersionIsRetained(t *testing.T) {
	fs := new(store.Mem)
	for start := range 2 {
		s, err := Open(Options{Dir: "data", FS: fs, Logger: quiet()})
		if err != nil {
			t.Fatal(err)
		}
		q := queue(t, s, "events", nil)
		if start == 0 {
			content := append([]byte{storedMessageVersion + 1}, make([]byte, 100)...)
			m := &store.Message{Queue: q.id, Sent: time.Now().UnixMilli(), Seq: 1, Events: 1}
			if err := s.store.Put([]store.Addition{{Message: m, Content: content}}, true); err != nil {
				t.Fatal(err)
			}
		} else {
			if ms, err := q.Receive(t.Context(), 10, 0); err != nil || len(ms) != 0 {
				t.Errorf("received %v, %v", ms, err)
			}
			if st := q.Stats(); st.Lost != 0 || st.InFlight != 1 {
				t.Errorf("%+v", st)
			}
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// fullFS is a disk on which writes fail while it is full.
type fullFS struct {
	store.FS
	full *atomic.Bool
}

func (f fullFS) Create(name string) (store.File, error) {
	file, err := f.FS.Create(name)
	return fullFile{file, f.full}, err
}

type fullFile struct {
	store.File
	full *atomic.Bool
}

func (f fullFile) WriteAt(b []byte, off int64) (int, error) {
	if f.full.Load() {
		return 0, syscall.ENOSPC
	}
	return f.File.WriteAt(b, off)
}

func TestMessagesAreReceivedThoughDeadLettersCantBeMovedOnAFullDisk(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var full atomic.Bool
		s := open(t, Options{Dir: "data", FS: fullFS{new(store.Mem), &full}})
		dead := queue(t, s, "dead", nil)
		q := queue(t, s, "events", map[string]string{"VisibilityTimeout": "10",
			"RedrivePolicy": `{"deadLetterTargetArn":"` + dead.ARN() + `","maxReceiveCount":"2"}`})
		sendBodies(t, q, "poison")
		for range 2 {
			if ms, err := q.Receive(t.Context(), 1, 0); err != nil || len(ms) != 1 {
				t.Fatal(ms, err)
			}
			time.Sleep(10 * time.Second)
		}
		sendBodies(t, q, "good")
		full.Store(true)
		ms, err := q.Receive(t.Context(), 10, 0)
		if err != nil || len(ms) != 1 || ms[0].Body != "good" {
			t.Fatalf("received %v, %v", ms, err)
		}
		for range 5 { // an error costs no message a receive
			if _, err := q.Receive(t.Context(), 10, 0); err == nil {
				t.Fatal("the failure to move is not told")
			}
		}
		full.Store(false)
		if ms, err := q.Receive(t.Context(), 10, 0); err != nil || len(ms) != 0 {
			t.Errorf("received %v, %v", ms, err)
		}
		if n := dead.Stats().Visible; n != 1 {
			t.Errorf("%d dead letters", n)
		}
	})
}

// failingFS is a disk on which syncs fail once it is broken.
type failingFS struct {
	store.FS
	broken *atomic.Bool
}

func (f failingFS) Create(name string) (store.File, error) {
	file, err := f.FS.Create(name)
	return failingFile{file, f.broken}, err
}

type failingFile struct {
	store.File
	broken *atomic.Bool
}

var errBroken = errors.New("input/output error")

func (f failingFile) Sync() error {
	if f.broken.Load() {
		return errBroken
	}
	return f.File.Sync()
}

func TestAFailedSyncIsNotAcknowledgedAndDoesNotEndTheProcess(t *testing.T) {
	var broken atomic.Bool
	s := open(t, Options{Dir: "data", FS: failingFS{new(store.Mem), &broken}})
	q := queue(t, s, "events", nil)
	sendBodies(t, q, "a")
	broken.Store(true)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			e, _, err := newEntry(q, messageInput{MessageBody: "b"})
			if err != nil {
				t.Error(err)
				return
			}
			if err := q.send([]*entry{e}); err == nil {
				t.Error("a send was acknowledged without a sync")
			}
		})
	}
	wg.Wait()
	broken.Store(false) // what failed once is not trusted again
	if _, err := s.CreateQueue("other", nil); err == nil || !strings.Contains(err.Error(), "restart the process") {
		t.Errorf("create queue: %v", err)
	}
	if st := q.Stats(); st.Visible != 1 || st.Sent != 1 {
		t.Errorf("%+v, want the one message that was acknowledged", st)
	}
}

// TestEveryMessageIsReceivedExactlyOnce counts with senders, receivers and
// deleters at work at the same time, while no visibility timeout ends.
func TestEveryMessageIsReceivedExactlyOnce(t *testing.T) {
	const senders, receivers, batches = 4, 6, 60
	s := open(t, Options{})
	q := queue(t, s, "events", map[string]string{"VisibilityTimeout": "3600"})
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var mu sync.Mutex
	got := map[string]int{}
	var sending, receiving sync.WaitGroup
	for w := range receivers {
		receiving.Go(func() {
			for {
				ms, err := q.Receive(ctx, 1+w%10, 20*time.Second)
				if errors.Is(err, context.Canceled) {
					return
				}
				if err != nil {
					t.Error(err)
					return
				}
				var hs []string
				mu.Lock()
				for _, m := range ms {
					got[m.Body]++
					hs = append(hs, m.ReceiptHandle)
				}
				all := len(got) == senders*batches*10
				mu.Unlock()
				if err := q.Delete(context.WithoutCancel(ctx), hs); err != nil {
					t.Error(err)
				}
				if all {
					cancel()
				}
			}
		})
	}
	client := sdk(s)
	for w := range senders {
		sending.Go(func() {
			for i := range batches {
				in := &sqs.SendMessageBatchInput{QueueUrl: aws.String("http://localhost/0/events")}
				for j := range 10 {
					in.Entries = append(in.Entries, entryOf(j, fmt.Sprintf("%d-%d-%d", w, i, j)))
				}
				if out, err := client.SendMessageBatch(t.Context(), in); err != nil || len(out.Failed) > 0 {
					t.Errorf("send: %v %+v", err, out)
					cancel()
					return
				}
			}
		})
	}
	sending.Wait()
	receiving.Wait()
	if len(got) != senders*batches*10 {
		t.Fatalf("%d messages received, want %d", len(got), senders*batches*10)
	}
	for b, n := range got {
		if n != 1 {
			t.Fatalf("%s was received %d times", b, n)
		}
	}
	st := q.Stats()
	if st.Visible+st.InFlight+st.Delayed != 0 || st.Sent != senders*batches*10 || st.Deleted != st.Sent ||
		st.Received != st.Sent || !st.OldestSent.IsZero() {
		t.Fatalf("%+v", st)
	}
}

// unreservedFS has room, but none of its files may be large.
type unreservedFS struct{ *store.Mem }

func (unreservedFS) Reserve(string, int64) error { return syscall.EFBIG }

func TestSendsAreAcceptedWhereNoSpaceCanBeReserved(t *testing.T) {
	s := open(t, Options{Dir: "data", FS: unreservedFS{new(store.Mem)}})
	if err := s.room(); err != nil {
		t.Errorf("room: %v", err)
	}
}

func TestFailedWritesSayWhatTheyAre(t *testing.T) {
	for err, want := range map[error]string{
		syscall.ENOSPC: "RequestThrottled: disk full",
		syscall.EDQUOT: "RequestThrottled: disk full",
		syscall.EFBIG:  "RequestThrottled: the limit of the process for the size of a file (ulimit -f)",
		syscall.EIO:    "ServiceUnavailable: write: input/output error",
	} {
		if got := asAPIError(storeError(fmt.Errorf("write: %w", err))); !strings.HasPrefix(got.Error(), want) {
			t.Errorf("%v: %v, want %q", err, got, want)
		}
	}
}

func TestMessagesSentByAClockThatWasAheadDoNotWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fs := new(store.Mem)
		s := open(t, Options{Dir: "data", FS: fs})
		q := queue(t, s, "events", nil)
		sendBodies(t, q, "now")
		ahead := time.Now().Add(48 * time.Hour).UnixMilli()
		e, _, err := newEntry(q, messageInput{MessageBody: "ahead"})
		if err != nil {
			t.Fatal(err)
		}
		a := e.addition(&q.backlog, ahead)
		if err := s.store.Put([]store.Addition{a}, true); err != nil {
			t.Fatal(err)
		}
		e.delay = time.Minute
		if err := s.store.Put([]store.Addition{e.addition(&q.backlog, ahead)}, true); err != nil {
			t.Fatal(err)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		q, _ = open(t, Options{Dir: "data", FS: fs}).Queue("events")
		if got := drain(t, q); got["ahead"] != 1 || got["now"] != 1 {
			t.Errorf("at once: received %v, want both without a delay", got)
		}
		time.Sleep(time.Minute)
		if got := drain(t, q); got["ahead"] != 1 {
			t.Errorf("after its delay: received %v", got)
		}
	})
}

func TestAMachineThatWasOffDeliversBeforeRetention(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fs := new(store.Mem)
		s := open(t, Options{Dir: "data", FS: fs})
		q := queue(t, s, "events", map[string]string{"MessageRetentionPeriod": "3600"})
		sendBodies(t, q, "a", "b")
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(30 * 24 * time.Hour)
		q, _ = open(t, Options{Dir: "data", FS: fs}).Queue("events")
		time.Sleep(2 * sweepEvery)
		ms, err := q.Receive(t.Context(), 1, 0)
		if err != nil || len(ms) != 1 {
			t.Fatalf("received %d messages, %v", len(ms), err)
		}
		if err := q.Delete(t.Context(), []string{ms[0].ReceiptHandle}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(startGrace)
		if st := q.Stats(); st.Visible+st.InFlight != 0 || st.Expired != 1 || st.ExpiredEvents != 1 || st.Deleted != 1 {
			t.Errorf("after %v: %+v, want one message expired and counted", startGrace, st)
		}
	})
}

// TestADamagedMessageCostsNoOther flips a byte of a stored message while the server runs.
func TestADamagedMessageCostsNoOther(t *testing.T) {
	fs := new(store.Mem)
	s := open(t, Options{Dir: "data", FS: fs})
	q := queue(t, s, "events", nil)
	sendBodies(t, q, "first", "second", "third")
	names, err := fs.List("data")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		if strings.HasSuffix(name, ".log") {
			fs.Damage("data/"+name, []byte("second"))
		}
	}
	if got := drain(t, q); len(got) != 2 || got["second"] != 0 {
		t.Errorf("received %v", got)
	}
	if h := s.Health(); h.Lost != 1 || h.Damages != 1 || h.Failure != nil {
		t.Errorf("health %+v", h)
	}
	if st := q.Stats(); st.Lost != 1 || st.Visible+st.InFlight != 0 {
		t.Errorf("%+v", st)
	}
}
