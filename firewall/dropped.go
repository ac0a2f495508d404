package firewall

import (
	"context"
	"fmt"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
)

// Dropped counts the packets that bans dropped.
type Dropped struct{ Packets, Bytes uint64 }

// Dropped reads what the bans of each scope dropped, from the counters of the rules: what ended bans
// dropped is included, and the cost does not depend on how many bans there are. The counters begin
// anew when the rules are laid out anew, as by Ensure after other programs changed the table, and by
// SetPorts.
//
// Error to branch on: ErrGone.
func (t *Table) Dropped(ctx context.Context) (map[Scope]Dropped, error) {
	if err := t.lockRead(ctx); err != nil {
		return nil, fmt.Errorf("read the counters of dropped packets: %w", err)
	}
	defer t.readMu.Unlock()

	out := make(map[Scope]Dropped)
	for scope, chain := range map[Scope]string{
		ScopeAll: chainPre, ScopeSIP: chainSIP, ScopeStream: chainStream,
	} {
		rules, err := t.read.GetRules(t.table, &nftables.Chain{Name: chain, Table: t.table})
		if err != nil {
			return nil, readError("read the counters of dropped packets", err)
		}

		// The dump of a chain that is not there is empty.
		if len(rules) == 0 {
			return nil, fmt.Errorf("read the counters of dropped packets: %w", ErrGone)
		}

		// Only the rules of bans have counters of their own: that of the deny sets is an object.
		var sum Dropped
		for _, r := range rules {
			for _, e := range r.Exprs {
				if c, ok := e.(*expr.Counter); ok {
					sum.Packets += c.Packets
					sum.Bytes += c.Bytes
				}
			}
		}
		out[scope] = sum
	}
	return out, nil
}
