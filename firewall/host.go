package firewall

import (
	"context"
	"fmt"
	"net/netip"
	"time"
)

// Ban bans one address for d from now on. A ban of the address and scope that runs already gets
// this end, be it later or earlier. To ban many addresses, or prefixes, use Apply.
//
// An IPv4-mapped address is unmapped, and a zone is dropped. Errors to branch on: those of Apply,
// and ErrFull.
func (t *Table) Ban(ctx context.Context, addr netip.Addr, scope Scope, d time.Duration) error {
	if d <= 0 {
		return fmt.Errorf("ban %s: %w: it lasts %s", addr, ErrInvalid, d)
	}
	ban := Ban{Prefix: hostPrefix(addr), Scope: scope, Until: t.now().Add(d)}
	return t.applyOne(ctx, Change{Ban: ban})
}

// Lift ends the ban of one address and scope. It is not an error to lift a ban that is not there.
//
// Errors to branch on: those of Apply.
func (t *Table) Lift(ctx context.Context, addr netip.Addr, scope Scope) error {
	return t.applyOne(ctx, Change{Ban: Ban{Prefix: hostPrefix(addr), Scope: scope}, Lift: true})
}

// applyOne applies one change, and returns also the error of a change that was rejected.
func (t *Table) applyOne(ctx context.Context, c Change) error {
	rejected, err := t.Apply(ctx, []Change{c})
	if err == nil && len(rejected) > 0 {
		return fmt.Errorf("apply change: %w", rejected[0])
	}
	return err
}

// hostPrefix returns the prefix of one address. It is invalid for an invalid address.
func hostPrefix(addr netip.Addr) netip.Prefix {
	addr = addr.Unmap().WithZone("")
	return netip.PrefixFrom(addr, addr.BitLen())
}
