package ingest

import (
	"net/http"
	"net/netip"
	"strings"
)

// peerAddr returns the address of the connection's other end; the zero Addr if it is unknown.
func peerAddr(r *http.Request) netip.Addr {
	if addrPort, err := netip.ParseAddrPort(r.RemoteAddr); err == nil { // a socket's, which parseAddr tries last
		return addrPort.Addr().Unmap().WithZone("")
	}
	return parseAddr(r.RemoteAddr)
}

// ForwardedAddr returns a function that finds the client's address in X-Forwarded-For, for requests
// that pass so many trusted proxies (at least 1). Each appends the address that connected to it, so
// the client's is the entry of that number from the end; the client may have written the ones
// before. A request with fewer entries did not pass all proxies, and its address is unknown.
func ForwardedAddr(proxies int) func(*http.Request) netip.Addr {
	return func(r *http.Request) netip.Addr {
		entries := strings.Join(r.Header["X-Forwarded-For"], ",")
		for n := proxies; n > 1; n-- {
			i := strings.LastIndexByte(entries, ',')
			if i < 0 {
				return netip.Addr{}
			}
			entries = entries[:i]
		}
		return parseAddr(entries[strings.LastIndexByte(entries, ',')+1:])
	}
}

// parseAddr reads an address, with a port or without.
func parseAddr(text string) netip.Addr {
	text = strings.TrimSpace(text)
	addr, err := netip.ParseAddr(text)
	if err != nil {
		if addrPort, err := netip.ParseAddrPort(text); err == nil {
			addr = addrPort.Addr()
		} else {
			addr, _ = netip.ParseAddr(strings.Trim(text, "[]"))
		}
	}
	return addr.Unmap().WithZone("")
}
