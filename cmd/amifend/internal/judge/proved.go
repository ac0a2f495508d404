package judge

import (
	"context"
	"net/netip"

	"github.com/amifend/amifend/cmd/amifend/internal/owner"
	"github.com/amifend/amifend/policy"
)

// provedAtATime is how many records are looked at between two events: a fraction of a millisecond.
const provedAtATime = 8192

// ProvedByNobody returns the addresses that proved themselves by a success whose address nobody could
// have chosen. The judge goes on with events in between.
func (j *Judge) ProvedByNobody(ctx context.Context) ([]netip.Addr, error) {
	return inParts(ctx, j, (*policy.Engine).ProvedByNobody)
}

// Proved returns the addresses that proved themselves, and when. The judge goes on with events in
// between.
func (j *Judge) Proved(ctx context.Context) ([]policy.Proof, error) {
	return inParts(ctx, j, (*policy.Engine).Proved)
}

// inParts has the judge walk over its records in parts.
func inParts[T any](
	ctx context.Context, j *Judge, walk func(e *policy.Engine, from, n int) ([]T, int),
) (all []T, err error) {
	type part struct {
		found []T
		next  int
	}

	for next := 0; ; {
		p, err := owner.Do(ctx, j.calls, func() part {
			found, next := walk(j.engine, next, provedAtATime)
			return part{found, next}
		})
		if err != nil {
			return nil, err
		}

		all = append(all, p.found...)
		if next = p.next; next == 0 {
			return all, nil
		}
	}
}
