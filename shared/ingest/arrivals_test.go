package ingest

import (
	"fmt"
	"io"
	"math/rand/v2"
	"net/http/httptest"
	"net/netip"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// slowBody is a body that comes as a test writes it, and can be cut off.
type slowBody struct {
	io.Reader
	writer *io.PipeWriter
}

func newSlowBody() *slowBody {
	r, w := io.Pipe()
	return &slowBody{r, w}
}

func (b *slowBody) Cut()         { b.writer.CloseWithError(os.ErrDeadlineExceeded) }
func (b *slowBody) Close() error { return nil }

// attack is a number of requests whose bodies do not end.
type attack struct {
	rig      *rig
	running  sync.WaitGroup
	bodies   []*slowBody
	answered atomic.Int64 // 429
}

// send begins a request whose body has so many bytes so far.
func (a *attack) send(client string, bytes int, headers ...string) {
	body := newSlowBody()
	a.bodies = append(a.bodies, body)
	request := httptest.NewRequest("POST", "/v1/b", body)
	request.RemoteAddr = client
	for i := 0; i < len(headers); i += 2 {
		request.Header.Set(headers[i], headers[i+1])
	}
	a.running.Go(func() {
		w := httptest.NewRecorder()
		a.rig.ServeHTTP(w, request)
		if w.Code != 429 {
			a.rig.t.Errorf("status %d", w.Code)
		}
		a.answered.Add(1)
	})
	_, _ = io.WriteString(body.writer, strings.Repeat(" ", bytes)) // of one that was cut off it fails
	synctest.Wait()
}

func (a *attack) end() {
	for _, b := range a.bodies {
		b.Cut()
	}
	a.running.Wait()
}

// from makes the address of a request its client.
func from(c *Config) { c.ClientIP = peerAddr }

// postFrom posts an event from an address.
func (r *rig) postFrom(client, body string) int {
	request := httptest.NewRequest("POST", "/v1/track", strings.NewReader(body))
	request.RemoteAddr = client
	request.Header.Set("Authorization", "Bearer "+keyA)
	w := httptest.NewRecorder()
	r.ServeHTTP(w, request)
	return w.Code
}

// held are the bytes of the bodies that are arriving.
func (s *arrivals) held() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.bytes
}

func TestBodiesThatDoNotEndLeaveRoomForOthers(t *testing.T) {
	for name, client := range map[string]func(i int) string{
		"of one client":      func(int) string { return "192.0.2.1:1" },
		"of one network":     func(i int) string { return fmt.Sprintf("[2001:db8::%x]:1", i) },
		"of many clients":    func(i int) string { return fmt.Sprintf("192.0.2.%d:1", i%200) },
		"of unknown address": func(int) string { return "@" },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t, func(c *Config) { c.Limits.MaxMemory = 36 << 20; from(c) })
				a := attack{rig: r}
				for i := range 100 {
					a.send(client(i), 260_000)
					if i%10 > 0 {
						continue
					}
					if n := r.arrivals.held(); n > r.arrivals.limit {
						t.Errorf("bodies hold %d bytes of %d", n, r.arrivals.limit)
					}
					for _, good := range []string{"192.0.2.1:2", "[2001:db8::2]:2", "198.51.100.1:1"} {
						want(t, "status of "+good, r.postFrom(good, track("1")), 200)
					}
					time.Sleep(50 * time.Millisecond)
				}
				if n := a.answered.Load(); n < 60 {
					t.Errorf("%d of the bodies were cut off", n)
				}
				a.end()
				r.Close()
			})
		})
	}
}

func TestOneClientsBodiesAreCutOffForItsOwn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, from)
		other, hostile := attack{rig: r}, attack{rig: r}
		other.send("198.51.100.1:1", 100_000)
		time.Sleep(time.Minute) // it is by far the slowest
		for range 200 {
			hostile.send("192.0.2.1:1", 260_000)
		}
		for range maxArriving + 50 {
			hostile.send("192.0.2.2:1", 1)
			time.Sleep(youngArrival / maxArriving * 2)
		}
		want(t, "cut off of the other client", int(other.answered.Load()), 0)
		want(t, "bodies that arrive from the second", r.arrivals.clients[netip.MustParsePrefix("192.0.2.2/32")].bodies, maxArriving)
		other.end()
		hostile.end()
		r.Close()
	})
}

func TestTheSlowestBodyIsCutOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, from)
		slow, phone, more := attack{rig: r}, attack{rig: r}, attack{rig: r}
		for range 80 {
			slow.send("192.0.2.1:1", 100_000)
		}
		time.Sleep(20 * time.Second)
		phone.send("192.0.2.1:1", 60_000)
		time.Sleep(5 * time.Second)
		for range 50 {
			more.send("192.0.2.1:1", 120_000)
		}
		if slow.answered.Load() == 0 || phone.answered.Load()+more.answered.Load() > 0 {
			t.Errorf("cut off: %d slow ones, %d of a phone, %d new ones", slow.answered.Load(), phone.answered.Load(),
				more.answered.Load())
		}
		slow.end()
		phone.end()
		more.end()
		r.Close()
	})
}

func TestABodyWithAnAcceptedKeyInItsHeaderIsNotCutOffForOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		keys, err := NewKeys(map[string]Key{keyA: {Name: "a"}, keyB: {Name: "b", Disabled: true}})
		if err != nil {
			t.Fatal(err)
		}
		r := newRig(t, func(c *Config) { c.Keys = keys; from(c) })
		known, unknown := attack{rig: r}, attack{rig: r}
		for i := range 40 {
			known.send(fmt.Sprintf("198.51.100.%d:1", i), 100_000, basic()...)
		}
		time.Sleep(time.Minute)
		for i := range 200 {
			headers := [][]string{nil, {"Authorization", "Bearer " + keyB}, {"Authorization", "Basic x"}}[i%3]
			unknown.send(fmt.Sprintf("192.0.2.%d:1", i), 260_000, headers...)
		}
		want(t, "known ones that were cut off", int(known.answered.Load()), 0)
		if unknown.answered.Load() == 0 {
			t.Error("no other was cut off")
		}
		known.end()
		unknown.end()
		r.Close()
	})
}

func TestABodyThatCantBeCutOffIsRefusedWhenThereIsNoMemory(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil)
		var writers []*io.PipeWriter
		var running sync.WaitGroup
		for range 100 {
			reader, writer := io.Pipe()
			writers = append(writers, writer)
			running.Go(func() {
				w := httptest.NewRecorder()
				r.ServeHTTP(w, httptest.NewRequest("POST", "/v1/b", reader))
				if w.Code != 429 || w.Header().Get("Connection") != "close" {
					t.Errorf("status %d", w.Code)
				}
				reader.Close()
			})
			_, _ = io.WriteString(writer, strings.Repeat(" ", 200_000)) // fails when it was refused
		}
		synctest.Wait()
		if n := r.memory.used.Load(); n > int64(r.arrivals.limit) {
			t.Errorf("bodies hold %d bytes", n)
		}
		for _, w := range writers {
			w.CloseWithError(io.ErrUnexpectedEOF)
		}
		running.Wait()
		r.Close()
	})
}

func TestArrivalsCountWhatIsThere(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	memory := memoryBudget{limit: 1 << 20}
	s := arrivals{limit: 100_000, memory: &memory, known: func(auth string) bool { return auth == "known" }}
	all := map[*arrival]bool{}
	for range 20_000 {
		switch rng.IntN(4) {
		case 0:
			a := &arrival{client: netip.PrefixFrom(netip.AddrFrom4([4]byte{byte(rng.IntN(4))}), 32), since: time.Now(),
				authorization: []string{"", "known"}[rng.IntN(2)]}
			if rng.IntN(3) > 0 {
				a.cutter = cutterFunc(func() {
					if a.here || a.gone != a.bytes {
						t.Error("it is still counted when it is cut off")
					}
				})
			}
			all[a] = true
			s.enter(a)
		case 1, 2:
			for a := range all {
				s.grow(a, rng.IntN(8000))
				break
			}
		default:
			for a := range all {
				gone := s.leave(a)
				memory.take(-(a.bytes - gone))
				delete(all, a)
				break
			}
		}
		bytes, here := 0, 0
		for a := range all {
			if a.here {
				bytes += a.bytes
				here++
			}
		}
		if s.bytes != bytes || len(s.all) != here || int(memory.used.Load()) != bytes || bytes > s.limit {
			t.Fatalf("%d bodies with %d bytes (%d taken), want %d with %d", len(s.all), s.bytes, memory.used.Load(), here, bytes)
		}
	}
	if s.leave(&arrival{}); len(s.clients) > 4 {
		t.Errorf("%d clients", len(s.clients))
	}
}

type cutterFunc func()

func (f cutterFunc) Cut() { f() }
