package firewall

import (
	"fmt"
	"net/netip"
	"os"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/amifend/amifend/firewall/firewalltest"
)

func TestMain(m *testing.M) { firewalltest.Main(leakCheck{m}) }

// leakCheck fails the run if a goroutine is left after the tests.
type leakCheck struct{ m *testing.M }

func (l leakCheck) Run() int {
	code := l.m.Run()
	if code != 0 {
		return code
	}
	if err := goleak.Find(); err != nil {
		fmt.Fprintln(os.Stderr, "goleak:", err)
		return 1
	}

	return 0
}

// open opens a table in a namespace and lays it out.
func open(t testing.TB, ns *firewalltest.NS, o Options) *Table {
	t.Helper()
	o.NetNS = ns.FD()
	table, err := Open(o)
	if err != nil {
		t.Fatal(err)
	}

	t.Cleanup(func() {
		if err := table.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})

	ensure(t, table)
	return table
}

func ensure(t testing.TB, table *Table) {
	t.Helper()
	if err := table.Ensure(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// apply applies changes of which none may be rejected.
func apply(t testing.TB, table *Table, changes ...Change) {
	t.Helper()
	rejected, err := table.Apply(t.Context(), changes)
	if err != nil {
		t.Fatal(err)
	}
	if len(rejected) > 0 {
		t.Fatalf("rejected %v", rejected)
	}
}

func bans(t testing.TB, table *Table) []Element {
	t.Helper()
	elems, err := table.Bans(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return elems
}

// ban is a ban from now on; for a negative or zero time it is one that is over.
func ban(prefix string, scope Scope, d time.Duration) Change {
	return Change{Ban: Ban{netip.MustParsePrefix(prefix), scope, time.Now().Add(d)}}
}

func lift(prefix string, scope Scope) Change {
	return Change{Ban: Ban{Prefix: netip.MustParsePrefix(prefix), Scope: scope}, Lift: true}
}

func prefixes(texts ...string) []netip.Prefix {
	var out []netip.Prefix
	for _, s := range texts {
		out = append(out, netip.MustParsePrefix(s))
	}
	return out
}

// manyBans are n bans of IPv4 hosts for an hour, ascending from 100.64.0.0.
func manyBans(n int) []Change {
	changes := make([]Change, n)
	until := time.Now().Add(time.Hour)
	for i := range changes {
		addr := netip.AddrFrom4([4]byte{100, byte(64 + i>>16), byte(i >> 8), byte(i)})
		changes[i] = Change{Ban: Ban{netip.PrefixFrom(addr, 32), ScopeAll, until}}
	}
	return changes
}

// needKernel skips a test if the kernel cannot do what it is about. CI must not take that for a passed
// test.
func needKernel(t testing.TB, missing error) {
	t.Helper()
	switch {
	case missing == nil:
	case os.Getenv("CI") == "true":
		t.Fatal(missing)
	default:
		t.Skip(missing)
	}
}

// bothWays runs a test with each way of refreshing a ban, whatever the kernel's own is.
func bothWays(t *testing.T, table *Table, test func(t *testing.T)) {
	probed := table.updates
	defer func() { table.updates = probed }()
	for name, updates := range map[string]bool{"update": true, "replace": false} {
		t.Run(name, func(t *testing.T) {
			if updates && !probed {
				t.Skip("this kernel does not update elements (before 6.12)")
			}
			table.updates = updates
			test(t)
		})
	}
}
