package policy

import (
	"net/netip"

	"github.com/gaissmai/bart"
)

// ProtectedEntry is a prefix that must never be banned, and why.
type ProtectedEntry struct {
	Prefix netip.Prefix
	Reason string
}

// Protected is a list of what must never be banned. It does not change once it is made. A nil
// *Protected still protects what no list needs to name: loopback, unspecified, multicast and
// broadcast.
type Protected struct {
	entries *bart.Table[string]
	onLink  *bart.Lite
	learned map[host]learned // see WithLearned
}

// builtin are the ranges that hold no host to ban: RFC 6890, RFC 5771, RFC 4291.
var builtin = [...]ProtectedEntry{
	{netip.MustParsePrefix("127.0.0.0/8"), "loopback"},
	{netip.MustParsePrefix("::1/128"), "loopback"},
	{netip.MustParsePrefix("0.0.0.0/8"), "unspecified"},
	{netip.MustParsePrefix("::/128"), "unspecified"},
	{netip.MustParsePrefix("224.0.0.0/4"), "multicast"},
	{netip.MustParsePrefix("ff00::/8"), "multicast"},
	{netip.MustParsePrefix("255.255.255.255/32"), "broadcast"},
}

// NewProtected returns a list of entries and of on-link prefixes. A host of an on-link prefix may
// be banned, a prefix that overlaps one may not: that would cut off the neighbours. Invalid
// prefixes are left out, host bits are masked, mapped IPv4 is IPv4. Where entries overlap, the
// reason of the longest is returned.
func NewProtected(entries []ProtectedEntry, onLink []netip.Prefix) *Protected {
	p := &Protected{entries: &bart.Table[string]{}, onLink: &bart.Lite{}}
	for _, e := range entries {
		if k, ok := prefixKey(e.Prefix); ok {
			p.entries.Insert(k.prefix(), e.Reason)
		}
	}

	for _, prefix := range onLink {
		if k, ok := prefixKey(prefix); ok {
			p.onLink.Insert(k.prefix())
		}
	}

	return p
}

// Contains reports whether an address must never be banned, and why.
func (p *Protected) Contains(addr netip.Addr) (reason string, ok bool) {
	addr = addr.Unmap().WithZone("")
	for _, b := range builtin {
		if b.Prefix.Contains(addr) {
			return b.Reason, true
		}
	}
	return p.listed(addr)
}

// Overlaps reports whether a prefix must not be banned because it holds, or lies in, something
// protected, and why. A prefix shorter than a host must not overlap an on-link one either.
func (p *Protected) Overlaps(prefix netip.Prefix) (reason string, ok bool) {
	k, valid := prefixKey(prefix)
	if !valid {
		return "", false
	}

	prefix = k.prefix()
	if k.bits == hostBits {
		return p.Contains(prefix.Addr())
	}

	for _, b := range builtin {
		if b.Prefix.Overlaps(prefix) {
			return b.Reason, true
		}
	}

	if hostOnly(k) {
		return "only single hosts of this range may be banned", true
	}
	if p == nil || p.entries == nil {
		return "", false
	}
	// The prefix may lie in a protected one, or hold one.
	if reason, ok := p.entries.LookupPrefix(prefix); ok {
		return reason, true
	}

	for _, reason := range p.entries.Subnets(prefix) {
		return reason, true
	}
	if p.onLink.OverlapsPrefix(prefix) {
		return "on-link", true
	}

	return "", false
}

// listed is Contains for the list alone, for an address as [key.prefix] makes it. An address that
// holds a listed IPv4 address is listed, too: it is the same host, see [key.embedded].
func (p *Protected) listed(addr netip.Addr) (reason string, ok bool) {
	if p == nil || p.entries == nil {
		return "", false
	}
	if reason, ok = p.entries.Lookup(addr); ok {
		return reason, true
	}

	if v4, embedded := embeddedIn(addr); embedded {
		return p.entries.Lookup(v4)
	}
	return "", false
}

// isBuiltin says quickly whether a host is one of builtin.
func isBuiltin(k key) bool {
	if k.is4() {
		a := uint32(k.lo) // the address is the lower half
		return a>>24 == 0 || a>>24 == 127 || a>>28 == 0xe || a == 0xffffffff
	}
	return k.hi == 0 && k.lo <= 1 || k.hi>>56 == 0xff
}
