package firewall_test

import (
	"errors"
	"net/netip"
	"testing"
	"time"

	"github.com/amifend/amifend/firewall"
	"github.com/amifend/amifend/firewall/firewalltest"
)

func openTable(t *testing.T, o firewall.Options) *firewall.Table {
	t.Helper()
	o.NetNS = firewalltest.New(t).FD()
	table, err := firewall.Open(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { table.Close() })

	if err := table.Ensure(t.Context()); err != nil {
		t.Fatal(err)
	}
	return table
}

func TestBanAndLiftOneAddress(t *testing.T) {
	table := openTable(t, firewall.Options{})

	for text, stored := range map[string]string{
		"192.0.2.1":        "192.0.2.1/32",
		"::ffff:192.0.2.2": "192.0.2.2/32",
		"2001:db8::1":      "2001:db8::1/128",
		"fe80::1%eth0":     "fe80::1/128",
	} {
		addr := netip.MustParseAddr(text)
		if err := table.Ban(t.Context(), addr, firewall.ScopeSIP, time.Hour); err != nil {
			t.Fatal(err)
		}

		prefix := netip.MustParsePrefix(stored)
		e, found, err := table.Element(t.Context(), prefix, firewall.ScopeSIP)
		if err != nil || !found || e.Timeout <= 59*time.Minute || e.Timeout > time.Hour {
			t.Errorf("%s banned: %+v, %t, %v", text, e, found, err)
		}

		if err := table.Lift(t.Context(), addr, firewall.ScopeSIP); err != nil {
			t.Fatal(err)
		}
	}

	if left, err := table.Bans(t.Context()); err != nil || len(left) > 0 {
		t.Errorf("left after the lifts: %v, %v", left, err)
	}
}

// A mistake of the caller, and a full set, are errors: nothing is left to look at.
func TestBanFailsAloud(t *testing.T) {
	table := openTable(t, firewall.Options{MaxBans: 1})
	addr := netip.MustParseAddr("192.0.2.1")

	for name, err := range map[string]error{
		"no scope":       table.Ban(t.Context(), addr, 0, time.Hour),
		"no address":     table.Ban(t.Context(), netip.Addr{}, firewall.ScopeAll, time.Hour),
		"no time":        table.Ban(t.Context(), addr, firewall.ScopeAll, 0),
		"lift, no scope": table.Lift(t.Context(), addr, 0),
	} {
		if !errors.Is(err, firewall.ErrInvalid) {
			t.Errorf("%s: %v, want ErrInvalid", name, err)
		}
	}

	if err := table.Ban(t.Context(), addr, firewall.ScopeAll, time.Hour); err != nil {
		t.Fatal(err)
	}
	err := table.Ban(t.Context(), netip.MustParseAddr("192.0.2.2"), firewall.ScopeAll, time.Hour)
	rejected, ok := errors.AsType[firewall.Rejected](err)
	if !errors.Is(err, firewall.ErrFull) || !ok ||
		rejected.Change.Prefix.String() != "192.0.2.2/32" {
		t.Errorf("ban in a full set: %v, want ErrFull of that ban", err)
	}
}
