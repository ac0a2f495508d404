package firewall

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/amifend/amifend/firewall/firewalltest"
)

// All bans go, and nothing else: the rules are there, and so are the lists of who is allowed and who
// is denied.
func TestClear(t *testing.T) {
	ns := firewalltest.New(t)
	table := open(t, ns, Options{Allow: prefixes("203.0.113.0/24")})
	if err := table.SetDeny(t.Context(), prefixes("198.51.100.0/24")); err != nil {
		t.Fatal(err)
	}
	// The kernel lists new sets last, so the lines are compared in one order.
	listed := func() string {
		lines := strings.Split(ns.NFT(t, "list table inet amifend"), "\n")
		slices.Sort(lines)
		return strings.Join(lines, "\n")
	}
	empty := listed()
	var all []Change
	for _, scope := range []Scope{ScopeAll, ScopeSIP, ScopeStream} {
		for _, p := range []string{
			"192.0.2.1/32", "192.0.2.0/24", "2001:db8::1/128", "2001:db8::/64", "2001:db8::/56",
			"2001:db8::/48",
		} {
			all = append(all, ban(p, scope, time.Hour))
		}
	}
	apply(t, table, all...)

	if err := table.Clear(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := listed(); got != empty {
		t.Errorf("the table is\n%s\nwant\n%s", got, empty)
	}

	apply(t, table, all...) // the new sets are the ones that the rules look up
	if n := len(bans(t, table)); n != len(all) {
		t.Errorf("%d bans, want %d", n, len(all))
	}
	if ok, err := table.complete(table.read); !ok || err != nil {
		t.Errorf("the layout is not complete: %v", err)
	}
}

// A table that is gone is laid out; a chain of the operator that looks up a set of ours keeps none of
// the bans in it.
func TestClearOfATableThatOthersChanged(t *testing.T) {
	ns := firewalltest.New(t)
	table := open(t, ns, Options{})
	apply(t, table, ban("192.0.2.1/32", ScopeAll, time.Hour))
	ns.NFT(t, "add chain inet amifend mine; add rule inet amifend mine ip saddr @ban4 counter")
	if err := table.Clear(t.Context()); err != nil {
		t.Fatal(err)
	}
	if n := len(bans(t, table)); n != 0 {
		t.Errorf("%d bans are left", n)
	}

	ns.NFT(t, "flush ruleset")
	if err := table.Clear(t.Context()); err != nil {
		t.Fatal(err)
	}
	apply(t, table, ban("192.0.2.1/32", ScopeAll, time.Hour))
}

// Lifting 262,144 bans is one short transaction.
func BenchmarkClear(b *testing.B) {
	table := open(b, firewalltest.New(b), Options{})
	for range b.N {
		b.StopTimer()
		apply(b, table, manyBans(DefaultMaxBans)...)
		b.StartTimer()
		if err := table.Clear(context.Background()); err != nil {
			b.Fatal(err)
		}
	}
}

// A dormant table is woken: "invalid argument" would help nobody who lifts all bans.
func TestClearOfADormantTable(t *testing.T) {
	ns := firewalltest.New(t)
	table := open(t, ns, Options{})
	apply(t, table, ban("192.0.2.1/32", ScopeAll, time.Hour))
	ns.NFT(t, "flush ruleset") // an empty one: the kernel adds no chain to it while it wakes
	ns.NFT(t, "add table inet amifend { flags dormant; }")

	if err := table.Clear(t.Context()); err != nil {
		t.Fatal(err)
	}
	if ok, err := table.complete(table.read); !ok || err != nil || len(bans(t, table)) != 0 {
		t.Errorf("complete: %t, %v", ok, err)
	}
}
