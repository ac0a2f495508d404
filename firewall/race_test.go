package firewall

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"sync"
	"testing"
	"time"

	"github.com/amifend/amifend/firewall/firewalltest"
)

// brief are 1,000 random changes to 4,096 hosts: bans that end soon, and lifts of such.
func brief() []Change {
	out := make([]Change, batchSize)
	for i := range out {
		host := netip.AddrFrom4([4]byte{100, 64, byte(rand.IntN(16)), byte(rand.IntN(256))})
		out[i] = Change{
			Ban: Ban{
				netip.PrefixFrom(host, 32), Scope(1 + rand.IntN(2)),
				time.Now().Add(time.Duration(rand.IntN(1500)) * time.Millisecond),
			},
			Lift: rand.IntN(4) == 0,
		}
	}

	return out
}

// Some elements expire between any look of Apply and its next transaction.
func TestApplyWhileElementsExpire(t *testing.T) {
	ns := firewalltest.New(t)
	table := open(t, ns, Options{})
	bothWays(t, table, func(t *testing.T) {
		for begun := time.Now(); time.Since(begun) < 2*time.Second; {
			apply(t, table, brief()...)
		}
		kept := ban("192.0.2.1/32", ScopeAll, time.Hour)
		apply(t, table, append(brief(), kept)...)

		if _, found, err := table.Element(t.Context(), kept.Prefix, ScopeAll); !found ||
			err != nil {
			t.Errorf("the ban among them: found %t, %v", found, err)
		}
		apply(t, table, lift("192.0.2.1/32", ScopeAll))
	})
}

// Whatever moment the table goes away at, Apply says so and the same changes can be applied again.
func TestApplyWhileTheTableGoes(t *testing.T) {
	ns := firewalltest.New(t)
	table := open(t, ns, Options{})
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
	defer cancel()

	var wg sync.WaitGroup
	defer wg.Wait()
	wg.Go(func() {
		for ctx.Err() == nil {
			_, _ = ns.Command("nft", "flush", "ruleset")
		}
	})

	// Nothing may be rejected: a table that is gone is not a full set.
	gone := 0
	for ctx.Err() == nil {
		rejected, err := table.Apply(t.Context(), brief())
		switch {
		case len(rejected) > 0:
			t.Fatal(fmt.Errorf("rejected: %w", rejected[0].Err))
		case errors.Is(err, ErrGone):
			gone++
			ensure(t, table)
		case err != nil:
			t.Fatal(err)
		}
	}

	if gone == 0 {
		t.Error("the table never went away")
	}
}
