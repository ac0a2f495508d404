package firewall

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/amifend/amifend/firewall/firewalltest"
)

// watch runs Watch for the test and returns its calls.
func watch(t *testing.T, table *Table) (calls chan struct{}) {
	t.Helper()
	calls = make(chan struct{}, 1000)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() { ended <- table.Watch(ctx, func() { calls <- struct{}{} }) }()

	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("Watch: %v", err)
		}
	})

	return calls
}

func quiet(t *testing.T, calls chan struct{}, d time.Duration) {
	t.Helper()
	select {
	case <-calls:
		t.Error("damage reported though there was none")
	case <-time.After(d):
	}
}

func reported(t *testing.T, calls chan struct{}) {
	t.Helper()
	select {
	case <-calls:
	case <-time.After(5 * time.Second):
		t.Error("no damage reported")
	}
}

func TestWatchSeesDamage(t *testing.T) {
	for _, damage := range []string{
		"flush ruleset",
		"delete table inet amifend",
		"flush table inet amifend",
		"flush set inet amifend ban4",
		"flush chain inet amifend pre",
		"insert rule inet amifend pre accept",
		"delete element inet amifend ban4 { 192.0.2.1 }",
		"add element inet amifend ban4 { 192.0.2.1 timeout 1s }",
		"add element inet amifend allow4 { 192.0.2.1 }",
		"add table inet amifend { flags dormant; }",
	} {
		t.Run(damage, func(t *testing.T) {
			ns := firewalltest.New(t)
			table := open(t, ns, Options{Poll: time.Hour}) // the notification alone
			apply(t, table, ban("192.0.2.1/32", ScopeAll, time.Hour))
			calls := watch(t, table)
			quiet(t, calls, 20*time.Millisecond)
			ns.NFT(t, damage)
			reported(t, calls)
		})
	}
}

func TestWatchIsQuietOtherwise(t *testing.T) {
	ns := firewalltest.New(t)
	table := open(t, ns, Options{Poll: 10 * time.Millisecond})
	calls := watch(t, table)

	// The last one expires while Watch runs.
	apply(t, table, append(manyBans(3000), ban("192.0.2.1/32", ScopeAll, time.Second))...)
	if err := table.SetAllow(t.Context(), prefixes("10.0.0.0/8")); err != nil {
		t.Fatal(err)
	}

	ensure(t, table)
	ns.NFT(t, blocks("table inet other { set ban4 { type ipv4_addr; } "+
		"chain pre { type filter hook input priority 0; } }"))

	// A table of our name in another family is not ours.
	ns.NFT(t, blocks("table ip amifend { set ban4 { type ipv4_addr; elements = { 192.0.2.1 }; } }"))
	ns.NFT(t, "delete table inet other")
	quiet(t, calls, 1200*time.Millisecond)
}

// Without notifications (a monitor that joined no group hears nothing), the poll notices.
func TestWatchPolls(t *testing.T) {
	for _, damage := range []string{
		"flush ruleset", "flush table inet amifend",
		"add table inet amifend { flags dormant; }",
	} {
		t.Run(damage, func(t *testing.T) {
			ns := firewalltest.New(t)
			table := open(t, ns, Options{Poll: 10 * time.Millisecond})
			const nftablesGroup = 7 // NFNLGRP_NFTABLES
			if err := table.monitor.LeaveGroup(nftablesGroup); err != nil {
				t.Fatal(err)
			}

			calls := watch(t, table)
			quiet(t, calls, 50*time.Millisecond)
			ns.NFT(t, damage)
			reported(t, calls)
		})
	}
}

// When notifications were lost, anything may have happened.
func TestWatchReportsLostNotifications(t *testing.T) {
	ns := firewalltest.New(t)
	table := open(t, ns, Options{Poll: time.Hour})
	if err := table.monitor.SetReadBuffer(1); err != nil { // the kernel's minimum
		t.Fatal(err)
	}

	const elements = "{ 10.0.0.0/8, 172.16.0.0/12, 192.168.0.0/16 }"
	ns.NFT(t, blocks("table inet other { set s { type ipv4_addr; flags interval; "+
		"elements = "+elements+"; } }"))
	for range 20 {
		ns.NFT(t, "flush set inet other s; add element inet other s "+elements)
	}
	reported(t, watch(t, table))
}

// What happened before Watch was called counts too.
func TestWatchMissesNothingBeforeItsStart(t *testing.T) {
	ns := firewalltest.New(t)
	table := open(t, ns, Options{Poll: time.Hour})
	apply(t, table, ban("192.0.2.1/32", ScopeAll, time.Hour))
	ns.NFT(t, "flush set inet amifend ban4")
	reported(t, watch(t, table))
}

// As in the daemon, one goroutine repairs the damage that another one notices, while somebody
// flushes the ruleset again and again.
func TestBansComeBackAfterEveryFlush(t *testing.T) {
	ns := firewalltest.New(t)
	table := open(t, ns, Options{})
	calls := watch(t, table)
	want := manyBans(2500)
	var repairs atomic.Int64
	var wg sync.WaitGroup
	ctx, cancel := context.WithCancel(t.Context())

	// The table may be flushed again between Ensure and Apply.
	repair := func() error {
		for {
			if err := table.Ensure(ctx); err != nil {
				return fmt.Errorf("ensure: %w", err)
			}
			if _, err := table.Apply(ctx, want); !errors.Is(err, ErrGone) {
				return err
			}
		}
	}

	wg.Go(func() {
		for {
			select {
			case <-ctx.Done():
				return
			case <-calls:
			}

			if err := repair(); err != nil && ctx.Err() == nil {
				t.Errorf("repair: %v", err)
			}
			repairs.Add(1)
		}
	})

	for range 20 {
		ns.NFT(t, "flush ruleset")

		// Reads in between must not disturb the repair.
		if _, err := table.Bans(t.Context()); err != nil && !errors.Is(err, ErrGone) {
			t.Errorf("Bans: %v", err)
		}
	}

	// The last repair may still be under way.
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		elems, err := table.Bans(t.Context())
		if err == nil && len(elems) == len(want) {
			break
		}
		if time.Now().After(deadline) {
			t.Errorf("%d bans, %v; want %d", len(elems), err, len(want))
			break
		}
	}

	cancel()
	wg.Wait()
	if ok, err := table.complete(table.read); err != nil || !ok || repairs.Load() == 0 {
		t.Errorf("complete: %t, %v after %d repairs", ok, err, repairs.Load())
	}
}

func TestWatchEndsWhenTheTableIsClosed(t *testing.T) {
	table := open(t, firewalltest.New(t), Options{})
	ended := make(chan error)
	go func() { ended <- table.Watch(t.Context(), func() {}) }()
	time.Sleep(20 * time.Millisecond)

	if err := table.Close(); err != nil {
		t.Fatal(err)
	}

	select {
	case err := <-ended:
		if !errors.Is(err, ErrClosed) {
			t.Errorf("Watch: %v, want ErrClosed", err)
		}
	case <-time.After(5 * time.Second):
		t.Error("Watch goes on after Close")
	}
}
