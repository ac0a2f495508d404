package denylist

import (
	"net/netip"

	"go4.org/netipx"

	"github.com/amifend/amifend/cmd/amifend/internal/protect"
)

// Exempt is a prefix that a public list must not drop, and why.
type Exempt struct {
	Prefix netip.Prefix
	Reason string
}

// Cut is what is left of a public list. It does not change.
type Cut struct {
	Set *netipx.IPSet // what is dropped
	// Out holds the exempt prefixes of which the list would have dropped something, in the order in
	// which they were given, those that are never banned first.
	Out []Exempt
}

// private are networks that no public list can know. Phones of a routed LAN or of a VPN have such
// addresses.
func private() []netip.Prefix {
	return []netip.Prefix{
		netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("100.64.0.0/10"),
		netip.MustParsePrefix("169.254.0.0/16"), netip.MustParsePrefix("172.16.0.0/12"),
		netip.MustParsePrefix("192.168.0.0/16"), netip.MustParsePrefix("fc00::/7"),
		netip.MustParsePrefix("fe80::/10"),
	}
}

// CutPublic removes from a public list what must never be banned, private networks, our own networks
// whole, and what is exempt. No operator has chosen its entries, so other than in a deny list not
// even a single host of our networks can be listed. The prefixes must be valid.
func CutPublic(listed []netip.Prefix, never protect.Set, exempt []Exempt) *Cut {
	var b netipx.IPSetBuilder
	for _, p := range listed {
		b.AddPrefix(p)
	}
	whole := build(b)
	c := &Cut{}

	remove := func(p netip.Prefix, reason string) {
		if whole.OverlapsPrefix(p) {
			b.RemovePrefix(p)
			c.Out = append(c.Out, Exempt{p, reason})
		}
	}
	for _, e := range never.Entries {
		remove(e.Prefix, e.Reason)
	}
	for _, l := range never.Learned {
		remove(netip.PrefixFrom(l.Addr, l.Addr.BitLen()), l.Reason)
	}
	for _, p := range never.OnLink {
		remove(p, "our own network")
	}
	for _, p := range private() {
		remove(p, "a private network")
	}
	for _, e := range exempt {
		remove(e.Prefix, e.Reason)
	}

	c.Set = build(b)
	return c
}
