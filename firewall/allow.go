package firewall

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"

	"github.com/google/nftables"
)

// interval is the addresses first to last, both included, of one family.
type interval struct{ first, last netip.Addr }

// intervals merges prefixes into ascending intervals of each family that neither overlap nor touch: the kernel refuses overlaps.
func intervals(prefixes []netip.Prefix) (v4, v6 []interval, err error) {
	var all []interval
	var problems []error
	for _, p := range prefixes {
		q, err := unmap(p)
		if err != nil {
			problems = append(problems, err)
			continue
		}
		all = append(all, interval{q.Masked().Addr(), lastAddr(q)})
	}
	if err := errors.Join(problems...); err != nil {
		return nil, nil, err
	}
	slices.SortFunc(all, func(a, b interval) int { return a.first.Compare(b.first) }) // IPv4 sorts before IPv6
	for _, iv := range all {
		out := &v4
		if iv.first.Is6() {
			out = &v6
		}
		*out = appendMerged(*out, iv)
	}
	return v4, v6, nil
}

func appendMerged(out []interval, iv interval) []interval {
	if n := len(out); n > 0 {
		next := out[n-1].last.Next() // invalid after the last address of the family
		if !next.IsValid() || iv.first.Compare(next) <= 0 {
			if iv.last.Compare(out[n-1].last) > 0 {
				out[n-1].last = iv.last
			}
			return out
		}
	}
	return append(out, iv)
}

func unmap(p netip.Prefix) (netip.Prefix, error) {
	if !p.IsValid() {
		return p, fmt.Errorf("invalid prefix in the allowlist: %s", p)
	}
	if !p.Addr().Is4In6() {
		return p, nil
	}
	if p.Bits() < 96 {
		return p, fmt.Errorf("prefix %s in the allowlist: write IPv4 as IPv4", p)
	}
	return netip.PrefixFrom(p.Addr().Unmap(), p.Bits()-96), nil
}

func lastAddr(p netip.Prefix) netip.Addr {
	b := p.Masked().Addr().AsSlice()
	for bit := p.Bits(); bit < len(b)*8; bit++ {
		b[bit/8] |= 0x80 >> (bit % 8)
	}
	last, _ := netip.AddrFromSlice(b)
	return last
}

// maxIntervalsACall keeps the start and the end of an interval in one netlink message, where the kernel wants them:
// 500 IPv6 intervals are 45 kB, and the library splits beyond 63 kB.
const maxIntervalsACall = 500

// replaceAllow queues the whole replacement of an allow set.
func replaceAllow(c *nftables.Conn, set *nftables.Set, ivs []interval) error {
	c.FlushSet(set)
	for part := range slices.Chunk(ivs, maxIntervalsACall) {
		var elems []nftables.SetElement
		for _, iv := range part {
			elems = append(elems, nftables.SetElement{Key: iv.first.AsSlice()})
			if end := iv.last.Next(); end.IsValid() { // else it is open to the end of the address space
				elems = append(elems, nftables.SetElement{Key: end.AsSlice(), IntervalEnd: true})
			}
		}
		if err := c.SetAddElements(set, elems); err != nil {
			return fmt.Errorf("encode set %s: %w", set.Name, err)
		}
	}
	return nil
}
