package bans

import (
	"net/netip"

	"github.com/amifend/amifend/cmd/amifend/internal/compact"
	"github.com/amifend/amifend/firewall"
	"github.com/amifend/amifend/policy"
)

// Key names an element of the kernel: a prefix may have one in each scope.
type Key struct {
	Prefix netip.Prefix
	Scope  firewall.Scope
}

// Compact returns the key in few bytes.
func (k Key) Compact() compact.Key { return compact.Of(k.Prefix, k.Scope) }

// Key returns the key of the ban's element.
func (b Ban) Key() Key { return Key{b.Prefix, b.Scope} }

// Set names a set of the kernel, which has a size of its own.
type Set struct {
	Is6   bool
	Bits  int
	Scope firewall.Scope
}

// Set returns the set that the element is in.
func (k Key) Set() Set { return Set{k.Prefix.Addr().Is6(), k.Prefix.Bits(), k.Scope} }

// Scopes returns all scopes of the firewall.
func Scopes() [3]firewall.Scope {
	return [3]firewall.Scope{firewall.ScopeAll, firewall.ScopeSIP, firewall.ScopeStream}
}

// FirewallScope returns the firewall's scope for one of the policy; 0 for [policy.ScopeNone].
func FirewallScope(s policy.Scope) firewall.Scope {
	switch s {
	case policy.ScopeAll:
		return firewall.ScopeAll
	case policy.ScopeSIP:
		return firewall.ScopeSIP
	case policy.ScopeStream:
		return firewall.ScopeStream
	case policy.ScopeNone:
	}
	return 0
}

// PolicyScope returns the policy's scope for one of the firewall, or [policy.ScopeNone].
func PolicyScope(s firewall.Scope) policy.Scope {
	switch s {
	case firewall.ScopeAll:
		return policy.ScopeAll
	case firewall.ScopeSIP:
		return policy.ScopeSIP
	case firewall.ScopeStream:
		return policy.ScopeStream
	}
	return policy.ScopeNone
}

// ScopeNamed returns the scope whose String is name; 0 for any other name.
func ScopeNamed(name string) firewall.Scope {
	for _, s := range Scopes() {
		if s.String() == name {
			return s
		}
	}
	return 0
}

// Covering returns the keys under which a ban can cover an address: one for each length of prefix
// and each scope.
func Covering(addr netip.Addr) []Key {
	var out []Key
	for _, bits := range firewall.SupportedBits(addr.Is6()) {
		prefix := netip.PrefixFrom(addr, bits).Masked()

		for _, scope := range Scopes() {
			out = append(out, Key{prefix, scope})
		}
	}

	return out
}
