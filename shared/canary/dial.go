package canary

import (
	"cmp"
	"context"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
)

// Dialing returns a transport that connects to this host or host:port, whatever the name in a URL
// leads to; the default port is the URL's. The request's Host, and the name for TLS and its
// certificate, are still the URL's. It uses no proxy.
//
// Several regions share one name, and Route 53 answers with the healthy ones. A region's canary that
// asked it where to go would prove another region: one that has failed over would look well, take
// traffic again, and fail again.
func Dialing(address string) (*http.Transport, error) {
	host, port, err := net.SplitHostPort(address)
	if err != nil { // there is no port, or nothing is right
		host, port = strings.TrimSuffix(strings.TrimPrefix(address, "["), "]"), ""
	}
	u, err := url.Parse("//" + address)
	ipv6 := strings.HasPrefix(address, "[")
	if err != nil || host == "" || u.Host != address || strings.HasSuffix(address, ":") ||
		strings.Contains(host, ":") != ipv6 || !validPort(port) {
		return nil, fmt.Errorf("where the canary connects to must be host or host:port, like "+
			"d-abc123.execute-api.eu-west-1.amazonaws.com, is %q", address)
	}
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.Proxy = nil // a proxy would ask DNS itself
	dial := transport.DialContext
	transport.DialContext = func(ctx context.Context, network, named string) (net.Conn, error) {
		_, to, err := net.SplitHostPort(named)
		if err != nil {
			return nil, fmt.Errorf("read the port of %s: %w", named, err)
		}
		return dial(ctx, network, net.JoinHostPort(host, cmp.Or(port, to)))
	}
	return transport, nil
}

// validPort reports whether a port can be connected to; empty: the URL's is.
func validPort(port string) bool {
	n, err := strconv.ParseUint(port, 10, 16)
	return port == "" || err == nil && n > 0
}
