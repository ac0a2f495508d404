// Package allowlist owns who is never banned: what the config allows, and what operators allow by
// command, which outlives a restart. It hands all of it to the watcher of the protected addresses,
// who adds what it finds out itself.
//
//	config, operate ─→ Keeper ── Relist ──→ protect.Watcher ─→ judge, enforcer, denier
//	                   Keeper ←─ rows ────→ journal
package allowlist

import (
	"net/netip"

	"github.com/amifend/amifend/cmd/amifend/internal/config"
	"github.com/amifend/amifend/cmd/amifend/internal/protect"
	"github.com/amifend/amifend/policy"
)

// FromConfig returns the addresses and names in the config that must never be banned.
func FromConfig(c *config.Config) protect.Config {
	out := protect.Config{Allow: c.Allow}

	for _, n := range c.Names {
		out.Names = append(out.Names, protect.Name{Host: n, Reason: "allowlist ([allow] names)"})
	}
	for _, s := range c.Servers {
		out.Servers = append(out.Servers, protect.Server{
			Name: s.Name, Host: s.Host, Addresses: s.Addresses,
		})
	}

	return out
}

// ForPolicy returns a set of protected addresses in the form of the engine.
func ForPolicy(set protect.Set) *policy.Protected {
	entries := make([]policy.ProtectedEntry, len(set.Entries))
	for i, e := range set.Entries {
		entries[i] = policy.ProtectedEntry{Prefix: e.Prefix, Reason: e.Reason}
	}
	return policy.NewProtected(entries, set.OnLink)
}

// ForKernel returns a set of protected addresses in the form of the kernel's allow sets.
func ForKernel(set protect.Set) []netip.Prefix {
	out := make([]netip.Prefix, len(set.Entries))
	for i, e := range set.Entries {
		out[i] = e.Prefix
	}
	return out
}
