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

// denyStep is about the number of intervals that one transaction of SetDeny changes: 256 kB at
// most, the limit of an unprivileged socket. Bans wait for a transaction, a tenth of a second at
// 100,000 intervals.
const denyStep = 4000

// Denied counts the packets that the deny sets dropped since the table was made.
type Denied struct{ Packets, Bytes uint64 }

// SetDeny makes the deny sets hold these prefixes and no others: every packet of them is dropped,
// whatever its port, until SetDeny is called again. The allowlist wins over them. Prefixes may
// overlap, and come in any order. Ensure makes empty deny sets where there are none: after an
// Ensure that others made necessary, call SetDeny again.
//
// Each address passes from its old state to its new one in one transaction, so an address that is
// denied before and after is dropped throughout. A large list takes several transactions, and those
// of Apply run in between: 100,000 prefixes take a second or two. After an error a part may have
// been done.
//
// Error to branch on: ErrGone (Ensure, then try again).
func (t *Table) SetDeny(ctx context.Context, deny []netip.Prefix) error {
	v4, v6, err := intervals(deny)
	if err != nil {
		return fmt.Errorf("set deny lists: %w", err)
	}

	t.denyMu.Lock()
	defer t.denyMu.Unlock()
	for i, want := range [][]interval{v4, v6} {
		if err := t.syncDeny(ctx, denySet(t.table, i == 1), want); err != nil {
			return fmt.Errorf("set deny lists: %w", err)
		}
	}

	return nil
}

// syncDeny makes one set hold the wanted intervals. If another program changes the set meanwhile,
// it looks again.
func (t *Table) syncDeny(ctx context.Context, set *nftables.Set, want []interval) (err error) {
	for range maxRaces {
		var have []interval
		if have, err = t.readDeny(set); err != nil {
			return err
		}
		if err = t.commitDeny(ctx, set, denySteps(have, want, denyStep)); !refused(err) &&
			!errors.Is(err, unix.EEXIST) {
			return err
		}
	}

	return err
}

// readDeny returns the intervals of a set. It empties a set that holds elements of others.
func (t *Table) readDeny(set *nftables.Set) ([]interval, error) {
	if t.closed.Load() {
		return nil, ErrClosed
	}
	ends, ok, err := t.listDumps.ends(t.table.Name, set)
	if err != nil {
		return nil, readError("read set "+set.Name, err)
	}

	if have, ours := kernelIntervals(ends); ok && ours {
		return have, nil
	}
	t.lists.FlushSet(set)

	return nil, readError("empty set "+set.Name, t.lists.Flush())
}

func (t *Table) commitDeny(ctx context.Context, set *nftables.Set, steps []intervalChange) error {
	for _, s := range steps {
		if err := ctx.Err(); err != nil {
			return err
		}
		if t.closed.Load() {
			return ErrClosed
		}

		s.set = set
		if err := errors.Join(s.queue(t.lists), t.lists.Flush()); err != nil {
			return kernelError("change set "+set.Name, err)
		}
	}

	return nil
}

// denySteps divides the change from have to want into ascending steps. Intervals that overlap or
// touch are changed in the same step, however many they are, so that no address is without its
// state in between.
func denySteps(have, want []interval, size int) (steps []intervalChange) {
	gone, added := without(have, want), without(want, have)
	var s intervalChange
	var last netip.Addr // that the step changes
	for len(gone)+len(added) > 0 {
		from, to := &gone, &s.gone
		if len(gone) == 0 || len(added) > 0 && added[0].first.Less(gone[0].first) {
			from, to = &added, &s.new
		}
		iv := (*from)[0]
		if len(s.gone)+len(s.new) >= size && last.Next().Less(iv.first) {
			steps, s, last = append(steps, s), intervalChange{}, netip.Addr{}
			continue
		}

		*from, *to = (*from)[1:], append(*to, iv)
		if !last.IsValid() || last.Less(iv.last) {
			last = iv.last
		}
	}

	if len(s.gone)+len(s.new) > 0 {
		steps = append(steps, s)
	}
	return slices.Clip(steps)
}

// Denied reads the counters of the deny sets.
//
// Error to branch on: ErrGone.
func (t *Table) Denied(ctx context.Context) (Denied, error) {
	if err := t.lockRead(ctx); err != nil {
		return Denied{}, fmt.Errorf("read the counter of denied packets: %w", err)
	}
	defer t.readMu.Unlock()

	counter, err := t.readCounter(counterDenied, "read the counter of denied packets")
	if err != nil {
		return Denied{}, err
	}
	return Denied{Packets: counter.Packets, Bytes: counter.Bytes}, nil
}
