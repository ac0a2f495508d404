package policy

import (
	"net/netip"
	"testing"

	"pgregory.net/rapid"
)

func TestProtected(t *testing.T) {
	p := NewProtected([]ProtectedEntry{
		{netip.MustParsePrefix("10.0.0.0/8"), "allow"},
		{netip.MustParsePrefix("10.1.2.3/32"), "PBX"},
		{netip.MustParsePrefix("192.0.2.77/24"), "host bits set"},
		{netip.MustParsePrefix("::ffff:198.51.100.0/120"), "mapped"},
		{netip.MustParsePrefix("2001:db8::53/128"), "resolver"},
		{netip.Prefix{}, "invalid"},
	}, []netip.Prefix{netip.MustParsePrefix("2001:db8:1::/64"), netip.MustParsePrefix("172.16.0.0/24"), {}})
	for _, tt := range []struct {
		prefix, reason string
		ok             bool
	}{
		{"10.9.9.9/32", "allow", true},
		{"10.1.2.3/32", "PBX", true},
		{"192.0.2.1/32", "host bits set", true},
		{"198.51.100.7/32", "mapped", true},
		{"::ffff:10.1.2.3/128", "PBX", true},
		{"11.0.0.0/32", "", false},
		{"2001:db8::53/128", "resolver", true},
		{"2001:db8::54/128", "", false},
		{"2001:db8::/64", "resolver", true},
		{"2001:db8:1::7/128", "", false},
		{"2001:db8:1::/64", "on-link", true},
		{"2001:db8:1::/96", "on-link", true},
		{"172.16.0.9/32", "", false},
		{"172.16.0.0/16", "on-link", true},
		{"10.1.0.0/16", "allow", true},
		{"203.0.113.0/24", "", false},
		{"127.0.0.1/32", "loopback", true},
		{"::ffff:127.0.0.0/104", "loopback", true},
		{"::1/128", "loopback", true},
		{"::/128", "unspecified", true},
		{"0.0.0.0/32", "unspecified", true},
		{"ff02::1/128", "multicast", true},
		{"239.1.2.3/32", "multicast", true},
		{"255.255.255.255/32", "broadcast", true},
		{"240.0.0.0/4", "broadcast", true},
	} {
		reason, ok := p.Overlaps(netip.MustParsePrefix(tt.prefix))
		if reason != tt.reason || ok != tt.ok {
			t.Errorf("%s: got %q, %v, want %q, %v", tt.prefix, reason, ok, tt.reason, tt.ok)
		}
	}
	if _, ok := p.Overlaps(netip.Prefix{}); ok {
		t.Error("an invalid prefix overlaps")
	}
	if reason, ok := p.Contains(netip.MustParseAddr("fe80::1%eth0")); ok {
		t.Errorf("link-local host: got %q", reason)
	}
}

// A key and its prefix say the same, and masking agrees with netip.
func TestPropertyKeyIsAPrefix(t *testing.T) {
	some := []string{
		"127.0.0.1", "126.255.255.255", "128.0.0.0", "0.9.9.9", "1.0.0.0", "224.0.0.0",
		"223.255.255.255", "239.255.255.255",
		"240.0.0.0", "255.255.255.255", "255.255.255.254", "::", "::1", "::2", "ff00::", "feff::1", "::ffff:127.0.0.1",
	}
	for _, s := range some {
		a := netip.MustParseAddr(s)
		if _, ok := (*Protected)(nil).Contains(a); isBuiltin(hostKey(a)) != ok {
			t.Errorf("%v: built in: got %v, want %v", a, !ok, ok)
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		a := netip.AddrFrom16([16]byte(rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(t, "addr")))
		if rapid.Bool().Draw(t, "v4") {
			a = netip.AddrFrom4([4]byte(rapid.SliceOfN(rapid.Byte(), 4, 4).Draw(t, "addr4")))
		}
		if _, ok := (*Protected)(nil).Contains(a); isBuiltin(hostKey(a)) != ok {
			t.Fatalf("%v: built in: got %v, want %v", a, !ok, ok)
		}
		p := netip.PrefixFrom(a, rapid.IntRange(0, a.BitLen()).Draw(t, "bits"))
		k, ok := prefixKey(p)
		if !ok || k.prefix() != p.Masked() {
			t.Fatalf("got %v, want %v", k.prefix(), p.Masked())
		}
		if hostKey(a).masked(k.bits) != k {
			t.Fatalf(
				"masking %v to %d bits: got %+v, want %+v",
				a,
				k.bits,
				hostKey(a).masked(k.bits),
				k,
			)
		}
	})
}
