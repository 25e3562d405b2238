package main

import (
	"bufio"
	"context"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"

	"testing"
	"time"

	"github.com/spillwayhq/spillway/integration/testutil/localtest"
)

var (
	hostileConns = flag.Int("hostile-connections", 600, "how many hostile connections to open in the test of an attack")
	hostileTime  = flag.Duration("hostile-time", 200*time.Millisecond, "how long each attack is")
)

// An attacker is what a hostile client does with one connection until ctx ends or it is closed.
type attacker func(ctx context.Context, c net.Conn)

const announced = "POST /v1/batch HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"

// waits sends text and then nothing.
func waits(text string) attacker {
	return func(ctx context.Context, c net.Conn) {
		_, _ = io.WriteString(c, text)
		_, _ = io.Copy(io.Discard, c) // until the server closes
	}
}

// floods sends a body that never ends, at so many bytes/s; 0: as fast as it can.
func floods(rate int) attacker {
	const size = 16 << 10
	chunk := fmt.Sprintf("%x\r\n%s\r\n", size, strings.Repeat(" ", size))
	return func(ctx context.Context, c net.Conn) {
		go func() { _, _ = io.Copy(io.Discard, c) }()
		if _, err := io.WriteString(c, announced+"Transfer-Encoding: chunked\r\n\r\n"); err != nil {
			return
		}
		for ctx.Err() == nil {
			if _, err := io.WriteString(c, chunk); err != nil {
				return
			}
			if rate > 0 {
				time.Sleep(size * time.Second / time.Duration(rate))
			}
		}
	}
}

// attackFrom opens so many connections at once, each again when it was closed, until ctx ends.
func attackFrom(ctx context.Context, address string, conns int, a attacker) (wait func()) {
	var running sync.WaitGroup
	var dialer net.Dialer
	for range conns {
		running.Go(func() {
			for ctx.Err() == nil {
				c, err := dialer.DialContext(ctx, "tcp", address)
				if err != nil {
					time.Sleep(10 * time.Millisecond)
					continue
				}
				stop := context.AfterFunc(ctx, func() { c.Close() })
				a(ctx, c)
				stop()
				c.Close()
				select { // and a new one
				case <-ctx.Done():
				case <-time.After(2 * time.Second):
				}
			}
		})
	}
	return running.Wait
}

// TestAGoodClientIsServedWhateverOthersOfItsAddressHoldBack attacks the built server. The good client
// has the same address, which is the hardest case.
func TestAGoodClientIsServedWhateverOthersOfItsAddressHoldBack(t *testing.T) {
	t.Parallel() // with tests that wait for most of their time
	for name, c := range map[string]struct {
		share  int // one in so many of the connections
		attack attacker
	}{
		"one byte of a request":      {1, waits("P")},
		"one byte of a body":         {1, waits(announced + "Content-Length: 500000\r\n\r\n{")},
		"a quarter of a large body":  {4, waits(announced + "Content-Length: 500000\r\n\r\n{" + strings.Repeat(" ", 120_000))},
		"bodies without an end":      {30, floods(0)},
		"slow bodies without an end": {30, floods(1_500_000)},
	} {
		t.Run(name, func(t *testing.T) {
			p, _ := pipeline(t)
			server := start(t, localtest.Environment(p.SQSURL))
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			wait := attackFrom(ctx, server.Address, max(1, *hostileConns/c.share), c.attack)
			var took []time.Duration
			end := time.Now().Add(*hostileTime)
			for i := 0; i == 0 || time.Now().Before(end); i++ {
				began := time.Now()
				if i%10 == 9 { // sometimes on a new connection
					http.DefaultClient.CloseIdleConnections()
				}
				answer, err := http.Post("http://"+server.Address+"/v1/track", "application/json",
					strings.NewReader(fmt.Sprintf(`{"writeKey":"wk","userId":"u","event":"e","messageId":"good-%d"}`, i)))
				if err != nil {
					t.Errorf("request %d: %v", i, err)
					break
				}
				text, _ := io.ReadAll(bufio.NewReader(answer.Body))
				answer.Body.Close()
				if answer.StatusCode != http.StatusOK {
					t.Errorf("request %d: %d %s", i, answer.StatusCode, text)
				}
				took = append(took, time.Since(began))
				time.Sleep(20 * time.Millisecond)
			}
			cancel()
			wait()
			if len(took) == 0 {
				t.Fatal("no request was answered")
			}
			slices.Sort(took)
			t.Logf("%d requests, half within %v, the slowest %v; the server's memory: %d MB", len(took), took[len(took)/2],
				took[len(took)-1], server.Memory(t, "VmHWM")>>20)
		})
	}
}
