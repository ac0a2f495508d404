package firewall

import (
	"context"
	"errors"
	"fmt"
	"net/netip"

	"github.com/google/nftables"
	"golang.org/x/sys/unix"
)

// Bans reads back all elements of all ban sets, ascending within a set, see [Table.Elements].
//
// Error to branch on: ErrGone.
func (t *Table) Bans(ctx context.Context) ([]Element, error) {
	read, err := t.Elements(ctx)
	if err != nil {
		return nil, err
	}

	all := make([]Element, read.Len())
	for i, el := range read.All() {
		all[i] = el
	}
	return all, nil
}

func (s banSet) element(r nftables.SetElement) (Element, error) {
	addr, ok := netip.AddrFromSlice(r.Key)
	if !ok || addr.Is6() != s.is6 {
		return Element{}, fmt.Errorf("set %s: element with a key of %d bytes", s.name, len(r.Key))
	}

	e := Element{
		Prefix: netip.PrefixFrom(addr, s.bits), Scope: s.scope, Timeout: r.Timeout,
		Expires: r.Expires,
	}
	if r.Counter != nil {
		e.Packets, e.Bytes, e.Counted = r.Counter.Packets, r.Counter.Bytes, true
	}

	return e, nil
}

// Element reads one ban, its counter included, at the cost of one small message. It reports whether
// the kernel has it.
//
// Error to branch on: ErrGone.
func (t *Table) Element(
	ctx context.Context, prefix netip.Prefix, scope Scope,
) (Element, bool, error) {
	set, err := findSet(t.sets, Change{Ban: Ban{Prefix: prefix, Scope: scope}, Lift: true})
	if err != nil {
		return Element{}, false, fmt.Errorf("read ban: %w", err)
	}
	if err := t.lockRead(ctx); err != nil {
		return Element{}, false, fmt.Errorf("read ban: %w", err)
	}
	defer t.readMu.Unlock()

	raw, found, err := find(t.read, t.ksets[set], prefix.Addr())
	if err != nil {
		return Element{}, false, readError("read ban", err)
	}
	if !found {
		// The kernel answers ENOENT for an absent set too.
		_, err := t.read.GetSetByName(t.table, t.sets[set].name)
		return Element{}, false, readError("read ban", err)
	}

	e, err := t.sets[set].element(raw)
	return e, err == nil, err
}

// find looks for one element. A missing set is a missing element.
func find(c *nftables.Conn, set *nftables.Set, key netip.Addr) (nftables.SetElement, bool, error) {
	elems, err := c.FindSetElements(set, []nftables.SetElement{{Key: key.AsSlice()}})
	if errors.Is(err, unix.ENOENT) {
		return nftables.SetElement{}, false, nil
	}
	if err != nil || len(elems) != 1 {
		return nftables.SetElement{}, false,
			errors.Join(err, fmt.Errorf("look up element in set %s: %d answers", set.Name,
				len(elems)))
	}

	return elems[0], true, nil
}

func readError(do string, err error) error {
	if errors.Is(err, unix.ENOENT) {
		return fmt.Errorf("%s: %w", do, ErrGone)
	}
	return kernelError(do, err)
}
