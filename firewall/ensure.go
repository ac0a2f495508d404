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

// chainPriority is before raw (-300), thus before conntrack (-200): a banned source costs least
// there, and established flows are cut too.
const chainPriority = -310

// Ensure lays out the table in one transaction. It creates what is missing, keeps the elements of
// the ban sets, replaces rules and ports, and fills the allow sets. The deny sets keep their
// elements, see SetDeny. Every ban holds at every moment. A table of an older amifend gets the sets
// that it lacks. A table of a newer amifend keeps its further sets, though no rule of ours looks
// them up. A new MaxBans takes effect on an existing set from Linux 6.3 on.
//
// Errors to branch on: *ForeignError (nothing was changed), ErrPermission, ErrUnsupported, and
// ErrGone: another program deleted the table meanwhile, try again.
func (t *Table) Ensure(ctx context.Context) error {
	if err := t.lockWrite(ctx); err != nil {
		return fmt.Errorf("ensure table: %w", err)
	}
	defer t.writeMu.Unlock()

	// Look before the first change: a table of somebody else stays as it is.
	there, err := t.checkOurs()
	if err != nil {
		return fmt.Errorf("ensure table: %w", err)
	}

	// The kernel refuses to wake a table and to add a chain to it in one transaction (EINVAL).
	if there.table != nil && there.table.Flags&nftables.TableFlagDormant != 0 {
		if err := t.wake(); err != nil {
			return err
		}
	}

	err = t.changeAllow(func() error {
		t.queueNoSensor(there)
		t.queueNoLimiter(there)
		return t.queueLayout()
	})
	t.layouts.Add(1)
	if errors.Is(err, unix.ENOENT) { // somebody deleted it during the change
		return fmt.Errorf("ensure table: %w (%w)", ErrGone, err)
	}
	if errors.Is(err, unix.EEXIST) || errors.Is(err, unix.EBUSY) {
		return fmt.Errorf("ensure table: %w (%w)",
			&ForeignError{t.table.Name, "a set or chain of it has another type than ours"}, err)
	}

	if err == nil {
		err = t.removeOldFeeds()
	}

	return kernelError("ensure table", err)
}

// wake clears the flag dormant of the table. The caller holds the write lock.
func (t *Table) wake() error {
	t.write.AddTable(t.table)
	return kernelError("wake the dormant table (flags dormant)", t.write.Flush())
}

// checkOurs returns what is there, and a *ForeignError if the table is somebody else's. The look takes
// several messages, and a table that is deleted and made again in between looks like neither. So only
// what is found twice counts.
func (t *Table) checkOurs() (snapshot, error) {
	var foreign *ForeignError
	for range 2 {
		s, err := t.inspect(t.write)
		if err == nil {
			err = t.checkForeign(s)
		}
		if !errors.As(err, &foreign) {
			return s, err
		}
	}
	return snapshot{}, foreign
}

// changeAllow commits, in one transaction, the messages of queue and the changes of the allow sets.
// The caller holds the write lock.
func (t *Table) changeAllow(queue func() error) error {
	v4, v6, err := intervals(t.allow)
	if err != nil {
		return err
	}

	type planner func(*nftables.Conn, *nftables.Set, []interval) (intervalChange, error)
	for _, plan := range []planner{planAllow, replaceAllow} {
		change4, err4 := plan(t.write, allowSet(t.table, false), v4)
		change6, err6 := plan(t.write, allowSet(t.table, true), v6)
		if err := errors.Join(err4, err6); err != nil {
			return err
		}

		// A queueing error stays in the connection too, whose Flush then sends nothing: no
		// transaction is ever sent by half.
		err = errors.Join(queue(), change4.queue(t.write), change6.queue(t.write), t.write.Flush())
		if !errors.Is(err, unix.ENOENT) && !errors.Is(err, unix.EEXIST) {
			return err
		}
		// Another program changed a set after the look: replace it without a look.
	}

	return err
}

// queueLayout queues the whole layout without the elements.
func (t *Table) queueLayout() error {
	c := t.write
	c.AddTable(t.table)
	var errs []error
	for _, s := range t.wantedSets() {
		errs = append(errs, c.AddSet(s, nil))
		s.ID = 0 // valid in this transaction only
	}

	counters := []string{counterDenied}
	for _, name := range t.feeds {
		counters = append(counters, counterFeed+name)
	}
	if t.limits.Limits {
		counters = append(counters, limiterCounters()...)
	}
	for _, name := range counters {
		c.AddObj(counterObject(t.table, name))
	}

	discovery := t.discoverySet()
	errs = append(errs, c.AddSet(discovery, discoveryElements()))
	chains := t.rules(discovery)

	// All chains come before the first rule, since rules jump to them.
	for _, r := range chains {
		chain := &nftables.Chain{Name: r.name, Table: t.table}
		if r.hook != nil {
			chain = t.baseChain(r)
		}
		c.AddChain(chain)
		c.FlushChain(chain)
	}
	for _, r := range chains {
		t.queueRules(r)
	}
	return errors.Join(errs...)
}

func (t *Table) baseChain(r chainRules) *nftables.Chain {
	policy, priority := nftables.ChainPolicyAccept, nftables.ChainPriority(r.priority())
	return &nftables.Chain{
		Name: r.name, Table: t.table, Type: nftables.ChainTypeFilter, Hooknum: r.hook,
		Priority: &priority, Policy: &policy,
	}
}

func (t *Table) queueRules(r chainRules) {
	chain := &nftables.Chain{Name: r.name, Table: t.table}
	for _, exprs := range r.rules {
		t.write.AddRule(&nftables.Rule{Table: t.table, Chain: chain, Exprs: exprs})
	}
}

// discoverySet is an anonymous set: it lives and dies with the rule that refers to it, so each
// transaction has a new one. Adding it gives it its name and number.
func (t *Table) discoverySet() *nftables.Set {
	return &nftables.Set{
		Table: t.table, Anonymous: true, Constant: true,
		KeyType: nftables.TypeICMP6Type,
	}
}

func discoveryElements() (elems []nftables.SetElement) {
	for _, t := range discoveryTypes() {
		elems = append(elems, nftables.SetElement{Key: []byte{t}})
	}
	return elems
}

// SetAllow makes the allow sets hold these prefixes and no others, in one transaction; prefixes may
// overlap. Later calls of Ensure restore the new list, even if this call failed with ErrGone. The
// kernel takes a millisecond for a hundred, but seconds for tens of thousands.
func (t *Table) SetAllow(ctx context.Context, prefixes []netip.Prefix) error {
	if _, _, err := intervals(prefixes); err != nil {
		return fmt.Errorf("set allowlist: %w", err)
	}
	if err := t.lockWrite(ctx); err != nil {
		return fmt.Errorf("set allowlist: %w", err)
	}
	defer t.writeMu.Unlock()

	t.allow = slices.Clone(prefixes)
	err := t.changeAllow(func() error { return nil })
	if errors.Is(err, unix.ENOENT) {
		return fmt.Errorf("set allowlist: %w", ErrGone)
	}
	if err == nil { // the kernel accepts an empty list on a missing table
		err = t.checkSets()
	}

	return kernelError("set allowlist", err)
}
