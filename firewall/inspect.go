package firewall

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/google/nftables"
	"golang.org/x/sys/unix"
)

// snapshot describes the table of our name in the kernel, without elements.
type snapshot struct {
	table  *nftables.Table // nil if there is none
	chains map[string]*nftables.Chain
	sets   map[string]*nftables.Set // but for anonymous ones
}

// inspect reads the table. The caller holds the lock of c.
func (t *Table) inspect(c *nftables.Conn) (snapshot, error) {
	s := snapshot{chains: map[string]*nftables.Chain{}, sets: map[string]*nftables.Set{}}
	tables, err := c.ListTablesOfFamily(nftables.TableFamilyINet)
	if err != nil {
		return s, kernelError("list tables", err)
	}
	i := slices.IndexFunc(tables, func(k *nftables.Table) bool { return k.Name == t.table.Name })
	if i < 0 {
		return s, nil
	}

	s.table = tables[i]

	// The kernel lists the chains of all tables.
	chains, err := c.ListChainsOfTableFamily(nftables.TableFamilyINet)
	if err != nil {
		return s, kernelError("list chains", err)
	}

	for _, ch := range chains {
		if ch.Table != nil && ch.Table.Name == t.table.Name {
			s.chains[ch.Name] = ch
		}
	}

	sets, err := c.GetSets(t.table)
	if errors.Is(err, unix.ENOENT) { // removed meanwhile
		return snapshot{}, nil
	}
	if err != nil {
		return s, kernelError("list sets", err)
	}

	for _, set := range sets {
		if !set.Anonymous {
			s.sets[set.Name] = set
		}
	}

	return s, nil
}

// Inspect reports whether a table of our name is there. The error is a *ForeignError if the table
// is not ours: Ensure would refuse it. It changes nothing.
func (t *Table) Inspect(ctx context.Context) (bool, error) {
	if err := t.lockRead(ctx); err != nil {
		return false, fmt.Errorf("inspect table: %w", err)
	}
	defer t.readMu.Unlock()

	s, err := t.inspect(t.read)
	if err != nil || s.table == nil {
		return false, err
	}
	return true, t.checkForeign(s)
}

// checkForeign refuses a table of another program, whose chain Ensure would flush. A table is ours
// if it is empty or has a set of ours. Everything else in our table (a chain of the operator, the
// sets of a newer amifend) is left alone.
func (t *Table) checkForeign(s snapshot) error {
	if s.table == nil {
		return nil
	}
	foreign := func(format string, args ...any) error {
		return &ForeignError{t.table.Name, fmt.Sprintf(format, args...)}
	}

	if s.table.Owner != 0 {
		return foreign("it is owned by the process with netlink port %d", s.table.Owner)
	}

	// A set of our name and another type: Ensure could not work with it.
	ours := 0
	for _, want := range t.wantedSets() {
		got, ok := s.sets[want.Name]
		if !ok {
			continue
		}
		if got.KeyType.Name != want.KeyType.Name || got.HasTimeout != want.HasTimeout ||
			got.Interval != want.Interval || got.IsMap {
			return foreign("its set %s is of type %s, timeout %t, interval %t", want.Name,
				got.KeyType.Name, got.HasTimeout, got.Interval)
		}

		ours++
	}

	// Ensure would flush these chains, and the kernel does not change a hook.
	for _, want := range t.rules(t.discoverySet()) {
		c, ok := s.chains[want.name]
		switch {
		case !ok:
		case want.hook == nil && c.Hooknum != nil:
			return foreign("its chain %s has a hook", want.name)
		case want.hook != nil && !want.hasHookOf(c):
			return foreign("its chain %s does not have our hook: filter, %s, priority %d",
				want.name, hookName(want.hook), want.priority())
		}
	}

	// An empty table has nothing to lose.
	if ours == 0 && len(s.chains)+len(s.sets) > 0 {
		return foreign("it holds %d chains and %d sets, but no set of ours", len(s.chains),
			len(s.sets))
	}
	return nil
}

// hookName returns the name of a hook that one of our chains has.
func hookName(hook *nftables.ChainHook) string {
	switch *hook {
	case *nftables.ChainHookPrerouting:
		return "prerouting"
	case *nftables.ChainHookForward:
		return "forward"
	}
	return "output"
}

func (t *Table) wantedSets() []*nftables.Set {
	return slices.Concat(t.ksets, []*nftables.Set{
		allowSet(t.table, false), allowSet(t.table, true),
		denySet(t.table, false), denySet(t.table, true),
	}, t.feedSets(), t.sensorSets(), t.limiterSets())
}

// complete reports whether the kernel has the layout that Ensure makes: a check by names and
// numbers, meant to notice that the table was removed, emptied or put to sleep. The caller holds
// the lock of c.
func (t *Table) complete(c *nftables.Conn) (bool, error) {
	s, err := t.inspect(c)
	if err != nil {
		return false, err
	}
	if s.table == nil || s.table.Flags&nftables.TableFlagDormant != 0 {
		return false, nil
	}

	for _, set := range t.wantedSets() {
		if s.sets[set.Name] == nil {
			return false, nil
		}
	}

	// The number of rules is enough to notice a flushed chain or an inserted rule.
	for _, want := range t.rules(t.discoverySet()) {
		chain := s.chains[want.name]
		if chain == nil || !want.isIn(chain) {
			return false, nil
		}

		got, err := c.GetRules(t.table, chain)
		if errors.Is(err, unix.ENOENT) { // removed meanwhile
			return false, nil
		}
		if err != nil {
			return false, kernelError("list rules", err)
		}
		if len(got) != len(want.rules) {
			return false, nil
		}
	}

	return true, nil
}
