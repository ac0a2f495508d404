// Package allowlist owns the lists of allowed addresses and names: those of the config, and those
// that operators allow by command. Allowances by command survive a restart. The package hands all
// lists to the watcher of the protected addresses, which adds the addresses that it finds itself.
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

// ForPolicy converts a set of protected addresses to the engine's form.
func ForPolicy(set protect.Set) *policy.Protected {
	entries := make([]policy.ProtectedEntry, len(set.Entries))
	for i, e := range set.Entries {
		entries[i] = policy.ProtectedEntry{Prefix: e.Prefix, Reason: e.Reason}
	}
	return policy.NewProtected(entries, set.OnLink)
}

// ForKernel converts a set of protected addresses to the prefixes of the kernel's allow sets.
func ForKernel(set protect.Set) []netip.Prefix {
	out := make([]netip.Prefix, len(set.Entries))
	for i, e := range set.Entries {
		out[i] = e.Prefix
	}
	return out
}
