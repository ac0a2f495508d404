package compact

import (
	"cmp"
	"net/netip"
	"slices"
	"testing"

	"github.com/amifend/amifend/firewall"
)

// A key has all of its prefix and scope, and its order is that of prefixes.
func TestKey(t *testing.T) {
	var keys []Key
	for _, p := range []string{
		"0.0.0.0/24", "192.0.2.0/24", "192.0.2.0/32", "192.0.2.1/32", "255.255.255.255/32",
		"::1/128", "2001:db8::/48", "2001:db8::/64", "2001:db8::1/128", "ffff::/56",
	} {
		prefix := netip.MustParsePrefix(p)
		for scope := firewall.ScopeAll; scope <= firewall.ScopeStream; scope++ {
			k := Of(prefix, scope)
			if k.Prefix() != prefix || k.Scope() != scope {
				t.Errorf("%s %s became %s %s", prefix, scope, k.Prefix(), k.Scope())
			}
			if k != Of(prefix, firewall.ScopeAll).WithScope(scope) {
				t.Errorf("%s %s: another key by its scope", prefix, scope)
			}
			keys = append(keys, k)
		}
	}

	if !slices.IsSortedFunc(keys, func(a, b Key) int {
		return cmp.Or(a.Prefix().Compare(b.Prefix()), cmp.Compare(a.Scope(), b.Scope()))
	}) {
		t.Fatal("the test's keys are not in order")
	}
	if !slices.IsSortedFunc(keys, Key.Compare) {
		t.Errorf("the order is %v", keys)
	}
}
