package ingest

import (
	"net/http"
	"net/netip"
	"strings"
)

// PeerAddr is the address of who connected: the client's, or on a platform that sets the request's
// RemoteAddr itself, what the platform says. Headers are not looked at, for anybody can write them.
// The zero Addr is none.
func PeerAddr(r *http.Request) netip.Addr { return parseAddr(r.RemoteAddr) }

// ForwardedAddr looks behind a number of proxies of one's own, 1 or more, each of which appends to
// X-Forwarded-For the address that connected to it. So the entry of that number from the end is the
// client; what stands before it, the client wrote itself. With fewer entries than proxies a request
// came by another way, and the address is unknown.
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
		var with netip.AddrPort
		if with, err = netip.ParseAddrPort(text); err != nil {
			addr, _ = netip.ParseAddr(strings.Trim(text, "[]"))
		} else {
			addr = with.Addr()
		}
	}
	return addr.Unmap().WithZone("")
}
