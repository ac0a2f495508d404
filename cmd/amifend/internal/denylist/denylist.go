// Package denylist computes which addresses of the operator's deny lists are dropped: all except
// those that must never be banned.
//
// The result holds no address of a protected prefix, and no whole network of ours. Public lists may
// contain private networks, because those must not arrive from outside. Single hosts of our
// networks, and parts of them, can be listed.
package denylist

import (
	"net/netip"

	"go4.org/netipx"

	"github.com/amifend/amifend/cmd/amifend/internal/config"
	"github.com/amifend/amifend/cmd/amifend/internal/protect"
)

// List is the result for the operator's lists. It does not change.
type List struct {
	Set *netipx.IPSet // what is dropped
	// Out are the exceptions, in the order of the protected prefixes and then of our networks.
	Out []Exception

	listed []config.Denied
}

// Exception is something listed that is not dropped.
type Exception struct {
	Prefix netip.Prefix  // all of what is listed, or a part
	Reason string        // why it is not dropped
	Listed config.Denied // the first place where it is listed
	More   int           // the number of further places
}

// ownNetwork is the reason for our own networks.
const ownNetwork = "our own network; to drop hosts of it, list them"

// New removes what is never banned from the lists. The prefixes must be valid, as those of
// [config.Load] are.
func New(listed []config.Denied, never protect.Set) *List {
	l := &List{listed: listed}
	var drop, narrow netipx.IPSetBuilder

	// Only an entry that covers a whole network of ours loses that network. A narrower entry names
	// hosts of it, which is a decision of the operator.
	for _, d := range listed {
		if coversAny(d.Prefix, never.OnLink) {
			drop.AddPrefix(d.Prefix)
		} else {
			narrow.AddPrefix(d.Prefix)
		}
	}

	var networks []Exception
	for _, p := range never.OnLink {
		x := l.exception(p, ownNetwork, func(d netip.Prefix) bool { return covers(d, p) })
		if x != nil {
			drop.RemovePrefix(p)
			networks = append(networks, x...)
		}
	}

	// An exception is reported only if the lists would have dropped something of it.
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

// build returns the set of what the builder holds so far.
func build(b netipx.IPSetBuilder) *netipx.IPSet {
	set, _ := b.Clone().IPSet() // only invalid prefixes are errors
	return set
}

// exception returns the exception for a prefix that is removed from the entries that match, or
// none.
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
		return nil // no single entry matches, only several together
	}
	return []Exception{x}
}

// Find returns where a dropped address is listed, and reports whether it is dropped.
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

// Listed returns the number of prefixes in the lists.
func (l *List) Listed() int { return len(l.listed) }

// coversAny reports whether p covers one of the networks.
func coversAny(p netip.Prefix, networks []netip.Prefix) bool {
	for _, n := range networks {
		if covers(p, n) {
			return true
		}
	}
	return false
}

// covers reports whether p covers the whole network n.
func covers(p, n netip.Prefix) bool { return p.Bits() <= n.Bits() && p.Contains(n.Addr()) }
