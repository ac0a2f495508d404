package firewall

import (
	"context"
	"errors"
	"fmt"

	"github.com/google/nftables"
	"golang.org/x/sys/unix"
)

// Clear lifts all bans, and lays out the table as Ensure does, in one transaction. The allow and deny
// sets keep their elements. The ban sets are replaced by empty ones: for 262,144 bans that takes the
// kernel a sixteenth of the time that it needs to remove their elements.
//
// Errors to branch on: those of Ensure.
func (t *Table) Clear(ctx context.Context) error {
	if err := t.lockWrite(ctx); err != nil {
		return fmt.Errorf("lift all bans: %w", err)
	}
	defer t.writeMu.Unlock()

	// Look before the first change: a table of somebody else stays as it is.
	s, err := t.inspect(t.write)
	if err == nil {
		err = t.checkForeign(s)
	}
	if err != nil {
		return fmt.Errorf("lift all bans: %w", err)
	}

	// The kernel refuses to add rules to a dormant table (EINVAL).
	if s.table != nil && s.table.Flags&nftables.TableFlagDormant != 0 {
		if err := t.wake(); err != nil {
			return err
		}
	}

	// A chain of the operator in our table may look up a set, which keeps the set from being
	// deleted. Then its elements are removed, however long that takes.
	err = t.changeAllow(func() error { return t.queueClear(s, t.write.DelSet) })
	if errors.Is(err, unix.EBUSY) {
		err = t.changeAllow(func() error { return t.queueClear(s, t.write.FlushSet) })
	}
	return kernelError("lift all bans", err)
}

// queueClear queues the layout with empty ban sets. empty queues that a set of the kernel goes, or
// its elements do.
func (t *Table) queueClear(s snapshot, empty func(*nftables.Set)) error {
	// The rules that look up the sets go first.
	for _, name := range []string{chainPre, chainSIP, chainStream} {
		if c := s.chains[name]; c != nil {
			t.write.FlushChain(c)
		}
	}
	for _, set := range t.ksets {
		if s.sets[set.Name] != nil {
			empty(set)
		}
	}
	return t.queueLayout()
}
