package ingest

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

func TestTheClientAddressComesFromTheConnectionOrTrustedProxies(t *testing.T) {
	for _, c := range []struct {
		proxies           int
		remote, forwarded string
		want              string
	}{
		{0, "203.0.113.7:1234", "1.1.1.1", "203.0.113.7"},
		{0, "[2001:db8::1]:1", "", "2001:db8::1"},
		{0, "[::ffff:203.0.113.7]:1", "", "203.0.113.7"},
		{0, "203.0.113.7", "", "203.0.113.7"},
		{0, "@", "", "invalid IP"},
		{1, "10.0.0.1:1", "1.1.1.1, 203.0.113.7", "203.0.113.7"},
		{1, "10.0.0.1:1", "203.0.113.7", "203.0.113.7"},
		{1, "10.0.0.1:1", "", "invalid IP"},
		{1, "10.0.0.1:1", "203.0.113.7:4711", "203.0.113.7"},
		{1, "10.0.0.1:1", "[2001:db8::1]", "2001:db8::1"},
		{1, "10.0.0.1:1", "fe80::1%eth0", "fe80::1"},
		{1, "10.0.0.1:1", `"; drop`, "invalid IP"},
		{2, "10.0.0.1:1", "1.1.1.1, 203.0.113.7, 10.0.0.2", "203.0.113.7"},
		{2, "10.0.0.1:1", "203.0.113.7", "invalid IP"}, // did not come through the proxies
		{3, "10.0.0.1:1", "203.0.113.7,10.0.0.3 , 10.0.0.2", "203.0.113.7"},
	} {
		r := httptest.NewRequest("POST", "/", nil)
		r.RemoteAddr = c.remote
		for _, line := range strings.SplitAfterN(c.forwarded, ", ", 2) { // on two lines, which is allowed
			r.Header.Add("X-Forwarded-For", strings.TrimSuffix(line, ", "))
		}
		from := peerAddr
		if c.proxies > 0 {
			from = ForwardedAddr(c.proxies)
		}
		if got := from(r).String(); got != c.want {
			t.Errorf("%d proxies, from %s, forwarded for %q: %s, want %s", c.proxies, c.remote, c.forwarded, got, c.want)
		}
	}
}

func TestTheAddressOfAConnectionIsReadWithoutAllocating(t *testing.T) {
	for remote, want := range map[string]string{"203.0.113.7:4711": "203.0.113.7", "[2001:db8::1]:4711": "2001:db8::1",
		"[::ffff:203.0.113.7]:4711": "203.0.113.7", "[fe80::1%eth0]:4711": "fe80::1"} {
		r := &http.Request{RemoteAddr: remote}
		if got := peerAddr(r).String(); got != want {
			t.Errorf("%s is %s, want %s", remote, got, want)
		}
	}
	r := &http.Request{RemoteAddr: "203.0.113.7:4711"}
	if n := testing.AllocsPerRun(100, func() { peerAddr(r) }); n > 0 {
		t.Errorf("%v allocations", n)
	}
}
