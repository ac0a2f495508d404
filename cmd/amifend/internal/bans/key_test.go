package bans_test

import (
	"net/netip"
	"testing"

	"github.com/amifend/amifend/cmd/amifend/internal/bans"
	"github.com/amifend/amifend/firewall"
	"github.com/amifend/amifend/policy"
)

// The libraries' scopes are translated there and back, and by name.
func TestScopes(t *testing.T) {
	for _, s := range bans.Scopes() {
		if got := bans.FirewallScope(bans.PolicyScope(s)); got != s ||
			bans.ScopeNamed(s.String()) != s {
			t.Errorf("%s becomes %s", s, got)
		}
	}

	if bans.FirewallScope(policy.ScopeNone) != 0 || bans.PolicyScope(0) != policy.ScopeNone {
		t.Error("no scope becomes one")
	}
	if bans.ScopeNamed("") != 0 || bans.ScopeNamed("Scope(0)") != 0 {
		t.Error("what names no scope names one")
	}
}

// Whatever covers an address is among the keys that can.
func TestCovering(t *testing.T) {
	for _, text := range []string{"203.0.113.5", "2001:db8::5"} {
		addr := netip.MustParseAddr(text)
		keys := bans.Covering(addr)
		if want := 3 * len(firewall.SupportedBits(addr.Is6())); len(keys) != want {
			t.Errorf("%s: %d keys, want %d", addr, len(keys), want)
		}

		for _, k := range keys {
			if !k.Prefix.Contains(addr) || k.Prefix != k.Prefix.Masked() {
				t.Errorf("%s is not in %s", addr, k.Prefix)
			}
		}
	}
}
