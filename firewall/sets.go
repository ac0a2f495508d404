package firewall

import (
	"errors"
	"fmt"

	"github.com/google/nftables"
	"github.com/google/nftables/binaryutil"
)

// Names in the kernel. Users see them in `nft list table`; they are an API.
const (
	chainPre    = "pre"
	chainSIP    = "sip"
	chainStream = "stream"
	setAllow4   = "allow4"
	setAllow6   = "allow6"
	setDeny4    = "deny4"
	setDeny6    = "deny6"

	counterDenied = "denied"
)

// banSet is a set of banned prefixes of one length: a hash whatever the length, as the rule masks
// the source first.
type banSet struct {
	name    string
	scope   Scope
	is6     bool
	bits    int
	comment string
}

// banSets lists all sets of bans, in the order in which the rules look them up. The IPv6 lengths
// are those that one customer gets: a /64 is one link (RFC 4291, 2.5.4), a site gets a /56 or a /48
// (RFC 6177).
func banSets() []banSet {
	return []banSet{
		{"ban4", ScopeAll, false, 32, "amifend: banned hosts"},
		{"ban4_24", ScopeAll, false, 24, "amifend: banned /24 prefixes"},
		{"ban6", ScopeAll, true, 128, "amifend: banned hosts"},
		{"ban6_64", ScopeAll, true, 64, "amifend: banned /64 prefixes"},
		{"ban6_56", ScopeAll, true, 56, "amifend: banned /56 prefixes"},
		{"ban6_48", ScopeAll, true, 48, "amifend: banned /48 prefixes"},
		{"ban4_sip", ScopeSIP, false, 32, "amifend: hosts banned from the SIP ports"},
		{"ban4_24_sip", ScopeSIP, false, 24, "amifend: /24 prefixes banned from the SIP ports"},
		{"ban6_sip", ScopeSIP, true, 128, "amifend: hosts banned from the SIP ports"},
		{"ban6_64_sip", ScopeSIP, true, 64, "amifend: /64 prefixes banned from the SIP ports"},
		{"ban6_56_sip", ScopeSIP, true, 56, "amifend: /56 prefixes banned from the SIP ports"},
		{"ban6_48_sip", ScopeSIP, true, 48, "amifend: /48 prefixes banned from the SIP ports"},
		{"ban4_stream", ScopeStream, false, 32, "amifend: hosts banned from the PBX's TCP ports"},
		{"ban4_24_stream", ScopeStream, false, 24, "amifend: /24 prefixes banned from the PBX's TCP ports"},
		{"ban6_stream", ScopeStream, true, 128, "amifend: hosts banned from the PBX's TCP ports"},
		{"ban6_64_stream", ScopeStream, true, 64, "amifend: /64 prefixes banned from the PBX's TCP ports"},
		{"ban6_56_stream", ScopeStream, true, 56, "amifend: /56 prefixes banned from the PBX's TCP ports"},
		{"ban6_48_stream", ScopeStream, true, 48, "amifend: /48 prefixes banned from the PBX's TCP ports"},
	}
}

func (s banSet) keyType() nftables.SetDatatype { return addrType(s.is6) }

func addrType(is6 bool) nftables.SetDatatype {
	if is6 {
		return nftables.TypeIP6Addr
	}
	return nftables.TypeIPAddr
}

// kernelSet returns the set in the form of the library, for at most maxBans elements, be they hosts
// or prefixes: a caller that counts all bans against one limit never finds a set full. Room costs
// nothing until it is used.
func (s banSet) kernelSet(table *nftables.Table, maxBans int) *nftables.Set {
	return &nftables.Set{
		Table: table, Name: s.name, KeyType: s.keyType(), KeyByteOrder: binaryutil.BigEndian,
		HasTimeout: true, Counter: true, Size: uint32(maxBans), Comment: s.comment,
	}
}

func allowSet(table *nftables.Table, is6 bool) *nftables.Set {
	name := setAllow4
	if is6 {
		name = setAllow6
	}
	return intervalSet(table, name, is6, "amifend: never dropped here")
}

func denySet(table *nftables.Table, is6 bool) *nftables.Set {
	name := setDeny4
	if is6 {
		name = setDeny6
	}
	return intervalSet(table, name, is6, "amifend: always dropped")
}

func intervalSet(table *nftables.Table, name string, is6 bool, comment string) *nftables.Set {
	return &nftables.Set{
		Table: table, Name: name, KeyType: addrType(is6), KeyByteOrder: binaryutil.BigEndian,
		Interval: true, Comment: comment,
	}
}

// SupportedBits returns the prefix lengths that can be banned, longest (a host) first: 32 and 24 of
// IPv4, 128, 64, 56 and 48 of IPv6.
func SupportedBits(is6 bool) []int {
	var bits []int
	for _, s := range banSets() {
		if s.is6 == is6 && s.scope == ScopeAll {
			bits = append(bits, s.bits)
		}
	}
	return bits
}

// findSet returns the index in banSets of the set that a change belongs to.
func findSet(sets []banSet, c Change) (int, error) {
	p := c.Prefix
	switch {
	case !p.IsValid():
		return 0, errors.New("invalid prefix")
	case p.Addr().Is4In6():
		return 0, fmt.Errorf("prefix %s is IPv4-mapped", p)
	case !c.Lift && p != p.Masked():
		return 0, fmt.Errorf("prefix %s has bits set beyond its length", p)
	case c.Scope < ScopeAll || c.Scope > ScopeStream:
		return 0, fmt.Errorf("unknown scope %d", c.Scope)
	}

	for i, s := range sets {
		if s.scope == c.Scope && s.is6 == p.Addr().Is6() && s.bits == p.Bits() {
			return i, nil
		}
	}

	return 0, fmt.Errorf("no set for prefixes of length %d", p.Bits())
}
