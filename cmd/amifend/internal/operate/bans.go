package operate

import (
	"cmp"
	"context"
	"net/netip"
	"slices"
	"time"

	"github.com/amifend/amifend/cmd/amifend/internal/bans"
	"github.com/amifend/amifend/cmd/amifend/internal/control"
	"github.com/amifend/amifend/cmd/amifend/internal/enforce"
)

// fewBans is the longest list whose counters are read one by one. Of a longer one, the kernel is
// asked for the counters of all bans.
const fewBans = 1000

// Bans lists the bans that match a query as they are decided, with what the kernel counts. A short
// list costs less than a long one.
func (s *Service) Bans(ctx context.Context, q control.BanQuery) (control.BanList, error) {
	short := q.Limit > 0 && q.Limit <= fewBans && q.Sort != sortDropped
	pick := enforce.Pick{Match: func(b *bans.Ban) bool { return matches(q, b) }, Counted: short}
	if short {
		pick.Most = q.Limit
		pick.Compare = func(a, b *bans.Ban) int { return compare(q, a, b) }
	}

	picked, err := s.Enforcer.Select(ctx, pick)
	if err != nil {
		return control.BanList{}, Refusal(err)
	}
	out := control.BanList{Total: picked.Total, Matched: picked.Matched}
	for _, b := range picked.Bans {
		out.Bans = append(out.Bans, listed(b))
	}

	// After a trial, what would be banned is listed too: amifend keep makes these bans.
	observed, err := s.withObserved(ctx, nil, func(bans.Ban) bool { return true })
	if err != nil {
		return control.BanList{}, err
	}
	out.Total += len(observed)
	observed, matched := q.Apply(observed)
	out.Matched += matched
	out.Bans = append(out.Bans, observed...)

	if !short {
		s.addCounters(ctx, out.Bans)
	}
	out.Bans, _ = q.Apply(out.Bans)
	return out, nil
}

// sortDropped is the order by what was dropped, which needs the counters of all bans.
const sortDropped = "dropped"

// addCounters adds what the kernel counts. If the kernel does not answer, the list lacks the
// counters.
func (s *Service) addCounters(ctx context.Context, list []control.Ban) {
	counters := s.Enforcer.Counters(ctx)
	for i := range list {
		k := bans.Key{Prefix: list[i].Prefix, Scope: bans.ScopeNamed(list[i].Scope)}
		if n, ok := counters[k]; ok {
			list[i].Dropped = &n
		}
	}
}

// matches reports whether a query matches a ban.
func matches(q control.BanQuery, b *bans.Ban) bool {
	return (!q.Within.IsValid() || q.Within.Overlaps(b.Prefix)) &&
		(q.Server == "" || slices.Contains(b.Servers, q.Server)) &&
		(q.Rule == "" || b.Rule == q.Rule) && (q.Scope == "" || b.Scope.String() == q.Scope)
}

// compare orders two bans as [control.BanQuery.Apply] does.
func compare(q control.BanQuery, a, b *bans.Ban) int {
	order := 0
	switch q.Sort {
	case "until":
		order = cmp.Compare(a.Expiry/int64(time.Second), b.Expiry/int64(time.Second))
	case "score":
		order = cmp.Compare(bans.Round(b.Score), bans.Round(a.Score))
	case "source":
	default:
		order = cmp.Compare(b.Decided.Unix(), a.Decided.Unix())
	}
	if order == 0 {
		order = a.Prefix.Compare(b.Prefix)
	}
	if order == 0 {
		order = cmp.Compare(a.Scope.String(), b.Scope.String())
	}
	return order
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
