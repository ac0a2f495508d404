package firewall

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"net/netip"
	"slices"

	"github.com/google/nftables"
	"golang.org/x/sys/unix"
)

// interval is a range of addresses of one family, first and last included.
type interval struct{ first, last netip.Addr }

// intervals merges prefixes into ascending intervals of each family that neither overlap nor touch:
// the kernel refuses overlaps.
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

	// IPv4 sorts before IPv6, and a prefix after the prefixes that may hold it.
	slices.SortFunc(all, func(a, b interval) int { return a.first.Compare(b.first) })
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
		return p, fmt.Errorf("invalid prefix %s", p)
	}
	if !p.Addr().Is4In6() {
		return p, nil
	}
	if p.Bits() < 96 {
		return p, fmt.Errorf("prefix %s: write IPv4 as IPv4", p)
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

// kernelIntervals reads intervals back from the elements of a set, which it sorts. It reports whether
// we made all of them: nft(8), for one, adds an end without a start.
func kernelIntervals(ends []end) ([]interval, bool) {
	slices.SortFunc(ends, func(a, b end) int { return bytes.Compare(a.addr[:], b.addr[:]) })

	// Starts and ends must take turns. An open interval ends at the end of the address space.
	ivs := make([]interval, 0, (len(ends)+1)/2)
	open := false
	for _, e := range ends {
		if e.isEnd != open {
			return nil, false
		}

		addr := netip.AddrFrom16(e.addr)
		if !e.is6 {
			addr = addr.Unmap()
		}
		if e.isEnd {
			ivs[len(ivs)-1].last = addr.Prev()
		} else {
			ivs = append(ivs, interval{addr, lastAddr(netip.PrefixFrom(addr, 0))})
		}
		open = !open
	}

	return ivs, true
}

// endsOf returns the elements of a set as the library reads them. It reports whether each is an
// address.
func endsOf(elems []nftables.SetElement) (ends []end, ok bool) {
	for _, el := range elems {
		addr, isAddr := netip.AddrFromSlice(el.Key)
		if !isAddr {
			return nil, false
		}
		ends = append(ends, end{addr: addr.As16(), is6: addr.Is6(), isEnd: el.IntervalEnd})
	}
	return ends, true
}

// without returns the intervals of a that are not in b, both ascending.
func without(a, b []interval) (out []interval) {
	for _, iv := range a {
		if _, found := slices.BinarySearchFunc(b, iv, compareIntervals); !found {
			out = append(out, iv)
		}
	}
	return out
}

func compareIntervals(a, b interval) int {
	return cmp.Or(a.first.Compare(b.first), a.last.Compare(b.last))
}

// maxIntervalsACall keeps the start and the end of an interval in one netlink message, where the
// kernel wants them: 500 IPv6 intervals are 45 kB, and the library splits beyond 63 kB.
const maxIntervalsACall = 500

func intervalElements(ivs []interval) (elems []nftables.SetElement) {
	for _, iv := range ivs {
		elems = append(elems, nftables.SetElement{Key: iv.first.AsSlice()})
		if end := iv.last.Next(); end.IsValid() { // else it is open to the end of the address space
			elems = append(elems, nftables.SetElement{Key: end.AsSlice(), IntervalEnd: true})
		}
	}
	return elems
}

// intervalChange is the change that a set of intervals needs to reach its desired state.
type intervalChange struct {
	set       *nftables.Set
	flush     bool // first remove all
	gone, new []interval
}

// planAllow compares an allow set with its desired intervals and plans only the difference. To
// flush and add everything in one transaction is slow: for each new element the kernel walks over
// all the elements that it is about to remove (measured on Linux 6.18: 30,000 prefixes replaced by
// 60,000 took 90 s). A set that cannot be compared is replaced whole.
func planAllow(c *nftables.Conn, set *nftables.Set, want []interval) (intervalChange, error) {
	elems, err := c.GetSetElements(set)
	if err != nil && !errors.Is(err, unix.ENOENT) { // a set that is not there yet holds nothing
		return intervalChange{}, kernelError("read set "+set.Name, err)
	}
	ends, ok := endsOf(elems)
	have, ours := kernelIntervals(ends)
	if !ok || !ours {
		return replaceAllow(c, set, want)
	}

	return intervalChange{set: set, gone: without(have, want), new: without(want, have)}, nil
}

// replaceAllow plans to replace a set without a look at it.
func replaceAllow(_ *nftables.Conn, set *nftables.Set, want []interval) (intervalChange, error) {
	return intervalChange{set: set, flush: true, new: want}, nil
}

func (a intervalChange) queue(c *nftables.Conn) error {
	if a.flush {
		c.FlushSet(a.set)
	}
	var errs []error
	for part := range slices.Chunk(a.gone, maxIntervalsACall) {
		errs = append(errs, c.SetDeleteElements(a.set, intervalElements(part)))
	}

	for part := range slices.Chunk(a.new, maxIntervalsACall) {
		errs = append(errs, c.SetAddElements(a.set, intervalElements(part)))
	}
	return errors.Join(errs...)
}
