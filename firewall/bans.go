package firewall

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"

	"github.com/google/nftables"
	"golang.org/x/sys/unix"
)

// maxDumps bounds the tries to get a dump during which nothing changed.
const maxDumps = 5

// Bans reads back all elements of all ban sets, ascending within a set. The kernel walks a set in
// many steps, and misses elements when the set changes meanwhile; then Bans walks it again. An
// element that expires during a walk can still hide another one. The hidden ban holds all the same,
// and the next call returns it.
//
// Error to branch on: ErrGone.
func (t *Table) Bans(ctx context.Context) ([]Element, error) {
	if err := t.lockRead(ctx); err != nil {
		return nil, fmt.Errorf("read bans: %w", err)
	}
	defer t.readMu.Unlock()

	var all []Element
	for i := range t.sets {
		elems, err := t.dump(ctx, i)
		if err != nil {
			return nil, readError("read bans", err)
		}
		all = append(all, elems...)
	}

	return all, nil
}

// dump walks a set until the walk was undisturbed. Two things disturb it: a transaction, which
// changes the generation; and a hash table that grows, which changes its order. The kernel stops
// after as many elements as there are, so for each element that it misses it reports another one
// twice.
func (t *Table) dump(ctx context.Context, set int) (elems []Element, err error) {
	for range maxDumps {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		before, err := t.read.GetGen()
		if err != nil {
			return nil, err
		}

		raw, err := t.read.GetSetElements(t.ksets[set])
		if err != nil {
			return nil, err
		}
		if elems, err = t.elements(set, raw); err != nil {
			return nil, err
		}

		// No transaction came in between, and no duplicate shows that the table grew.
		after, err := t.read.GetGen()
		if err != nil {
			return nil, err
		}
		if after.ID == before.ID && len(elems) == len(raw) {
			break
		}
	}

	return elems, nil
}

// elements translates a dump, sorts it and removes duplicates.
func (t *Table) elements(set int, raw []nftables.SetElement) ([]Element, error) {
	elems := make([]Element, 0, len(raw))
	for _, r := range raw {
		e, err := t.sets[set].element(r)
		if err != nil {
			return nil, err
		}
		elems = append(elems, e)
	}

	slices.SortFunc(elems, func(a, b Element) int {
		return a.Prefix.Addr().Compare(b.Prefix.Addr())
	})
	return slices.CompactFunc(elems, func(a, b Element) bool { return a.Prefix == b.Prefix }), nil
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
