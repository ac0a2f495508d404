package app

import (
	"net/netip"

	"github.com/amifend/amifend/firewall"
)

// order is what the judge wants of a prefix: that what it has is lifted, that it is banned, or first the one and then
// the other.
type order struct {
	lift bool
	why  string // of the lift
	ban  *Ban
}

// mergeOrders makes one order of two that follow each other. A lift undoes the ban before it; a ban after a lift does
// not undo the lift, since it may be of another scope.
func mergeOrders(old, new order) order {
	if !new.lift {
		new.lift, new.why = old.lift, old.why
	}
	return new
}

// key names an element of the kernel: a prefix may have one in each scope.
type key struct {
	prefix netip.Prefix
	scope  firewall.Scope
}

func (b Ban) key() key { return key{b.Prefix, b.Scope} }

// class names a set of the kernel.
type class struct {
	is6   bool
	bits  int
	scope firewall.Scope
}

func (k key) class() class { return class{k.prefix.Addr().Is6(), k.prefix.Bits(), k.scope} }
