package operate

import (
	"cmp"
	"context"
	"net/netip"
	"slices"
	"time"

	"github.com/amifend/amifend/cmd/amifend/internal/bans"
	"github.com/amifend/amifend/cmd/amifend/internal/compact"
	"github.com/amifend/amifend/cmd/amifend/internal/control"
	"github.com/amifend/amifend/cmd/amifend/internal/enforce"
)

// fewBans is the longest list whose counters are read one by one. Of a longer one, the kernel is
// asked for the counters of all bans.
const fewBans = 1000

// partBans is how many bans of a long list are in memory at a time.
const partBans = 256

// Bans lists the bans that match a query as they are decided, with what the kernel counts. A list
// with a limit costs what it returns, unless a filter other than the prefix has all bans looked at. Of
// a long list only the keys are in memory.
func (s *Service) Bans(ctx context.Context, q control.BanQuery) (control.BanList, error) {
	pick := enforce.Pick{Within: q.Within, Match: matcher(q), Order: orderOf(q.Sort)}
	if q.Limit <= fewBans && q.Sort != sortDropped {
		pick.Most = q.Limit
	}

	picked, err := s.Enforcer.Pick(ctx, pick)
	if err != nil {
		return control.BanList{}, Refusal(err)
	}
	out := control.BanList{Total: picked.Total, Matched: picked.Matched}
	few := len(picked.Keys) <= fewBans && q.Sort != sortDropped
	var counters *enforce.Counters
	if !few {
		counters = s.Enforcer.Counters(ctx)
	}
	if q.Sort == sortDropped {
		sortByDropped(picked.Keys, counters)
	}
	if q.Limit > 0 {
		picked.Keys = picked.Keys[:min(len(picked.Keys), q.Limit)]
	}
	out.Next = s.describe(picked.Keys, counters, few, q.Names)

	// After a trial, what would be banned is listed too: amifend keep makes these bans.
	observed, err := s.withObserved(ctx, nil, func(bans.Ban) bool { return true })
	if err != nil || len(observed) == 0 {
		return out, err
	}
	if q.Names {
		s.nameBans(ctx, observed)
	}
	return withAll(ctx, q, out, observed)
}

// withAll returns a list with further bans, all in memory.
func withAll(
	ctx context.Context, q control.BanQuery, l control.BanList, more []control.Ban,
) (control.BanList, error) {
	l.Total += len(more)
	more, matched := q.Apply(more)
	l.Matched += matched
	all, err := l.All(ctx)
	if err != nil {
		return control.BanList{}, err
	}

	l.Bans, _ = q.Apply(append(all, more...))
	l.Next = nil
	return l, nil
}

// describe returns a function that returns the next bans of a list. Bans that have ended since are
// left out.
func (s *Service) describe(
	keys []compact.Key, counters *enforce.Counters, counted, named bool,
) func(context.Context) ([]control.Ban, error) {
	return func(ctx context.Context) ([]control.Ban, error) {
		for len(keys) > 0 {
			some := keys[:min(len(keys), partBans)]
			keys = keys[len(some):]
			got, err := s.Enforcer.Describe(ctx, some, counted)
			if err != nil {
				return nil, Refusal(err)
			}

			out := make([]control.Ban, len(got))
			for i, b := range got {
				out[i] = listed(b)
				if n, ok := counters.Of(b.Prefix, b.Scope); ok {
					out[i].Dropped = &n
				}
			}
			if named {
				s.nameBans(ctx, out)
			}
			if len(out) > 0 {
				return out, nil
			}
		}
		return nil, nil
	}
}

// sortDropped is the order by what was dropped, which needs the counters of all bans.
const sortDropped = "dropped"

// sortByDropped puts those first that dropped most.
func sortByDropped(keys []compact.Key, counters *enforce.Counters) {
	type one struct {
		key     compact.Key
		packets uint64
	}
	all := make([]one, len(keys))
	for i, k := range keys {
		n, _ := counters.Of(k.Prefix(), k.Scope())
		all[i] = one{k, n}
	}

	slices.SortFunc(all, func(a, b one) int {
		return cmp.Or(cmp.Compare(b.packets, a.packets), a.key.Compare(b.key))
	})
	for i := range all {
		keys[i] = all[i].key
	}
}

// matcher returns what bans must match besides the prefix; nil: nothing.
func matcher(q control.BanQuery) func(*bans.Ban) bool {
	if q.Server == "" && q.Rule == "" && q.Scope == "" {
		return nil
	}
	return func(b *bans.Ban) bool {
		return (q.Server == "" || slices.Contains(b.Servers, q.Server)) &&
			(q.Rule == "" || b.Rule == q.Rule) && (q.Scope == "" || b.Scope.String() == q.Scope)
	}
}

// orderOf returns the enforcer's order for one of [control.BanQuery].
func orderOf(name string) enforce.Order {
	switch name {
	case "until":
		return enforce.ByEnd
	case "score":
		return enforce.ByScore
	case "source", sortDropped:
		return enforce.BySource
	default:
		return enforce.Newest
	}
}

// bansOf returns the bans that cover an address, with what the kernel counts of each.
func (s *Service) bansOf(ctx context.Context, addr netip.Addr) ([]control.Ban, error) {
	covering, err := s.Enforcer.Covering(ctx, addr)
	if err != nil {
		return nil, Refusal(err)
	}

	var out []control.Ban
	for _, b := range covering {
		out = append(out, listed(b))
	}

	return s.withObserved(ctx, out, func(b bans.Ban) bool { return b.Prefix.Contains(addr) })
}

// withObserved adds the bans that a trial that is over would have made, as far as they are wanted.
func (s *Service) withObserved(
	ctx context.Context, out []control.Ban, want func(bans.Ban) bool,
) ([]control.Ban, error) {
	err := s.Judge.EachObserved(ctx, func(part []bans.Ban) {
		for _, b := range part {
			if want(b) {
				ends := b.Until().Truncate(time.Second)
				out = append(out, listed(enforce.Ban{Ban: b, Ends: ends, State: enforce.Observed}))
			}
		}
	})

	return out, Refusal(err)
}

// listed returns a ban as the API has it.
func listed(b enforce.Ban) control.Ban {
	out := control.Ban{
		Prefix: b.Prefix, Scope: b.Scope.String(), Rule: b.Rule, Score: bans.Round(b.Score),
		Attempts: b.Attempts, Strike: b.Strike, Servers: b.Servers, Since: b.Decided, Until: b.Ends,
		State: stateName(b.State),
	}
	if b.Drops != nil {
		out.Dropped = &b.Drops.Packets
	}

	return out
}
