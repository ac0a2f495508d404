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
// evidence. An invalid prefix means all.
//
// The enforcer's list comes first: the engine may have had no room for a ban that was found in the
// kernel, and a lifted ban has no counters. Then come one question to the judge, one flush of the
// enforcer, and one of the journal.
func (s *Service) Unban(
	ctx context.Context, by control.Peer, within netip.Prefix,
) (control.Lifted, error) {
	if !within.IsValid() {
		return s.unbanAll(ctx, by)
	}

	held, prefixes, err := s.heldWithin(ctx, within)
	if err != nil {
		return control.Lifted{}, Refusal(err)
	}

	pardoned, err := s.Judge.Pardon(ctx, within, prefixes, by.String())
	if err != nil {
		return control.Lifted{}, Refusal(err)
	}

	// Nothing to lift is an error for one address, since the operator expected a ban. An earlier
	// lift may still be on its way to the disk.
	if len(pardoned.Lifted) == 0 {
		text := ""
		if !s.isOnDisk(ctx, pardoned.Saved) {
			text = "; " + liftNotWritten
		}
		return control.Lifted{}, control.Errorf(control.CodeNotBanned, "%s is not banned%s",
			bans.Source(within), text).
			Advise("amifend bans lists who is; what was held against this one is forgotten")
	}
	s.record(by, "unban", bans.Source(within), "")

	// The answer says what the kernel has not done yet, instead of waiting until it has.
	out := lifted(pardoned.Lifted)
	flushed, err := s.Enforcer.Flush(ctx)
	if err != nil {
		return out, Refusal(err)
	}

	out.Pending = flushed.Lifts
	if within.IsSingleIP() {
		out.Again = again(held, pardoned)
	}

	// A ban that is back after a crash would break a promise, so this waits for the disk.
	if !s.isOnDisk(ctx, pardoned.Saved) {
		out.Note = liftNotWritten
	}
	return out, nil
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

// heldWithin returns the prefixes of the bans that overlap a prefix. For a single address it also
// returns the bans, with what the kernel counts of each.
func (s *Service) heldWithin(
	ctx context.Context, within netip.Prefix,
) (held []enforce.Ban, prefixes []netip.Prefix, err error) {
	if within.IsSingleIP() {
		held, err = s.Enforcer.Covering(ctx, within.Addr())
		for _, b := range held {
			prefixes = append(prefixes, b.Prefix)
		}
		return held, prefixes, err
	}

	picked, err := s.Enforcer.Pick(ctx, enforce.Pick{Within: within, Order: enforce.BySource})
	for _, k := range picked.Keys {
		prefixes = append(prefixes, k.Prefix())
	}
	return nil, prefixes, err
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
func again(held []enforce.Ban, pardoned judge.Pardoned) *control.Again {
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
