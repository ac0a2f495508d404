package judge

import (
	"fmt"
	"log/slog"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"github.com/amifend/amifend/cmd/amifend/internal/asynclog"
	"github.com/amifend/amifend/cmd/amifend/internal/bans"
	"github.com/amifend/amifend/cmd/amifend/internal/logtest"
	"github.com/amifend/amifend/policy"
)

// The judge goes on while the kernel hangs and the log is not read, and all that it decided comes
// later.
func TestJudgeWaitsForNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		unread := make(chan struct{})
		said, log := logtest.New()
		s := asynclog.New(logtest.Stuck{Handler: log.Handler(), Ready: unread})
		c := newCourt(t, func(o *Options) { o.Log = slog.New(s) })
		c.kernel.Gate = make(chan struct{})
		stop := c.run()

		const sources = 3000 // each of a /24 of its own, so that no prefix is banned
		for i := range sources {
			for range 7 {
				c.in <- attempt(c.clock, fmt.Sprintf("10.%d.%d.1:5060", i/250, i%250),
					policy.Label{})
			}
		}

		for range 50 { // and something to say
			c.in <- attempt(c.clock, "198.51.100.7:5060", policy.Label{})
		}

		synctest.Wait()
		if n := len(c.in); n != 0 {
			t.Fatalf("%d sightings wait for the kernel", n)
		}
		if n := c.engine.Stats().Bans; n != sources {
			t.Errorf("%d bans decided", n)
		}

		close(unread)
		close(c.kernel.Gate)
		time.Sleep(time.Second)
		if n := len(c.kernel.Has()); n != sources {
			t.Errorf("the kernel has %d bans", n)
		}

		stop()
		s.Close()
		said.Count(t, sources, "banned", "")
	})
}

func TestVerdictsBecomeOrders(t *testing.T) {
	said, log := logtest.New()
	p := newPath(t, log)
	p.protected = policy.NewProtected([]policy.ProtectedEntry{{
		Prefix: netip.MustParsePrefix("192.0.2.1/32"), Reason: "default gateway via eth0",
	}}, nil)
	prefix := netip.MustParsePrefix("192.0.2.1/32")
	now := p.clock.Now()
	p.carryOut([]policy.Verdict{
		{Action: policy.ActionNone},
		{
			Action:   policy.ActionBan,
			Scope:    policy.ScopeAll,
			Prefix:   prefix,
			At:       now,
			Duration: time.Hour,
			Rule:     policy.RuleProvenScore,
			Attempts: 4,
		},
	})

	o := p.mail.Orders.Take()[prefix]
	if o.Lift || len(o.Bans) != 1 || o.Bans[0].Scope != all ||
		o.Bans[0].Expiry != now+int64(time.Hour) || o.Bans[0].Rule != "proven_score" {
		t.Errorf("order %+v", o)
	}

	p.ineffective.bans[bans.Key{Prefix: prefix, Scope: all}.Compact()] = inForce{}
	p.carryOut([]policy.Verdict{
		{Action: policy.ActionUnban, Prefix: prefix, Rule: policy.RuleProtected},
	})
	if o := p.mail.Orders.Take()[prefix]; !o.Lift ||
		o.Why != "protected: default gateway via eth0" {
		t.Errorf("order %+v", o)
	}
	if len(p.ineffective.bans) != 0 {
		t.Error("a lifted ban is still thought to be in force")
	}

	said.Count(t, 0, "alert", "") // no ban is an alert
}
