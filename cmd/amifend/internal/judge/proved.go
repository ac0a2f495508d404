package judge

import (
	"context"
	"net/netip"

	"github.com/amifend/amifend/cmd/amifend/internal/owner"
)

// provedAtATime is how many records are looked at between two events: a fraction of a millisecond.
const provedAtATime = 8192

// ProvedByNobody returns the addresses that proved themselves by a success whose address nobody could
// have chosen. The judge goes on with events in between.
func (j *Judge) ProvedByNobody(ctx context.Context) (all []netip.Addr, err error) {
	type part struct {
		addrs []netip.Addr
		next  int
	}

	for next := 0; ; {
		p, err := owner.Do(ctx, j.calls, func() part {
			addrs, next := j.engine.ProvedByNobody(next, provedAtATime)
			return part{addrs, next}
		})
		if err != nil {
			return nil, err
		}

		all = append(all, p.addrs...)
		if next = p.next; next == 0 {
			return all, nil
		}
	}
}
