package daemon

import (
	"context"
	"maps"
	"net/netip"
	"slices"
	"time"

	"github.com/amifend/amifend/cmd/amifend/internal/config"
	"github.com/amifend/amifend/cmd/amifend/internal/denylist"
	"github.com/amifend/amifend/cmd/amifend/internal/enforce"
	"github.com/amifend/amifend/cmd/amifend/internal/feed"
	"github.com/amifend/amifend/cmd/amifend/internal/judge"
	"github.com/amifend/amifend/cmd/amifend/internal/protect"
)

// exemptTime limits how long the judge may take to name who proved itself.
const exemptTime = 10 * time.Second

// newFeeder returns the goroutine that keeps the lists of feeds in the kernel.
func newFeeder(
	s *shared, table enforce.FeedTable, watcher *protect.Watcher, engine *judge.Judge,
) *enforce.Feeder {
	x := &exempts{judge: engine, admins: s.administrators}
	return enforce.NewFeeder(enforce.FeederOptions{
		Table: table, Log: s.options.Log, Names: feedNames(s.options.Config), Never: watcher.Current,
		Exempt: x.list, Held: s.options.Trial > 0,
	})
}

// newKeeper returns the goroutine that fetches the lists of feeds.
func newKeeper(s *shared, feeder *enforce.Feeder) *feed.Keeper {
	return feed.New(feed.Options{
		Feeds: s.options.Config.Feeds, Dir: s.options.Config.State.Directory, Log: s.options.Log,
		Book: s.alerts, Lists: func(all []feed.Named) {
			lists := make([]enforce.FeedList, 0, len(all))
			for _, l := range all {
				lists = append(lists, enforce.FeedList(l))
			}
			feeder.SetLists(lists)
		},
	})
}

// feedNames returns the names of the feeds of a config.
func feedNames(c *config.Config) (names []string) {
	for _, f := range c.Feeds {
		names = append(names, f.Name)
	}
	return names
}

// exempts finds who is exempt from feeds, beside those who must never be banned.
type exempts struct {
	judge  *judge.Judge
	admins *administrators
}

// list returns who is exempt. It asks the judge, which goes on with events in between.
func (x *exempts) list(ctx context.Context) (out []denylist.Exempt, err error) {
	ctx, cancel := context.WithTimeout(ctx, exemptTime)
	defer cancel()
	proved, err := x.judge.ProvedByNobody(ctx)
	if err != nil {
		return nil, err
	}
	for _, a := range proved {
		out = append(out, denylist.Exempt{
			Prefix: netip.PrefixFrom(a, a.BitLen()),
			Reason: "a phone logged in from there, over a connection that nobody could forge",
		})
	}

	// In order: the feeder compares them with those of the last time.
	for _, a := range slices.SortedFunc(maps.Keys(x.admins.current()), netip.Addr.Compare) {
		out = append(out, denylist.Exempt{
			Prefix: netip.PrefixFrom(a, a.BitLen()),
			Reason: "this machine was administered over SSH from there; write it into [allow]",
		})
	}
	return out, nil
}
