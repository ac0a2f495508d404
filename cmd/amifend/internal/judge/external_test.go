package judge

import (
	"net/netip"
	"testing"
	"time"

	"github.com/amifend/amifend/cmd/amifend/internal/bans"
	"github.com/amifend/amifend/cmd/amifend/internal/logtest"
	"github.com/amifend/amifend/policy"
)

// A ban that is lifted before the engine was told of it stays lifted, and its source can be banned
// again.
func TestLiftedBeforeItIsKnown(t *testing.T) {
	_, log := logtest.New()
	p := newPath(t, log)
	now := p.clock.Now()
	prefixes := []string{"203.0.113.1/32", "203.0.113.2/32", "203.0.113.3/32"}
	tell := func(prefix string) {
		b := bans.Ban{
			Prefix:   netip.MustParsePrefix(prefix),
			Scope:    all,
			Rule:     policy.RuleProvenScore.String(),
			Duration: time.Hour,
			Expiry:   now + int64(time.Hour),
		}

		p.mail.External.Put(b.Key(), bans.External{Ban: b})
	}

	tell(prefixes[0])
	p.receiveExternal() // this one the judge has heard of, the others wait
	tell(prefixes[1])
	tell(prefixes[2])
	p.liftUnknown([]netip.Prefix{
		netip.MustParsePrefix(prefixes[0]), netip.MustParsePrefix(prefixes[1]),
	}, "uid 0")
	p.learnExternal()

	for i, prefix := range prefixes {
		addr := netip.MustParsePrefix(prefix).Addr()
		if _, banned := p.engine.Ban(addr); banned != (i == 2) {
			t.Errorf("%s: banned %v", addr, banned)
		}
	}

	for range 10 {
		s := attempt(p.clock, "203.0.113.1:5060", policy.Label{})
		p.observe(&s)
	}

	if o := p.mail.Orders.Take()[netip.MustParsePrefix(prefixes[0])]; len(o.Bans) != 1 {
		t.Errorf("it is not banned again: %+v", o)
	}
}
