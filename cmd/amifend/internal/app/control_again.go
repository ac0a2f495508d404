package app

import (
	"context"
	"net/netip"
	"time"

	"github.com/amifend/amifend/cmd/amifend/internal/control"
	"github.com/amifend/amifend/policy"
)

// lookSpan is how long the kernel's counters are watched before a ban is lifted, to tell whether its source still sends.
const lookSpan = time.Second

// lookMost is how many bans of an address are looked at: one for each length of prefix and each scope at most.
const lookMost = 8

// again looks whether an address that is banned still sends; nil if that is not about one address. Only a ban that has dropped something is
// watched for a while: the others are lifted at once.
func (k *desk) again(ctx context.Context, within netip.Prefix, banned []netip.Prefix) *control.Again {
	if !within.IsValid() || !within.IsSingleIP() || len(banned) == 0 || len(banned) > lookMost {
		return nil
	}
	out := &control.Again{Dropped: k.dropped(ctx, banned)}
	if out.Dropped > 0 {
		before := out.Dropped
		sleep(ctx, lookSpan)
		out.Dropped = max(before, k.dropped(ctx, banned))
		out.Lately, out.LatelySpan = out.Dropped-before, lookSpan.Seconds()
	}
	seen, err := ask(ctx, k.judge.asks, askJudge, func() int64 {
		b, _ := k.judge.engine.Ban(within.Addr())
		if b.LastSeen < b.From+int64(grace) {
			return 0 // the rest of what it was banned for
		}
		return b.LastSeen
	})
	if err == nil && seen != 0 {
		out.Seen = k.clock.wallTime(seen).Truncate(time.Second)
	}
	return out
}

// dropped is how many packets the bans of prefixes have dropped.
func (k *desk) dropped(ctx context.Context, banned []netip.Prefix) (n uint64) {
	for _, p := range banned {
		for scope := range scopeOf {
			el, ok, err := k.table.Element(ctx, p, scope)
			if err == nil && ok && el.Counted { // else the status says what is wrong with the kernel
				n += el.Packets
			}
		}
	}
	return n
}

// fromNow adds how far the address is from another ban, now that it was pardoned.
func (k *desk) fromNow(ctx context.Context, addr netip.Addr, again *control.Again) *control.Again {
	x, err := ask(ctx, k.judge.asks, askJudge, func() policy.Explanation { return k.judge.engine.Explain(addr) })
	if err == nil {
		again.MoreUnknown, again.MoreKnown = x.MoreUnknown, x.MoreKnown
	}
	return again
}
