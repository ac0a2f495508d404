package firewall

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"

	"github.com/google/nftables"
	"github.com/google/nftables/binaryutil"
	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"
)

// chainPriority is before raw (-300), thus before conntrack (-200): a banned source costs least there, and established flows are cut too.
const chainPriority = -310

// Ensure lays out the table in one transaction: creates what is missing, keeps the elements of the ban sets, replaces rules, ports and
// the allow sets. There is no moment at which a ban does not hold. A new MaxBans takes effect on an existing set from Linux 6.3 on.
//
// Errors to branch on: *ForeignError (nothing was changed), ErrPermission, ErrUnsupported.
func (t *Table) Ensure(ctx context.Context) error {
	if err := t.lockWrite(ctx); err != nil {
		return fmt.Errorf("ensure table: %w", err)
	}
	defer t.writeMu.Unlock()
	if err := t.checkForeign(); err != nil {
		return fmt.Errorf("ensure table: %w", err)
	}
	v4, v6, err := intervals(t.allow)
	if err != nil {
		return fmt.Errorf("ensure table: %w", err)
	}
	queued := t.queueLayout(v4, v6)
	if err := errors.Join(queued, t.write.Flush()); err != nil {
		if errors.Is(err, unix.EEXIST) || errors.Is(err, unix.EBUSY) {
			return fmt.Errorf("ensure table: %w (%w)", &ForeignError{t.table.Name, "a set or chain of it has another type than ours"}, err)
		}
		return kernelError("ensure table", err)
	}
	return nil
}

// queueLayout queues everything but the bans. A queueing error stays in the connection, whose Flush then sends nothing and returns it.
func (t *Table) queueLayout(allow4, allow6 []interval) error {
	c := t.write
	c.AddTable(t.table)
	var errs []error
	for _, s := range t.ksets {
		errs = append(errs, c.AddSet(s, nil))
		s.ID = 0 // valid in this transaction only
	}
	for _, is6 := range []bool{false, true} {
		set, ivs := allowSet(t.table, is6), allow4
		if is6 {
			ivs = allow6
		}
		errs = append(errs, c.AddSet(set, nil), replaceAllow(c, set, ivs))
	}
	pre := c.AddChain(t.baseChain())
	sip := c.AddChain(&nftables.Chain{Name: chainSIP, Table: t.table})
	c.FlushChain(pre)
	c.FlushChain(sip)
	udp, err := t.queuePorts(UDP)
	errs = append(errs, err)
	tcp, err := t.queuePorts(TCP)
	errs = append(errs, err)
	preRules, sipRules := rules(t.sets, udp, tcp)
	t.queueRules(pre, preRules)
	t.queueRules(sip, sipRules)
	return errors.Join(errs...)
}

func (t *Table) baseChain() *nftables.Chain {
	policy := nftables.ChainPolicyAccept
	return &nftables.Chain{
		Name: chainPre, Table: t.table, Type: nftables.ChainTypeFilter,
		Hooknum: nftables.ChainHookPrerouting, Priority: nftables.ChainPriorityRef(chainPriority), Policy: &policy,
	}
}

func (t *Table) queueRules(chain *nftables.Chain, rules [][]expr.Any) {
	for _, exprs := range rules {
		t.write.AddRule(&nftables.Rule{Table: t.table, Chain: chain, Exprs: exprs})
	}
}

// queuePorts queues an anonymous set of the SIP ports of a protocol: it lives and dies with its rule. It returns nil if there are none.
func (t *Table) queuePorts(p Protocol) (*nftables.Set, error) {
	ranges := t.sip.merged(p)
	if len(ranges) == 0 {
		return nil, nil
	}
	var elems []nftables.SetElement
	for _, r := range ranges {
		elems = append(elems, nftables.SetElement{Key: binaryutil.BigEndian.PutUint16(r.First)})
		if r.Last < 65535 {
			elems = append(elems, nftables.SetElement{Key: binaryutil.BigEndian.PutUint16(r.Last + 1), IntervalEnd: true})
		}
	}
	set := &nftables.Set{Table: t.table, Anonymous: true, Constant: true, Interval: true, KeyType: nftables.TypeInetService}
	return set, t.write.AddSet(set, elems)
}

// SetAllow replaces the allow sets in one transaction; prefixes may overlap. Later Ensures put back the new list, also if this failed
// with ErrGone.
func (t *Table) SetAllow(ctx context.Context, prefixes []netip.Prefix) error {
	v4, v6, err := intervals(prefixes)
	if err != nil {
		return fmt.Errorf("set allowlist: %w", err)
	}
	if err := t.lockWrite(ctx); err != nil {
		return fmt.Errorf("set allowlist: %w", err)
	}
	defer t.writeMu.Unlock()
	t.allow = slices.Clone(prefixes)
	err = errors.Join(
		replaceAllow(t.write, allowSet(t.table, false), v4),
		replaceAllow(t.write, allowSet(t.table, true), v6),
		t.write.Flush(),
	)
	if errors.Is(err, unix.ENOENT) {
		return fmt.Errorf("set allowlist: %w", ErrGone)
	}
	return kernelError("set allowlist", err)
}
