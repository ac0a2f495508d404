package firewall

import (
	"context"
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

// Remove removes the whole table from the kernel, and every ban with it. It reports whether there
// was one. Stop the program that keeps the table first (see [Lock]), or it lays out the table
// again.
//
// Errors to branch on: *ForeignError (nothing was changed), ErrPermission.
func (t *Table) Remove(ctx context.Context) (bool, error) {
	if err := t.lockWrite(ctx); err != nil {
		return false, fmt.Errorf("remove table: %w", err)
	}
	defer t.writeMu.Unlock()

	s, err := t.inspect(t.write)
	if err == nil {
		err = t.checkForeign(s)
	}
	if err != nil {
		return false, fmt.Errorf("remove table: %w", err)
	}

	if s.table == nil {
		return false, nil
	}
	t.write.DelTable(t.table)

	err = t.write.Flush()
	if errors.Is(err, unix.ENOENT) { // removed meanwhile
		return false, nil
	}
	return err == nil, kernelError("remove table", err)
}

// SetPorts replaces the ports that the scopes sip and stream block and lays out the table with
// them, in one transaction: every ban holds at every moment. If that fails, the next Ensure has the
// new ports. A field that is nil takes its default.
func (t *Table) SetPorts(ctx context.Context, ports Ports) error {
	ports = ports.withDefaults()
	if err := ports.validate(); err != nil {
		return fmt.Errorf("set ports: %w", err)
	}
	if err := t.lockWrite(ctx); err != nil {
		return fmt.Errorf("set ports: %w", err)
	}

	t.readMu.Lock() // Watch's checks compare rules with it
	t.ports = ports
	t.readMu.Unlock()
	t.writeMu.Unlock()
	return t.Ensure(ctx)
}
