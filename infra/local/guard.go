package local

import (
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
)

// A Guard keeps the web pages that a developer visits away from the endpoints on his machine. A
// browser lets any page send requests to localhost, and a page whose own name its server suddenly
// resolves to 127.0.0.1 (DNS rebinding) may read the answers as well.
//
// So a request must name this machine in Host, which a page can't choose: a loopback name, an IP
// address, a name that containers have for the machine that they run on, or one of Names. And a
// browser's request must come from a page of this machine.
type Guard struct {
	// Names are further host names, without ports, in lower case.
	Names []string
	// Open says which requests may come from any page, as those of SDKs; nil: none may.
	Open func(*http.Request) bool
}

// containerNames are what containers call the machine that they run on: Docker's and Podman's
// names.
var containerNames = []string{"host.docker.internal", "gateway.docker.internal", "host.containers.internal"}

// ParseHosts checks names for a Guard, and returns them as it compares them.
func ParseHosts(names []string) ([]string, error) {
	var parsed []string
	for _, name := range names {
		u, err := url.Parse("http://" + name)
		if err != nil || u.Host != name || u.Port() != "" || u.Hostname() == "" || strings.ContainsAny(name, "*:") {
			return nil, fmt.Errorf("must be a host name without a port, like events.test, is %q", name)
		}
		parsed = append(parsed, plainHost(name))
	}
	return parsed, nil
}

// Wrap returns next behind the guard. A refused request is answered 403, with what to do.
func (g Guard) Wrap(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case !g.names(r.Host):
			refuse(w, fmt.Sprintf("the host name %q is not known as one of this machine: use localhost, or start with "+
				"--allow-host and the name", plainHost(r.Host)))
		case (g.Open == nil || !g.Open(r)) && g.foreignPage(r):
			refuse(w, "a page of another site may not use this endpoint: open its address yourself")
		default:
			next.ServeHTTP(w, r)
		}
	})
}

func refuse(w http.ResponseWriter, text string) {
	w.Header().Set("Connection", "close") // the body is not worth reading
	http.Error(w, text, http.StatusForbidden)
}

// plainHost is a host as in a Host header without its port, a dot at its end and upper case.
func plainHost(host string) string {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	host = strings.TrimSuffix(strings.TrimPrefix(host, "["), "]")
	return strings.ToLower(strings.TrimSuffix(host, "."))
}

// names reports whether the value of a Host header names this machine. Only programs leave it out.
// An address can't be rebound.
func (g Guard) names(host string) bool {
	name := plainHost(host)
	_, err := netip.ParseAddr(name)
	return host == "" || err == nil || isLoopback(name) || slices.Contains(containerNames, name) ||
		slices.Contains(g.Names, name)
}

// isLoopback reports whether a plain host is this machine for every browser: no name server is
// asked for those that end in .localhost (RFC 6761).
func isLoopback(name string) bool {
	addr, err := netip.ParseAddr(name)
	return name == "localhost" || strings.HasSuffix(name, ".localhost") || err == nil && addr.Unmap().IsLoopback()
}

// foreignPage reports whether a browser says that the request was made by a page of another site.
// Not every request has an Origin: images, frames and links have none, but Sec-Fetch-Site. A
// browser that is too old for that may still have a Referer.
func (g Guard) foreignPage(r *http.Request) bool {
	if origins := r.Header["Origin"]; len(origins) > 0 {
		return slices.ContainsFunc(origins, func(origin string) bool { return !g.ours(origin, r.Host) })
	}
	switch r.Header.Get("Sec-Fetch-Site") {
	case "same-origin", "none": // none: a person has typed the address, or follows a bookmark
		return false
	case "same-site":
		return !isLoopback(plainHost(r.Host)) // another port of this machine
	case "":
		referer := r.Header.Get("Referer")
		return referer != "" && !g.ours(referer, r.Host)
	}
	return true
}

// ours reports whether the page with that origin or address is one of this machine, or of this
// endpoint.
func (g Guard) ours(page, host string) bool {
	u, err := url.Parse(page)
	if err != nil || u.Host == "" {
		return false // like null, the origin of sandboxed frames and of files
	}
	name := plainHost(u.Host)
	return strings.EqualFold(u.Host, host) || isLoopback(name) || slices.Contains(g.Names, name)
}
