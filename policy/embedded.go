package policy

import (
	"net/netip"

	"github.com/amifend/amifend/policy/internal/table"
)

// Some IPv6 addresses hold the IPv4 address of their host, and one host may have any number of
// them: a Teredo client gets another one with each port and flag, and a translator may use many
// prefixes. Scored one by one, such a host would stay below every limit. So its attempts also add up
// at a record of the IPv4 address. What is banned is each IPv6 address that the host goes on with,
// never the IPv4 address: that is a different sender for the kernel.

// embedding is the spread of the addresses of one embedded IPv4 address. Two of them make one: a
// host that keeps its address is judged by that alone, since its score fades sooner.
var embedding = spread{bits: hostBits, suspects: 2, factor: 1}

// teredoFlip is what Teredo combines the address of a client with, so that no translator on the
// way changes it (RFC 4380, section 4).
const teredoFlip = 0xffff_ffff

// embedded returns the IPv4 address that an IPv6 address holds, as a host. It knows Teredo (RFC
// 4380: the last 32 bits, inverted) and the NAT64 prefixes 64:ff9b::/96 (RFC 6052) and
// 64:ff9b:1::/48 (RFC 8215). A network divides the second one as it likes. The bits that RFC 6052
// leaves zero behind the IPv4 address tell how: section 2.2.
func (k key) embedded() (v4 key, ok bool) {
	if k.bits != hostBits {
		return key{}, false
	}

	switch {
	case k.hi>>32 == 0x2001_0000:
		return v4Key(uint32(k.lo) ^ teredoFlip), true // the lower half is meant
	case k.hi == 0x0064_ff9b_0000_0000 && k.lo>>32 == 0:
		return v4Key(uint32(k.lo)), true
	case k.hi>>16 == 0x0064_ff9b_0001:
		return v4Key(translated(k)), true
	}
	return key{}, false
}

// translated returns the IPv4 address in an address of 64:ff9b:1::/48. Bits 64 to 71 are never a
// part of it, unless the prefix has 96 bits.
func translated(k key) uint32 {
	const bits40, bits32, bits24 = 1<<40 - 1, 1<<32 - 1, 1<<24 - 1

	switch hi, lo := uint32(k.hi), k.lo; { // the lower half is meant
	case lo&bits40 == 0: // a /48: 16 bits, then 16
		return hi<<16 | uint32(lo>>40)&0xffff
	case lo&bits32 == 0: // a /56: 8 bits, then 24
		return hi<<24 | uint32(lo>>32)&bits24
	case lo&bits24 == 0: // a /64
		return uint32(lo >> 24)
	default: // a /96
		return uint32(lo)
	}
}

// v4Key returns the key of an IPv4 address.
func v4Key(a uint32) key { return key{lo: mapped<<32 | uint64(a), bits: hostBits} }

// embeddedNetwork returns the key of the record of the IPv4 address that an IPv6 address holds. It
// is a /64 of Teredo's range: no ban can have it, nor can the record of any prefix, see hostOnly.
func (k key) embeddedNetwork() (nk key, ok bool) {
	v4, ok := k.embedded()
	return embeddedAt(v4), ok
}

// embeddedAt is [key.embeddedNetwork] of an IPv4 address.
func embeddedAt(v4 key) key { return key{hi: 0x2001_0000<<32 | v4.lo&0xffff_ffff, bits: netBits} }

// decideEmbedded adds an attempt to the score of the IPv4 address that its source holds, and bans
// the source if that score asks for it. want is the weight of what its own score asks for. It
// returns the scope of the ban, or ScopeNone if there is none.
func (e *Engine) decideEmbedded(a *attempt, want weight) Scope {
	nk, ok := a.key.embeddedNetwork()
	if !ok {
		return ScopeNone
	}

	n, _ := e.touchNetwork(nk)
	e.addFrom(e.part(a.key, embedding.bits), n, &a.ev)
	c := e.spreadScore(n, embedding)
	if c.weight() <= want {
		return ScopeNone // its own score bans it, if anything does
	}
	return e.banSpread(a, n, c)
}

// pardonEmbedded forgets what addresses that hold the same IPv4 address have added up to, when one
// of them or the IPv4 address itself is pardoned.
func (e *Engine) pardonEmbedded(k key) {
	if r := e.embeddedPardoned(k); r != 0 {
		e.networks.Mark(r)
		e.networks.Val(r).forget()
	}
}

// embeddedPardoned returns the record that the pardon of a host concerns, 0 if there is none.
func (e *Engine) embeddedPardoned(k key) table.Ref {
	nk, ok := k.embeddedNetwork()
	if k.is4() {
		nk, ok = embeddedAt(k), true
	}
	if !ok {
		return 0
	}
	return e.networks.Get(nk)
}

// embeddedRecord returns the record of the IPv4 address that an address holds, nil if there is none.
func (e *Engine) embeddedRecord(k key) *source {
	v4, ok := k.embedded()
	if !ok {
		return nil
	}
	r := e.sources.Get(v4.host())
	if r == 0 {
		return nil
	}
	return e.sources.Val(r)
}

// embeddedIn returns the IPv4 address that an address holds, as [Protected] looks it up.
func embeddedIn(addr netip.Addr) (v4 netip.Addr, ok bool) {
	if !addr.Is6() {
		return netip.Addr{}, false
	}
	k, ok := hostKey(addr).embedded()
	if !ok {
		return netip.Addr{}, false
	}
	return k.prefix().Addr(), true
}
