// Package denylist works out what of the operator's deny lists is dropped: all of it, but for what
// must never be banned.
//
// It promises that no address of a protected prefix is in the result, and no whole network of ours:
// a list may hold the addresses of private networks, as public lists of addresses that no packet
// from afar should bear do. Single hosts of our networks, and parts of them, can be listed.
package denylist

import (
	"net/netip"

	"go4.org/netipx"

	"github.com/amifend/amifend/cmd/amifend/internal/config"
	"github.com/amifend/amifend/cmd/amifend/internal/protect"
)

// List is what is dropped of the operator's lists. It is not changed once it was made.
type List struct {
	Set *netipx.IPSet // what is dropped
	// what of the lists is not, in the order of the protected prefixes, then of our networks
	Out []Exception

	listed []config.Denied
}

// Exception is something listed that is not dropped.
type Exception struct {
	Prefix netip.Prefix  // what is not dropped; all of what is listed, or a part
	Reason string        // why
	Listed config.Denied // where it is listed first
	More   int           // in how many more places it is
}

// ownNetwork is why a network of ours is not dropped.
const ownNetwork = "our own network; to drop hosts of it, list them"

// New takes out of the lists what is never banned. Valid prefixes are expected, as of
// [config.Load].
func New(listed []config.Denied, never protect.Set) *List {
	l := &List{listed: listed}
	var drop, narrow netipx.IPSetBuilder
	for _, d := range listed {
		if coversAny(d.Prefix, never.OnLink) {
			drop.AddPrefix(d.Prefix)
		} else {
			narrow.AddPrefix(d.Prefix)
		}
	}

	var networks []Exception
	for _, p := range never.OnLink {
		if x := l.exception(p, ownNetwork, func(d netip.Prefix) bool {
			return covers(d, p)
		}); x != nil {
			drop.RemovePrefix(p)
			networks = append(networks, x...)
		}
	}

	drop.AddSet(build(narrow))
	whole := build(drop)
	for _, e := range never.Entries {
		if whole.OverlapsPrefix(e.Prefix) {
			drop.RemovePrefix(e.Prefix)
			l.Out = append(l.Out, l.exception(e.Prefix, e.Reason, e.Prefix.Overlaps)...)
		}
	}

	l.Out = append(l.Out, networks...)
	l.Set = build(drop)
	return l
}

// build makes a set of what the builder has so far.
func build(b netipx.IPSetBuilder) *netipx.IPSet {
	set, _ := b.Clone().IPSet() // its errors are of invalid prefixes
	return set
}

// exception tells of a prefix that is taken out of the entries that match, if there are any.
func (l *List) exception(p netip.Prefix, reason string, match func(netip.Prefix) bool) []Exception {
	x := Exception{Prefix: p, Reason: reason, More: -1}
	for _, d := range l.listed {
		if !match(d.Prefix) {
			continue
		}
		if x.More++; x.More == 0 {
			x.Listed = d
		}
	}

	if x.More < 0 {
		return nil // several entries cover it together
	}
	return []Exception{x}
}

// Find returns where an address is listed that is dropped.
func (l *List) Find(a netip.Addr) (config.Denied, bool) {
	if !l.Set.Contains(a) {
		return config.Denied{}, false
	}

	for _, d := range l.listed {
		if d.Prefix.Contains(a) {
			return d, true
		}
	}

	return config.Denied{}, false // not reached: what is dropped is listed
}

// Listed is how many prefixes the lists hold.
func (l *List) Listed() int { return len(l.listed) }

func coversAny(p netip.Prefix, networks []netip.Prefix) bool {
	for _, n := range networks {
		if covers(p, n) {
			return true
		}
	}
	return false
}

func covers(p, n netip.Prefix) bool { return p.Bits() <= n.Bits() && p.Contains(n.Addr()) }
