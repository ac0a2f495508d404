package app

import (
	"context"
	"fmt"
	"io"
	"net/netip"

	"github.com/amifend/amifend/cmd/amifend/internal/control"
	"github.com/amifend/amifend/firewall"
)

// watchedTable is a table that is also watched for what others do to it.
type watchedTable interface {
	table
	denyTable
	fmt.Stringer
	io.Closer
	Watch(ctx context.Context, damaged func()) error
}

// kernelTable is the real table, and the proof that no other amifend owns it.
type kernelTable struct {
	*firewall.Table
	lock io.Closer
	name string
}

func (t *kernelTable) String() string { return "nftables table inet " + t.name }

func (t *kernelTable) Close() error {
	err := t.Table.Close()
	t.lock.Close()
	return err
}

// dryTable takes every ban and does nothing: the firewall of `backend = "log"` and of `observe = true`.
type dryTable struct{}

func (dryTable) String() string                                   { return control.DryFirewall }
func (dryTable) Close() error                                     { return nil }
func (dryTable) Ensure(context.Context) error                     { return nil }
func (dryTable) SetAllow(context.Context, []netip.Prefix) error   { return nil }
func (dryTable) SetDeny(context.Context, []netip.Prefix) error    { return nil }
func (dryTable) Denied(context.Context) (firewall.Denied, error)  { return firewall.Denied{}, nil }
func (dryTable) Bans(context.Context) ([]firewall.Element, error) { return nil, nil }

func (dryTable) Element(context.Context, netip.Prefix, firewall.Scope) (firewall.Element, bool, error) {
	return firewall.Element{}, false, nil
}

func (dryTable) Apply(context.Context, []firewall.Change) ([]firewall.Rejected, error) {
	return nil, nil
}

func (dryTable) Watch(ctx context.Context, _ func()) error {
	<-ctx.Done()
	return ctx.Err()
}
