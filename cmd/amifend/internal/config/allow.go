package config

import (
	"cmp"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
)

// allow reads [allow] prefixes: masked, sorted, each once.
func (l *loader) allow(raw rawAllow) []netip.Prefix {
	const key = "allow.prefixes"
	var out []netip.Prefix
	for i, s := range get(l, key, raw.Prefixes, nil) {
		p, err := parsePrefix(s, everyAllowed)
		if err != nil {
			l.problem(key, "%s %s", entry(i), err)
			continue
		}
		out = append(out, p)
	}

	slices.SortFunc(out, func(a, b netip.Prefix) int {
		return cmp.Or(a.Addr().Compare(b.Addr()), cmp.Compare(a.Bits(), b.Bits()))
	})

	return slices.Compact(out)
}

// everyAllowed completes the error for a prefix of [allow] that contains every address.
const everyAllowed = "so nobody would ever be banned; to try amifend out write observe = true in " +
	"[policy], to keep one network write its prefix"

// parsePrefix reads an address or a prefix of a list. The text of an error continues a sentence
// that begins with the entry's number. every completes the error for a prefix that contains every
// address.
func parsePrefix(s, every string) (netip.Prefix, error) {
	// A single address is a prefix of its whole length.
	if a, err := netip.ParseAddr(s); err == nil {
		if a.Zone() != "" {
			return netip.Prefix{},
				errors.New("has a zone; write the address without the % and what follows")
		}

		a = a.Unmap()
		if a.IsUnspecified() {
			return netip.Prefix{},
				errors.New("is not a host's address; write an address or a prefix, like " +
					"\"192.0.2.0/24\"")
		}

		return netip.PrefixFrom(a, a.BitLen()), nil
	}

	p, err := netip.ParsePrefix(s)
	if err != nil {
		return netip.Prefix{}, notPrefix(s)
	}

	// Events name IPv4 sources as IPv4, so an IPv4-mapped prefix would match none of them.
	if a := p.Addr(); a.Is4In6() {
		if p.Bits() < 96 {
			return netip.Prefix{},
				errors.New("spans more than the IPv4-mapped addresses; write the IPv4 " +
					"prefix itself")
		}
		p = netip.PrefixFrom(a.Unmap(), p.Bits()-96)
	}

	if p.Bits() == 0 {
		return netip.Prefix{}, errors.New("is every address, " + every)
	}

	// Host bits are mostly a mistake: the network was meant, or the one address. A wrong guess
	// could allow a whole network.
	if p != p.Masked() {
		return netip.Prefix{},
			fmt.Errorf("has bits set behind the /%d; write %q for the network or %q for the one "+
				"address", p.Bits(), p.Masked(), p.Addr())
	}

	return p, nil
}

// notPrefix returns the error for a text that is not a prefix. It recognizes a netmask, and
// proposes the prefix.
func notPrefix(s string) error {
	if addr, mask, ok := strings.Cut(s, "/"); ok {
		a, err1 := netip.ParseAddr(addr)
		m, err2 := netip.ParseAddr(mask)
		if err1 == nil && err2 == nil && a.Is4() && m.Is4() {
			if bits, ok := maskBits(m); ok {
				return fmt.Errorf("is written with a netmask; write %q",
					netip.PrefixFrom(a, bits).Masked())
			}
		}
	}

	return errors.New("is neither an address nor a prefix; write one like \"192.0.2.7\", " +
		"\"192.0.2.0/24\" or \"2001:db8::/32\"")
}

// maskBits returns the prefix length of a netmask, and reports whether m is one. A netmask has all
// its ones first.
func maskBits(m netip.Addr) (int, bool) {
	for bits := range 33 {
		ones := netip.PrefixFrom(netip.AddrFrom4([4]byte{255, 255, 255, 255}), bits).Masked().Addr()
		if ones == m {
			return bits, true
		}
	}
	return 0, false
}
