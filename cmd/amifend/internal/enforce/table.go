package enforce

import (
	"context"
	"fmt"
	"io"
	"net/netip"

	"github.com/amifend/amifend/firewall"
)

// Table is the kernel's table, as far as this package needs it. Its methods set a desired state and
// are idempotent. They may be called from several goroutines. [Kernel] implements it, and so does
// [Dry].
type Table interface {
	Ensure(ctx context.Context) error
	SetAllow(ctx context.Context, allow []netip.Prefix) error
	SetPorts(ctx context.Context, ports firewall.Ports) error
	// Clear lifts all bans, and lays out the table.
	Clear(ctx context.Context) error
	Apply(ctx context.Context, changes []firewall.Change) ([]firewall.Rejected, error)
	Elements(ctx context.Context) (*firewall.Elements, error)
	Dropped(ctx context.Context) (map[firewall.Scope]firewall.Dropped, error)
	Element(
		ctx context.Context, prefix netip.Prefix, scope firewall.Scope,
	) (firewall.Element, bool, error)
	DenyTable
	FeedTable
}

// FeedTable is the part of the table that the [Feeder] needs.
type FeedTable interface {
	SetFeeds(ctx context.Context, names []string) error
	SetFeed(ctx context.Context, name string, have, deny []netip.Prefix) error
	FeedCounts(ctx context.Context) (map[string]firewall.Denied, error)
}

// DenyTable is the part of the table that the [Denier] needs.
type DenyTable interface {
	SetDeny(ctx context.Context, deny []netip.Prefix) error
	Denied(ctx context.Context) (firewall.Denied, error)
}

// WatchedTable is a table that is also watched for what others do to it.
type WatchedTable interface {
	Table
	fmt.Stringer
	io.Closer
	Watch(ctx context.Context, damaged func()) error
}

// Kernel is the real table, and the lock that keeps another amifend from using it.
type Kernel struct {
	*firewall.Table
	lock io.Closer
	name string
}

// OpenKernel locks and opens a table. It changes nothing in the kernel.
func OpenKernel(o firewall.Options) (*Kernel, error) {
	lock, err := firewall.Lock(o.Table)
	if err != nil {
		return nil, err
	}

	t, err := firewall.Open(o)
	if err != nil {
		lock.Close()
		return nil, err
	}

	return &Kernel{Table: t, lock: lock, name: o.Table}, nil
}

func (t *Kernel) String() string { return "nftables table inet " + t.name }

// Close closes the table, then gives the lock back. The bans stay in the kernel.
func (t *Kernel) Close() error {
	err := t.Table.Close()
	t.lock.Close()
	return err
}

// Dry takes every ban and does nothing. It is the firewall of `backend = "log"` and of
// `observe = true`.
type Dry struct{}

func (Dry) String() string { return "none: a dry run" }

// isDry reports whether what a table takes reaches no kernel.
func isDry(table any) bool {
	_, dry := table.(Dry)
	return dry
}

// Close does nothing.
func (Dry) Close() error { return nil }

// Ensure does nothing.
func (Dry) Ensure(context.Context) error { return nil }

// Clear does nothing.
func (Dry) Clear(context.Context) error { return nil }

// SetAllow does nothing.
func (Dry) SetAllow(context.Context, []netip.Prefix) error { return nil }

// SetPorts does nothing.
func (Dry) SetPorts(context.Context, firewall.Ports) error { return nil }

// SetDeny does nothing.
func (Dry) SetDeny(context.Context, []netip.Prefix) error { return nil }

// Denied returns that nothing was dropped.
func (Dry) Denied(context.Context) (firewall.Denied, error) { return firewall.Denied{}, nil }

// SetFeeds does nothing.
func (Dry) SetFeeds(context.Context, []string) error { return nil }

// SetFeed does nothing.
func (Dry) SetFeed(_ context.Context, _ string, _, _ []netip.Prefix) error { return nil }

// FeedCounts returns none.
func (Dry) FeedCounts(context.Context) (map[string]firewall.Denied, error) { return nil, nil }

// Dropped returns that nothing was dropped.
func (Dry) Dropped(context.Context) (map[firewall.Scope]firewall.Dropped, error) { return nil, nil }

// Elements returns none.
func (Dry) Elements(context.Context) (*firewall.Elements, error) {
	return firewall.NewElements(), nil
}

// Element returns none.
func (Dry) Element(context.Context, netip.Prefix, firewall.Scope) (firewall.Element, bool, error) {
	return firewall.Element{}, false, nil
}

// Apply rejects nothing.
func (Dry) Apply(context.Context, []firewall.Change) ([]firewall.Rejected, error) {
	return nil, nil
}

// Watch waits for the end of ctx.
func (Dry) Watch(ctx context.Context, _ func()) error {
	<-ctx.Done()
	return ctx.Err()
}
