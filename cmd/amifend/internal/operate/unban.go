package operate

import (
	"context"
	"net/netip"
	"runtime/debug"
	"slices"

	"github.com/amifend/amifend/cmd/amifend/internal/bans"
	"github.com/amifend/amifend/cmd/amifend/internal/control"
	"github.com/amifend/amifend/cmd/amifend/internal/enforce"
	"github.com/amifend/amifend/cmd/amifend/internal/judge"
)

// Unban lifts all bans that lie within a prefix or cover it, and makes the engine forget the
// evidence. An invalid prefix means all. It remembers the bans for [Service.Undo], unless all are
// lifted.
func (s *Service) Unban(
	ctx context.Context, by control.Peer, within netip.Prefix,
) (control.Lifted, error) {
	if !within.IsValid() {
		return s.unbanAll(ctx, by)
	}

	before := s.bansNow(ctx, within)
	out, err := s.lift(ctx, by, within)
	if err == nil {
		s.remember(by, "unban", bans.Source(within),
			func(ctx context.Context, by control.Peer) control.UndoneItem {
				return s.restore(ctx, by, before)
			})
	}
	return out, err
}

// lift is Unban for a prefix. For an address it asks the judge once, then flushes the enforcer and
// the journal, once each.
func (s *Service) lift(
	ctx context.Context, by control.Peer, within netip.Prefix,
) (control.Lifted, error) {
	var ask *bans.Ask
	var pardoned judge.Pardoned
	var err error
	if within.IsSingleIP() {
		pardoned, ask, err = s.Judge.PardonAddr(ctx, within.Addr(), by.String())
	} else {
		pardoned, err = s.pardonWithin(ctx, within, by)
	}
	if err != nil {
		return control.Lifted{}, Refusal(err)
	}

	// The answer says what the kernel has not done yet, instead of waiting until it has.
	flushed, err := s.Enforcer.Flush(ctx)
	if err == nil && ask != nil {
		err = s.pardonUnknown(ctx, ask, &pardoned, by)
	}
	if len(pardoned.Lifted) > 0 {
		s.record(by, "unban", bans.Source(within), "")
	}
	if err != nil {
		return lifted(pardoned.Lifted), Refusal(err)
	}

	// Nothing to lift is an error for one address, since the operator expected a ban. An earlier
	// lift may still be on its way to the disk. A ban that is back after a crash would break a
	// promise, so both wait for the disk.
	note := ""
	if !s.isOnDisk(ctx, pardoned.Saved) {
		note = liftNotWritten
	}
	if len(pardoned.Lifted) == 0 {
		return control.Lifted{}, control.Errorf(control.CodeNotBanned, "%s",
			joined(bans.Source(within)+" is not banned", note)).
			Advise("amifend bans lists who is; what was held against this one is forgotten")
	}

	out := lifted(pardoned.Lifted)
	out.Pending, out.Note = flushed.Lifts, note
	if ask != nil {
		out.Again = again(ask.Held, pardoned)
	}
	return out, nil
}

// pardonWithin lifts the bans that overlap a prefix. The enforcer's list comes first: the engine may
// have had no room for a ban that was found in the kernel.
func (s *Service) pardonWithin(
	ctx context.Context, within netip.Prefix, by control.Peer,
) (judge.Pardoned, error) {
	picked, err := s.Enforcer.Pick(ctx, enforce.Pick{Within: within, Order: enforce.BySource})
	if err != nil {
		return judge.Pardoned{}, err
	}

	held := make([]netip.Prefix, len(picked.Keys))
	for i, k := range picked.Keys {
		held[i] = k.Prefix()
	}
	return s.Judge.Pardon(ctx, within, held, by.String())
}

// pardonUnknown adds what the enforcer had of an address to what is lifted. Of a wider prefix that the
// engine did not know to be banned it must still forget the evidence.
func (s *Service) pardonUnknown(
	ctx context.Context, ask *bans.Ask, p *judge.Pardoned, by control.Peer,
) error {
	for _, h := range ask.Held {
		if slices.Contains(p.Lifted, h.Prefix) {
			continue
		}
		p.Lifted = append(p.Lifted, h.Prefix)
		if h.Prefix.IsSingleIP() {
			continue
		}

		wide, err := s.Judge.Pardon(ctx, h.Prefix, nil, by.String())
		if err != nil {
			return err
		}
		p.Saved = wide.Saved
	}
	return nil
}

// liftNotWritten is the note on a lift that the journal does not have.
const liftNotWritten = "the journal does not have it yet: after a crash now the ban may be back " +
	"(amifend status)"

// unbanAll lifts all bans. It is the command for an emergency: it takes the same time however many
// bans there are, and does what it can when a part does not answer.
func (s *Service) unbanAll(ctx context.Context, by control.Peer) (control.Lifted, error) {
	// The answer names some of the prefixes. A kernel that hangs must not keep the bans from being
	// lifted.
	asking, cancel := context.WithTimeout(ctx, askTime)
	named, before, sampled := s.Enforcer.Sample(asking, control.MostLifted)
	cancel()

	observed, err := s.Judge.LiftAll(ctx, by.String())
	if err != nil {
		return control.Lifted{}, Refusal(err)
	}
	s.record(by, "unban", "all", "")

	// The disk comes first, since a late answer of the kernel changes nothing.
	out := lifted(named)
	if !s.isOnDisk(ctx, true) {
		out.Note = liftNotWritten
	}

	asking, cancel = context.WithTimeout(ctx, askTime)
	defer cancel()
	flushed, err := s.Enforcer.Flush(asking)
	switch {
	case err != nil:
		out.Pending = max(1, len(named))
		out.Note = joined(err.Error()+": the bans are lifted, but it may still drop packets",
			out.Note)
	case sampled == nil:
		out.Pending = flushed.Lifts
		out.Count = max(out.Count, int(flushed.Freed-before)+observed) // bounded by max_bans
	default:
		out.Pending = flushed.Lifts
	}

	go debug.FreeOSMemory() // very many bans have left much that nobody uses
	return out, nil
}

// lifted returns the answer for prefixes that are lifted. It names the first ones only.
func lifted(prefixes []netip.Prefix) control.Lifted {
	out := control.Lifted{Count: len(prefixes)}
	slices.SortFunc(prefixes, netip.Prefix.Compare)
	out.Lifted = prefixes[:min(len(prefixes), control.MostLifted)]
	return out
}

// again returns whether an address that is let in still sends, and how far it is from another ban.
// Whether it still sends is known from the kernel's counters, if they were read before in the
// course of the ban: by a comparison with the journal, by amifend bans or amifend explain.
func again(held []bans.Held, pardoned judge.Pardoned) *control.Again {
	out := &control.Again{
		Seen: pardoned.Seen, MoreUnknown: pardoned.MoreUnknown, MoreKnown: pardoned.MoreKnown,
	}

	for _, b := range held {
		if b.Drops == nil {
			continue
		}
		out.Dropped += b.Drops.Packets
		out.Lately += b.Drops.Lately
		out.LatelySpan = max(out.LatelySpan, b.Drops.Span.Seconds())
	}

	return out
}
