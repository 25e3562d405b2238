package clientaddr

import (
	"net/netip"
	"testing"
)

func TestAClientIsAnAddressOrAnIPv6Network(t *testing.T) {
	for in, want := range map[string]string{
		"192.0.2.7": "192.0.2.7/32", "::ffff:192.0.2.7": "192.0.2.7/32", "2001:db8:1:2:3:4:5:6": "2001:db8:1:2::/64",
		"fe80::1%eth0": "fe80::/64",
	} {
		if got := Of(netip.MustParseAddr(in)).String(); got != want {
			t.Errorf("%s: %s, want %s", in, got, want)
		}
	}
	if Of(netip.Addr{}) != (netip.Prefix{}) {
		t.Error("an unknown address is not the zero client")
	}
}
