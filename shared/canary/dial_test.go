package canary

import (
	"crypto/tls"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// Nobody's name server knows example.invalid (RFC 6761), so an answer can't come by way of DNS.
func TestACanaryGoesToItsOwnRegionAndNamesTheSharedOne(t *testing.T) {
	var host string
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		host = r.Host
		w.Write([]byte(success))
	}))
	defer server.Close()
	_, port, _ := net.SplitHostPort(server.Listener.Addr().String())
	for url, dial := range map[string]string{
		"http://events.example.invalid":          "127.0.0.1:" + port,
		"http://events.example.invalid:" + port:  "localhost", // the port is the URL's
		"http://events2.example.invalid/ingest/": server.Listener.Addr().String(),
	} {
		c, err := New(Config{URL: url, WriteKey: WriteKey, Dial: dial})
		if err != nil {
			t.Fatal(err)
		}
		host = ""
		if r := c.Send(t.Context(), minute); r.Err != nil || !strings.Contains(url, "//"+host) || host == "" {
			t.Errorf("%s by %s: Host %q, %v", url, dial, host, r.Err)
		}
	}
}

// API Gateway finds the API by the name in TLS, and its certificate is of the shared name only.
func TestTLSIsWithTheSharedName(t *testing.T) {
	var name string
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Write([]byte(success))
	}))
	server.TLS = &tls.Config{GetConfigForClient: func(h *tls.ClientHelloInfo) (*tls.Config, error) {
		name = h.ServerName
		return nil, nil
	}}
	server.Config.ErrorLog = log.New(io.Discard, "", 0) // of the certificate that is refused
	server.StartTLS()
	defer server.Close()
	transport, err := Dialing(server.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	transport.TLSClientConfig = &tls.Config{RootCAs: server.Client().Transport.(*http.Transport).TLSClientConfig.RootCAs}
	for url, want := range map[string]bool{"https://example.com": true, "https://events.example.invalid": false} {
		c, err := New(Config{URL: url, WriteKey: WriteKey, Transport: transport})
		if err != nil {
			t.Fatal(err)
		}
		r := c.Send(t.Context(), minute)
		if accepted := r.Err == nil; accepted != want || !strings.HasSuffix(url, "//"+name) {
			t.Errorf("%s: the name in TLS is %q, %v", url, name, r.Err)
		}
	}
}

func TestARegionThatIsDownIsSeenWhereverTheNameLeads(t *testing.T) {
	well := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.Write([]byte(success)) }))
	defer well.Close()
	down := httptest.NewServer(nil)
	address := down.Listener.Addr().String()
	down.Close()
	c, err := New(Config{URL: well.URL, WriteKey: WriteKey, Dial: address})
	if err != nil {
		t.Fatal(err)
	}
	r := c.Send(t.Context(), minute)
	if r.Err == nil || !r.unavailable() || !strings.Contains(r.Err.Error(), address) {
		t.Errorf("the name leads to a region that is well, and this one is down: %+v", r)
	}
}

func TestWhereToConnectToMustBeAHost(t *testing.T) {
	for address, ok := range map[string]bool{
		"d-abc123.execute-api.eu-west-1.amazonaws.com": true, "127.0.0.1:8080": true, "[::1]:443": true, "[::1]": true,
		"localhost": true, "https://events.example.com": false, "events.example.com/": false, "": false, ":443": false,
		"a:b": false, "a:1:2": false, "a b": false, "user@host": false, "host:": false, "[::1": false,
		"host:0": false, "host:65535": true, "host:65536": false,
	} {
		transport, err := Dialing(address)
		if (err == nil) != ok || (transport != nil) != ok {
			t.Errorf("%q: %v", address, err)
		}
		if err != nil && !strings.Contains(err.Error(), "must be host or host:port, like d-abc123") {
			t.Errorf("%q: %v", address, err)
		}
	}
	if _, err := New(Config{URL: "http://a", WriteKey: WriteKey, Dial: "b",
		Transport: http.DefaultTransport}); err == nil {
		t.Error("with a transport of the caller the address would have no effect")
	}
}

// What is accepted must be connected to as it was written: a mistake would prove another region.
func FuzzWhereToConnectTo(f *testing.F) {
	for _, address := range []string{"localhost:80", "[::1]:443", "a:b", "user@host", "a b", "%zz", "[::1%25eth0]", "host/x"} {
		f.Add(address)
	}
	f.Fuzz(func(t *testing.T, address string) {
		transport, err := Dialing(address)
		if err != nil {
			return
		}
		transport.CloseIdleConnections()
		if strings.ContainsAny(address, "/?#@ \t\n") || address == "" {
			t.Errorf("%q is accepted", address)
		}
	})
}
