package traffic

import (
	"encoding/binary"
	"math/rand/v2"
	"net/netip"
)

// The networks: customers (phones, homes, offices) have 10.0.0.0/8 and 2001:db8::/32, mobile phones
// share 100.64.0.0/24, strangers (attackers) have the rest of the Internet and 2a00::/12.

// customers4 is the first address of the customers of IPv4.
const customers4 = 10<<24 + 1<<16

// customer returns an address for a customer's line: one that another customer gave back, or a new
// one. Addresses lie as close together as an access provider's do.
func (w *World) customer(r *rand.Rand) netip.Addr {
	if n := len(w.free); n > 0 && r.IntN(2) == 0 {
		i := r.IntN(n)
		a := w.free[i]
		w.free[i] = w.free[n-1]
		w.free = w.free[:n-1]
		return a
	}

	// Some addresses in between are not used.
	w.given += 1 + r.Uint32N(4)
	return v4(customers4 + w.given)
}

// customer6 returns an address in a /56 of its own.
func (w *World) customer6(r *rand.Rand) netip.Addr {
	w.given++
	return inNet(r, netip.PrefixFrom(v6(0x2001_0db8_0000_0000|uint64(w.given)<<8, 0), 64))
}

// mobile returns one of the addresses that a mobile operator's customers share.
func mobile(r *rand.Rand) netip.Addr { return v4(100<<24 + 64<<16 + r.Uint32N(32)) }

// stranger returns a random address of the Internet.
func stranger(r *rand.Rand) netip.Addr {
	for {
		a := r.Uint32()
		switch a >> 24 {
		case 0, 10, 100, 127, 169, 172, 192, 198, 203: // customers, PBXs, and nobody
		default:
			if a>>24 < 224 {
				return v4(a)
			}
		}
	}
}

// stranger6 returns a random prefix of the Internet.
func stranger6(r *rand.Rand, bits int) netip.Prefix {
	return netip.PrefixFrom(v6(0x2a00<<48|r.Uint64()&(1<<52-1), 0), bits).Masked()
}

// u32 returns an address of IPv4 as a number.
func u32(a netip.Addr) uint32 {
	b := a.As4()
	return binary.BigEndian.Uint32(b[:])
}

// inNet returns a random address of a prefix.
func inNet(r *rand.Rand, p netip.Prefix) netip.Addr {
	if p.Addr().Is4() {
		return v4(u32(p.Masked().Addr()) | uint32(r.Uint64()&(1<<(32-p.Bits())-1)))
	}

	b := p.Masked().Addr().As16()
	hi, lo := binary.BigEndian.Uint64(b[:8]), r.Uint64()
	if p.Bits() < 64 {
		hi |= r.Uint64() & (1<<(64-p.Bits()) - 1)
	}
	return v6(hi, lo)
}

func v4(a uint32) netip.Addr {
	return netip.AddrFrom4([4]byte(binary.BigEndian.AppendUint32(nil, a)))
}

func v6(hi, lo uint64) netip.Addr {
	b := binary.BigEndian.AppendUint64(nil, hi)
	return netip.AddrFrom16([16]byte(binary.BigEndian.AppendUint64(b, lo)))
}

// anyPort adds a random high port to an address.
func anyPort(r *rand.Rand, a netip.Addr) netip.AddrPort {
	return netip.AddrPortFrom(a, uint16(1024+r.IntN(64000)))
}
