package enforce

import (
	"context"
	"net/netip"
	"sync"
	"testing"

	"github.com/amifend/amifend/cmd/amifend/internal/denylist"
	"github.com/amifend/amifend/cmd/amifend/internal/logtest"
	"github.com/amifend/amifend/cmd/amifend/internal/protect"
)

// A dry run does not say of a list that it is in force: nothing is dropped.
func TestDryListsAreNotInForce(t *testing.T) {
	said, log := logtest.New()
	never := func() protect.Set { return protect.Set{} }
	d := NewDenier(DenierOptions{
		Table: Dry{}, Log: log, Lists: denied("203.0.113.0/24"), Never: never,
	})
	f := NewFeeder(FeederOptions{
		Table: Dry{}, Log: log, Never: never,
		Exempt: func(context.Context) ([]denylist.Exempt, error) { return nil, nil },
	})
	f.SetLists([]FeedList{
		{Name: "drop", Prefixes: []netip.Prefix{netip.MustParsePrefix("203.0.113.0/24")}},
	})

	ctx, stop := context.WithCancel(t.Context())
	var all sync.WaitGroup
	all.Go(func() { d.Run(ctx) })
	all.Go(func() { f.Run(ctx) })
	said.Wait(t, "deny lists would be in force", "")
	said.Wait(t, "a feed would be in force", "")
	stop()
	all.Wait()
}
