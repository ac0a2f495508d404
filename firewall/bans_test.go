package firewall

import (
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/amifend/amifend/firewall/firewalltest"
)

// A new process finds what an older one, or an operator, left.
func TestBansAreAdopted(t *testing.T) {
	ns := firewalltest.New(t)
	first := open(t, ns, Options{})
	apply(t, first, ban("192.0.2.1/32", ScopeAll, time.Hour),
		ban("2001:db8::/64", ScopeSIP, 2*time.Hour))
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}

	// By hand: one without an end, and one that is not masked.
	ns.NFT(t, "add element inet amifend ban4 { 192.0.2.2 }")
	ns.NFT(t, "add element inet amifend ban4_24 { 192.0.2.3 timeout 3h }")
	second := open(t, ns, Options{})

	want := []string{
		"192.0.2.1/32 all 60", "192.0.2.2/32 all 0", "192.0.2.3/24 all 180",
		"2001:db8::/64 sip 120",
	}
	got := bans(t, second)
	if !slices.Equal(listed(got), want) {
		t.Fatalf("adopted %q, want %q", listed(got), want)
	}
	if got[0].Timeout != got[0].Timeout.Round(time.Hour) && got[0].Timeout > time.Hour {
		t.Errorf("timeout %s, want an hour", got[0].Timeout)
	}

	if got[1].Timeout != 0 {
		t.Errorf("the element without a timeout has %s", got[1].Timeout)
	}

	// Refreshing a permanent element gives it an end.
	bothWays(t, second, func(t *testing.T) {
		apply(t, second, ban("192.0.2.2/32", ScopeAll, time.Hour))
		e, ok, err := second.Element(t.Context(), netip.MustParsePrefix("192.0.2.2/32"), ScopeAll)
		if err != nil || !ok || e.Timeout == 0 {
			t.Errorf("the permanent element did not get a timeout: %+v, %t, %v", e, ok, err)
		}
		ns.NFT(t, "delete element inet amifend ban4 { 192.0.2.2 }")
		ns.NFT(t, "add element inet amifend ban4 { 192.0.2.2 }")
	})

	apply(t, second, lift("192.0.2.2/32", ScopeAll), Change{Ban: got[2].ban(), Lift: true})
	if got := listed(bans(t, second)); !slices.Equal(got, []string{
		"192.0.2.1/32 all 60",
		"2001:db8::/64 sip 120",
	}) {
		t.Errorf("after the lifts: %q", got)
	}
}

func (e Element) ban() Ban { return Ban{Prefix: e.Prefix, Scope: e.Scope} }

// A dump of many messages is complete and has nothing twice, also while the kernel's hash table
// grows (here at 98,304).
func TestBansReadsThemAll(t *testing.T) {
	table := open(t, firewalltest.New(t), Options{})
	want := manyBans(100_000)
	apply(t, table, want...)

	got := bans(t, table)
	if len(got) != len(want) {
		t.Fatalf("%d bans, want %d", len(got), len(want))
	}

	for i, e := range got {
		if e.Prefix != want[i].Prefix || e.Scope != ScopeAll || e.Timeout > time.Hour ||
			e.Expires > e.Timeout || e.Expires < 50*time.Minute {
			t.Fatalf("ban %d is %+v, want %+v", i, e, want[i])
		}
	}
}

func TestElement(t *testing.T) {
	table := open(t, firewalltest.New(t), Options{})
	apply(t, table, ban("2001:db8::/64", ScopeSIP, time.Hour),
		ban("2001:db8::/48", ScopeAll, time.Hour))

	// All of these but the last share an address: length and scope tell them apart.
	for _, tt := range []struct {
		prefix string
		scope  Scope
		want   bool
	}{
		{"2001:db8::/64", ScopeSIP, true},
		{"2001:db8::/64", ScopeAll, false},
		{"2001:db8::/128", ScopeSIP, false},
		{"2001:db8::/48", ScopeAll, true},
		{"2001:db8::/56", ScopeAll, false},
		{"192.0.2.1/32", ScopeSIP, false},
	} {
		e, ok, err := table.Element(t.Context(), netip.MustParsePrefix(tt.prefix), tt.scope)
		if err != nil || ok != tt.want || ok && (e.Prefix.String() != tt.prefix ||
			e.Scope != tt.scope || e.Expires == 0) {
			t.Errorf("Element(%s, %s) = %+v, %t, %v", tt.prefix, tt.scope, e, ok, err)
		}
	}

	if _, _, err := table.Element(t.Context(), netip.MustParsePrefix("192.0.2.0/25"),
		ScopeAll); err == nil {
		t.Error("no error for a length without a set")
	}
}

// The policy counts hosts and prefixes together against one limit: a set that is smaller would
// leave a /64 undropped that the policy takes for banned, and 262,144 forged packets could fill it.
func TestPrefixesHaveAsMuchRoomAsHosts(t *testing.T) {
	table := open(t, firewalltest.New(t), Options{MaxBans: 70_000})
	changes := make([]Change, 70_000)
	for i := range changes {
		net := netip.AddrFrom16([16]byte{
			0x20, 0x01, 0x0d, 0xb8, 0, byte(i >> 16), byte(i >> 8),
			byte(i),
		})

		changes[i] = Change{Ban: Ban{
			netip.PrefixFrom(net, 64), ScopeSIP,
			time.Now().Add(time.Hour),
		}}
	}

	apply(t, table, changes...)
}
