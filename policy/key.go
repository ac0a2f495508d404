package policy

import (
	"encoding/binary"
	"net/netip"

	"github.com/dchest/siphash"
)

// key is an address or prefix as the tables keep it: without pointers, IPv4 in the mapped form
// (::ffff:0:0/96), host bits zero.
type key struct {
	hi, lo uint64
	bits   uint8
}

// host is an address as the table of sources keeps it: a key of 128 bits, without their number.
type host struct{ hi, lo uint64 }

func (h host) key() key { return key{h.hi, h.lo, hostBits} }

// host returns the address of a key of 128 bits.
func (k key) host() host { return host{k.hi, k.lo} }

func (h host) Hash(k0, k1 uint64) uint64 {
	var b [16]byte
	binary.LittleEndian.PutUint64(b[:], h.hi)
	binary.LittleEndian.PutUint64(b[8:], h.lo)
	return siphash.Hash(k0, k1, b[:])
}

const (
	hostBits = 128
	netBits  = 64     // the IPv6 prefix that is scored along with the address
	v4Bits   = 96     // how many bits of the mapped form an IPv4 address does not use
	mapped   = 0xffff // the lower bits of ::ffff:0:0
)

// hostKey returns the key of an address; mapped ones are IPv4, a zone is not part of it.
func hostKey(a netip.Addr) key {
	b := a.As16()
	return key{binary.BigEndian.Uint64(b[:8]), binary.BigEndian.Uint64(b[8:]), hostBits}
}

// prefixKey returns the key of a prefix. False means that it is not valid.
func prefixKey(p netip.Prefix) (key, bool) {
	if !p.IsValid() {
		return key{}, false
	}

	k := hostKey(p.Addr())
	k.bits = uint8(p.Bits()) // 0 to 128 in a valid prefix
	if p.Addr().Is4() {
		k.bits += v4Bits
	}

	return k.masked(k.bits), true
}

// masked returns the prefix of that many bits, counted in the mapped form, that holds k.
func (k key) masked(bits uint8) key {
	k.bits = bits
	if bits <= netBits {
		k.hi &= ^uint64(0) << (netBits - bits)
		k.lo = 0
		return k
	}
	k.lo &= ^uint64(0) << (hostBits - bits)
	return k
}

func (k key) is4() bool { return k.hi == 0 && k.lo>>32 == mapped && k.bits >= v4Bits }

// prefix returns the key as a masked prefix.
func (k key) prefix() netip.Prefix {
	var b [16]byte
	binary.BigEndian.PutUint64(b[:8], k.hi)
	binary.BigEndian.PutUint64(b[8:], k.lo)
	a := netip.AddrFrom16(b)
	if k.is4() {
		return netip.PrefixFrom(a.Unmap(), int(k.bits)-v4Bits)
	}
	return netip.PrefixFrom(a, int(k.bits))
}

// hostOnly reports whether a key lies in a range whose prefixes hold unrelated hosts, so that only
// single addresses may be banned: link-local (RFC 4291), NAT64 (RFC 6052, RFC 8215: the IPv4
// Internet) and Teredo (RFC 4380: all clients of one server share a /64).
func hostOnly(k key) bool {
	return k.hi>>54 == 0xfe80>>6 ||
		k.hi == 0x0064_ff9b_0000_0000 && k.lo>>32 == 0 ||
		k.hi>>16 == 0x0064_ff9b_0001 ||
		k.hi>>32 == 0x2001_0000
}

func (k key) Hash(k0, k1 uint64) uint64 {
	var b [17]byte
	binary.LittleEndian.PutUint64(b[:], k.hi)
	binary.LittleEndian.PutUint64(b[8:], k.lo)
	b[16] = k.bits
	return siphash.Hash(k0, k1, b[:])
}
