package sqs

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// cpuTime is what this process has used, user and system.
func cpuTime() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// report adds messages a second and CPU a message to a benchmark's result.
func report(b *testing.B, messages int64, cpu time.Duration) {
	b.ReportMetric(float64(messages)/b.Elapsed().Seconds(), "msgs/s")
	b.ReportMetric(float64(cpu.Nanoseconds())/float64(messages)/1000, "cpu-µs/msg")
	b.ReportMetric(0, "ns/op")
}

// post calls the handler without a socket, so that the CPU is the server's.
func post(h http.Handler, action string, body []byte) ([]byte, error) {
	r := httptest.NewRequest(http.MethodPost, "http://localhost/", bytes.NewReader(body))
	r.Header.Set("X-Amz-Target", "AmazonSQS."+action)
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	if w.Code != http.StatusOK {
		return nil, fmt.Errorf("%s: %d %s", action, w.Code, w.Body)
	}
	return w.Body.Bytes(), nil
}

// kilobyte is a JSON event of about 1 KB.
func kilobyte(i int) string {
	return fmt.Sprintf(`{"type":"track","userId":"user-%d","event":"Run Started","messageId":"%032x","properties":{"text":%q}}`,
		i%1000, i, strings.Repeat(fmt.Sprintf("%x ", i*7919), 850/len(fmt.Sprintf("%x ", i*7919))))
}

func batchBody(from int) []byte { return groupedBody(from, 0) }

// groupedBody is a batch whose messages are of so many groups; 0: they have none.
func groupedBody(from, groups int) []byte {
	type e struct {
		Id, MessageBody string
		MessageGroupId  string `json:",omitempty"`
	}
	var in struct {
		QueueUrl string
		Entries  []e
	}
	in.QueueUrl = "http://localhost/000000000000/events"
	for i := range 10 {
		entry := e{Id: fmt.Sprint(i), MessageBody: kilobyte(from + i)}
		if groups > 0 {
			entry.MessageGroupId = fmt.Sprint("group", (from/10+i)%groups)
		}
		in.Entries = append(in.Entries, entry)
	}
	b, err := json.Marshal(in)
	if err != nil {
		panic(err)
	}
	return b
}

const benchClients = 16

// parallel calls f with 0 to n-1 in benchClients goroutines.
func parallel(b *testing.B, n int, f func(i int) error) {
	b.Helper()
	var wg sync.WaitGroup
	var next atomic.Int64
	for range benchClients {
		wg.Go(func() {
			for {
				i := int(next.Add(1)) - 1
				if i >= n {
					return
				}
				if err := f(i); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
}

// BenchmarkSend sends batches of ten messages of 1 KB, durably, to a store on
// disk. An operation is a batch.
func BenchmarkSend(b *testing.B) {
	s := open(b, Options{Dir: b.TempDir()})
	queue(b, s, "events", nil)
	bodies := make([][]byte, 100)
	for i := range bodies {
		bodies[i] = batchBody(i * 10)
	}
	cpu := cpuTime()
	b.ResetTimer()
	parallel(b, b.N, func(i int) error {
		_, err := post(s, "SendMessageBatch", bodies[i%len(bodies)])
		return err
	})
	report(b, int64(b.N)*10, cpuTime()-cpu)
}

// BenchmarkReceiveDelete receives ten and deletes them in a batch. An
// operation is both.
func BenchmarkReceiveDelete(b *testing.B) { receiveDelete(b, 0) }

// BenchmarkReceiveDeleteGroups is the same with messages of a hundred groups.
func BenchmarkReceiveDeleteGroups(b *testing.B) { receiveDelete(b, 100) }

func receiveDelete(b *testing.B, groups int) {
	s := open(b, Options{Dir: b.TempDir()})
	queue(b, s, "events", nil)
	parallel(b, b.N, func(i int) error {
		_, err := post(s, "SendMessageBatch", groupedBody(i*10, groups))
		return err
	})
	cpu := cpuTime()
	var got atomic.Int64
	b.ResetTimer()
	parallel(b, b.N, func(int) error {
		out, err := post(s, "ReceiveMessage",
			[]byte(`{"QueueUrl":"http://localhost/000000000000/events","MaxNumberOfMessages":10,"AttributeNames":["All"],"MessageAttributeNames":["All"]}`))
		if err != nil {
			return err
		}
		// Not encoding/json, which would take as long as the server does.
		handles := bytes.Split(out, []byte(`"ReceiptHandle":"`))[1:]
		var del bytes.Buffer
		del.WriteString(`{"QueueUrl":"http://localhost/000000000000/events","Entries":[`)
		for i, h := range handles {
			if i > 0 {
				del.WriteByte(',')
			}
			handle, _, _ := bytes.Cut(h, []byte(`"`))
			fmt.Fprintf(&del, `{"Id":"%d","ReceiptHandle":"%s"}`, i, handle)
		}
		del.WriteString("]}")
		got.Add(int64(len(handles)))
		_, err = post(s, "DeleteMessageBatch", del.Bytes())
		return err
	})
	b.StopTimer()
	if got.Load() != int64(b.N)*10 {
		b.Fatalf("received %d of %d", got.Load(), b.N*10)
	}
	report(b, got.Load(), cpuTime()-cpu)
}

// BenchmarkBacklog sends b.N batches and reports the heap that the backlog
// takes: go test -bench Backlog -benchtime 100000x is a million messages.
func BenchmarkBacklog(b *testing.B) {
	s := open(b, Options{Dir: b.TempDir()})
	q := queue(b, s, "events", nil)
	heap := func() float64 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return float64(m.HeapAlloc) / (1 << 20)
	}
	before := heap()
	parallel(b, b.N, func(i int) error {
		_, err := post(s, "SendMessageBatch", batchBody(i*10))
		return err
	})
	if st := q.Stats(); st.Visible != int64(b.N)*10 {
		b.Fatalf("%d messages visible, want %d", st.Visible, b.N*10)
	}
	b.ReportMetric(heap()-before, "heap-MB")
	var u syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &u) == nil {
		b.ReportMetric(float64(u.Maxrss)/1024, "peak-rss-MB")
	}
}
