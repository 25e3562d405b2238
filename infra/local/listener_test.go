package local

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"syscall"
	"testing"

	"github.com/spillwayhq/spillway/infra/local/segmentd"
	"github.com/spillwayhq/spillway/shared/httpserver"
)

func TestAnAddressToListenOnIsAnIPAddressAndSaysWhoReachesIt(t *testing.T) {
	const all = "every machine that reaches this one by any of its addresses"
	for given, want := range map[string][2]string{
		"127.0.0.1": {"127.0.0.1", ""}, "localhost": {"127.0.0.1", ""}, "127.0.0.2": {"127.0.0.2", ""},
		"::1": {"::1", ""}, "[::1]": {"::1", ""}, "::ffff:127.0.0.1": {"::ffff:127.0.0.1", ""},
		"0.0.0.0": {"0.0.0.0", all}, "::": {"::", all}, "[::]": {"::", all},
		"192.0.2.7":    {"192.0.2.7", "every machine that reaches 192.0.2.7"},
		"fe80::1%eth0": {"fe80::1%eth0", "every machine that reaches fe80::1%eth0"},
	} {
		host, err := ParseListen(given)
		if err != nil || host != want[0] || Exposed(host) != want[1] {
			t.Errorf("%s: %q, %q, %v, want %q", given, host, Exposed(host), err, want)
		}
	}
	for _, wrong := range []string{"", "*", "my-machine", "127.0.0.1:80", "[::1]:80", ":8080", "http://127.0.0.1", "127.1",
		"[::1", "300.0.0.1"} {
		if host, err := ParseListen(wrong); err == nil {
			t.Errorf("%q: %q", wrong, host)
		}
	}
}

func TestAnEndpointsURLLeadsToWhatListens(t *testing.T) {
	for addr, want := range map[string]string{
		"127.0.0.1:80": "http://localhost:80", "0.0.0.0:80": "http://localhost:80", "[::]:80": "http://localhost:80",
		"[::ffff:127.0.0.1]:80": "http://localhost:80", "127.0.0.2:80": "http://127.0.0.2:80", "[::1]:80": "http://[::1]:80",
		"192.0.2.7:80": "http://192.0.2.7:80", "[fe80::1%eth0]:80": "http://[fe80::1%25eth0]:80",
	} {
		if got := EndpointURL(net.TCPAddrFromAddrPort(netip.MustParseAddrPort(addr))); got != want {
			t.Errorf("%s: %s, want %s", addr, got, want)
		}
	}
}

func TestAPipelineServesTheAddressThatItListensOn(t *testing.T) {
	for _, host := range []string{"127.0.0.1", "127.0.0.2", "::1", "0.0.0.0", "::"} {
		l, err := Listen(net.JoinHostPort(host, "0"), "--port")
		if err != nil {
			t.Logf("this machine can't listen on %s: %v", host, err)
			continue
		}
		go func() {
			_ = http.Serve(l, Guard{}.Wrap(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, r.Host) })))
		}()
		response, err := http.Get(EndpointURL(l.Addr()))
		if err != nil {
			t.Errorf("%s: %v", host, err)
		} else {
			response.Body.Close()
			if response.StatusCode != http.StatusOK {
				t.Errorf("%s is answered %s", host, response.Status)
			}
		}
		l.Close()
	}
}

func TestAnAddressThatCantBeOpenedSaysWhatToDo(t *testing.T) {
	taken, err := Listen("127.0.0.1:0", "--port")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	for addr, want := range map[string]string{
		taken.Addr().String(): "name another port with --port, or stop what uses it", "192.0.2.1:0": "with --listen",
	} {
		if _, err := Listen(addr, "--port"); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", addr, err)
		}
	}
	for err, want := range map[error]string{
		syscall.EMFILE: "raise the limit of open files (ulimit -n)", syscall.EACCES: "name a port above 1023 with --port",
		syscall.EAFNOSUPPORT: "such as ::1 if it has IPv6 only",
	} {
		if got := explainListen(&net.OpError{Op: "listen", Err: err}, "--port").Error(); !strings.Contains(got, want) {
			t.Errorf("%v: %s", err, got)
		}
	}
}

func TestTheBoundOfConnectionsLetsTheSegmentEmulatorResetThem(t *testing.T) {
	server := segmentd.New(segmentd.Options{Bound: httpserver.Bound})
	if err := server.SetScript(segmentd.Script{Rules: []segmentd.Rule{{Fault: segmentd.FaultReset}}}); err != nil {
		t.Fatal(err)
	}
	l, err := Listen("127.0.0.1:0", "--port")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(ctx, l) }()
	response, err := http.Post(EndpointURL(l.Addr())+"/v1/track", "application/json", strings.NewReader("{}"))
	if !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("answered %v, %v", response, err)
	}
	if opened := server.Stats().Connections; opened != 1 {
		t.Errorf("%d connections are counted", opened)
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}
