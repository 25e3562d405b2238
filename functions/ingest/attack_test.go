package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/spillwayhq/spillway/infra/local"
	"github.com/spillwayhq/spillway/infra/topology"
	"github.com/spillwayhq/spillway/integration/testutil"
	"github.com/spillwayhq/spillway/integration/testutil/localtest"
	"github.com/spillwayhq/spillway/shared/sqsclient"
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

// attacks are the attacks by name. Each has one in so many of the hostile connections.
var attacks = map[string]struct {
	share  int
	attack attacker
}{
	"one byte of a request":      {1, waits("P")},
	"one byte of a body":         {1, waits(announced + "Content-Length: 500000\r\n\r\n{")},
	"a quarter of a large body":  {4, waits(announced + "Content-Length: 500000\r\n\r\n{" + strings.Repeat(" ", 120_000))},
	"bodies without an end":      {30, floods(0)},
	"slow bodies without an end": {30, floods(1_500_000)},
}

// attackName tells this program that it is the attacker, and which. Its arguments are the server's
// address and the number of connections.
const attackName = "SPILLWAY_TEST_ATTACK"

var attackBegun = regexp.MustCompile(`^attacking (.+)`)

// TestMain runs the attackers in a process of their own: in that of the good client and of the queue,
// thousands of goroutines would keep these from the CPU, whatever the server does.
func TestMain(m *testing.M) {
	a, ok := attacks[os.Getenv(attackName)]
	if !ok {
		testutil.Main(m) // exits
	}
	conns, err := strconv.Atoi(os.Args[2])
	if err != nil {
		panic(err)
	}
	ctx, cancel := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin) // until the test's process has ended
		cancel()
	}()
	attackFrom(ctx, os.Args[1], conns, a.attack)
}

// attackFrom opens so many connections at once, each again when it was closed, until ctx ends. It prints
// a line when the first one stands, and at the end how many there were.
func attackFrom(ctx context.Context, address string, conns int, a attacker) {
	var running sync.WaitGroup
	var dialer net.Dialer
	var opened atomic.Int64
	for range conns {
		running.Go(func() {
			for ctx.Err() == nil {
				c, err := dialer.DialContext(ctx, "tcp", address)
				if err != nil {
					time.Sleep(10 * time.Millisecond)
					continue
				}
				if opened.Add(1) == 1 {
					fmt.Println("attacking", c.RemoteAddr())
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
	running.Wait()
	fmt.Println(opened.Load(), "connections")
}

// attack attacks a server from another process. It ends with this one, however that ends.
func attack(t *testing.T, name, address string) *testutil.Process {
	t.Helper()
	cmd := exec.Command(os.Args[0], address, strconv.Itoa(max(1, *hostileConns/attacks[name].share)))
	cmd.Env = append(os.Environ(), attackName+"="+name)
	if _, err := cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	return testutil.Serve(t, cmd, attackBegun)
}

// TestAGoodClientIsServedWhateverOthersOfItsAddressHoldBack attacks the built server. The good client
// has the same address, which is the hardest case.
//
// The queue is in memory, because a disk that other programs keep busy may take seconds to sync. Even so
// a process may get no CPU for so long that the server gives the queue up: the client sends a request
// again that was refused for that, as SDKs do.
func TestAGoodClientIsServedWhateverOthersOfItsAddressHoldBack(t *testing.T) {
	t.Parallel() // with tests that wait for most of their time
	const tries = 3
	for name := range attacks {
		t.Run(name, func(t *testing.T) {
			queues, endpoint := localtest.SQSInMemory(t)
			pipeline := topology.Default()
			if err := local.CreateQueues(queues, &pipeline); err != nil {
				t.Fatal(err)
			}
			server := start(t, localtest.Environment(endpoint))
			attackers := attack(t, name, server.Address)
			var took []time.Duration
			connections := &http.Transport{}
			defer connections.CloseIdleConnections()
			client := &http.Client{Transport: connections}
			sent, again := 0, 0
			for end := time.Now().Add(*hostileTime); sent == 0 || time.Now().Before(end); sent++ {
				if sent%10 == 9 { // sometimes on a new connection
					connections.CloseIdleConnections()
				}
				for try := 1; ; try++ {
					began := time.Now()
					answer := track(client, server.Address, sent)
					if took = append(took, time.Since(began)); answer == accepted {
						break
					}
					if try == tries || !strings.Contains(answer, "queue_unavailable") {
						t.Fatalf("request %d, try %d: %s\nthe server's log: %s", sent, try, answer, &server.Log)
					}
					again++
					time.Sleep(sqsclient.OpenFor)
				}
				time.Sleep(20 * time.Millisecond)
			}
			if err := attackers.Stop(t); err != nil {
				t.Errorf("the attackers: %v", err)
			}
			events, _ := queues.Queue(pipeline.Names.EventsQueue)
			if has := events.Stats().SentEvents; has < int64(sent) { // more: what was sent again may have come before
				t.Errorf("of %d accepted events the queue has %d", sent, has)
			}
			slices.Sort(took)
			t.Logf("%s%d events, %d requests again, half within %v, the slowest %v; the server's memory: %d MB", &attackers.Log, sent, again,
				took[len(took)/2], took[len(took)-1], server.Memory(t, "VmHWM")>>20)
		})
	}
}

const accepted = `200 {"success":true}`

// track sends an event, and returns status and body of the answer, or why there is none.
func track(client *http.Client, address string, i int) string {
	answer, err := client.Post("http://"+address+"/v1/track", "application/json",
		strings.NewReader(fmt.Sprintf(`{"writeKey":"wk","userId":"u","event":"e","messageId":"good-%d"}`, i)))
	if err != nil {
		return err.Error()
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		return err.Error()
	}
	return fmt.Sprint(answer.StatusCode, " ", string(text))
}
