// Package clientaddr says which addresses count as one client, for limits by client.
package clientaddr

import "net/netip"

// Of returns the range of addresses that counts as one client: the address, or the /64 of an IPv6
// address, which is the least that a customer of a provider gets. The zero Addr, an unknown
// address, is one client, too: the zero Prefix.
func Of(addr netip.Addr) netip.Prefix {
	addr = addr.Unmap().WithZone("")
	bits := addr.BitLen()
	if addr.Is6() {
		bits = 64
	}
	p, _ := addr.Prefix(bits) // fails for the zero Addr only
	return p
}
