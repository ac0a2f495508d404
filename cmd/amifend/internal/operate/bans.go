package operate

import (
	"context"
	"net/netip"
	"time"

	"github.com/amifend/amifend/cmd/amifend/internal/bans"
	"github.com/amifend/amifend/cmd/amifend/internal/control"
	"github.com/amifend/amifend/cmd/amifend/internal/enforce"
)

// Bans lists all bans as they are decided, with what the kernel counts.
func (s *Service) Bans(ctx context.Context) ([]control.Ban, error) {
	var out []control.Ban
	err := s.Enforcer.Each(ctx, func(part []enforce.Ban) {
		for _, b := range part {
			out = append(out, listed(b))
		}
	})
	if err != nil {
		return nil, Refusal(err)
	}

	// After a trial, what would be banned is listed too: amifend keep makes these bans.
	if out, err = s.withObserved(ctx, out, func(bans.Ban) bool { return true }); err != nil {
		return nil, err
	}

	// A kernel that does not answer leaves out the counters, not the bans.
	counters := s.Enforcer.Counters(ctx)
	for i := range out {
		k := bans.Key{Prefix: out[i].Prefix, Scope: bans.ScopeNamed(out[i].Scope)}
		if n, ok := counters[k]; ok {
			out[i].Dropped = &n
		}
	}

	return out, nil
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
