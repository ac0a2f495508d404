package firewall

import (
	"net/netip"
	"runtime"
	"testing"

	"github.com/amifend/amifend/firewall/firewalltest"
)

// A walk over all elements allocates little more than the list that it returns.
func TestElementsAllocatesLittle(t *testing.T) {
	const many = 50_000
	table := open(t, firewalltest.New(t), Options{})
	apply(t, table, manyBans(many)...)
	if _, err := table.Elements(t.Context()); err != nil {
		t.Fatal(err)
	}

	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	e, err := table.Elements(t.Context())
	runtime.ReadMemStats(&after)
	if err != nil || e.Len() != many {
		t.Fatalf("%d elements, %v", e.Len(), err)
	}
	if n := (after.TotalAlloc - before.TotalAlloc) / many; n > 80 {
		t.Errorf("%d bytes an element", n)
	}
}

func TestElementsFind(t *testing.T) {
	at := func(p string, s Scope, packets uint64) Element {
		return Element{Prefix: netip.MustParsePrefix(p), Scope: s, Packets: packets, Counted: true}
	}
	want := []Element{
		at("192.0.2.1/32", ScopeAll, 1), at("192.0.2.2/32", ScopeAll, 2),
		at("192.0.2.0/24", ScopeAll, 3), at("2001:db8::/64", ScopeAll, 4),
		at("2001:db8::/64", ScopeSIP, 5), at("2001:db8::/64", ScopeStream, 6),
	}
	e := NewElements(want[4], want[1], at("192.0.2.1/32", ScopeAll, 9), want[0], want[5], want[2],
		want[3], at("192.0.2.0/25", ScopeAll, 7)) // of which there is no set
	for _, w := range want {
		if got, ok := e.Find(w.Prefix, w.Scope); !ok || got != w {
			t.Errorf("found %+v, %v, want %+v", got, ok, w)
		}
	}
	if _, ok := e.Find(netip.MustParsePrefix("192.0.2.3/32"), ScopeAll); ok || e.Len() != len(want) {
		t.Errorf("%d elements", e.Len())
	}
	if _, ok := (*Elements)(nil).Find(want[0].Prefix, ScopeAll); ok {
		t.Error("a list of nothing has something")
	}
}
