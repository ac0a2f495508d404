package firewall_test

import (
	"context"
	"fmt"
	"net/netip"
	"time"

	"github.com/amifend/amifend/firewall"
	"github.com/amifend/amifend/firewall/firewalltest"
)

// Ban an address for an hour from everything, then lift the ban. It needs CAP_NET_ADMIN.
func Example() {
	namespace, err := firewalltest.Open() // a program that bans for real has no namespace
	if err != nil {
		fmt.Println(err)
		return
	}
	defer namespace.Close()

	if err := banForAnHour(context.Background(), namespace.FD()); err != nil {
		fmt.Println(err)
	}
	// Output:
	// 198.51.100.7/32 is banned from all for 1h0m0s
	// 0 bans are left
}

func banForAnHour(ctx context.Context, namespace int) error {
	// Two programs that lay out the same table would undo each other's work: take the lock first,
	// and keep it for as long as the table is in use.
	lock, err := firewall.Lock("example")
	if err != nil {
		return err
	}
	defer lock.Close()

	table, err := firewall.Open(firewall.Options{Table: "example", NetNS: namespace})
	if err != nil {
		return err
	}
	defer table.Close()
	if err := table.Ensure(ctx); err != nil {
		return err
	}

	attacker := netip.MustParseAddr("198.51.100.7")
	if err := table.Ban(ctx, attacker, firewall.ScopeAll, time.Hour); err != nil {
		return err
	}
	bans, err := table.Bans(ctx)
	if err != nil {
		return err
	}
	for _, b := range bans {
		fmt.Println(b.Prefix, "is banned from", b.Scope, "for", b.Timeout.Round(time.Minute))
	}

	if err := table.Lift(ctx, attacker, firewall.ScopeAll); err != nil {
		return err
	}
	bans, err = table.Bans(ctx)
	fmt.Println(len(bans), "bans are left")
	return err
}
