package judge

import (
	"net/netip"
	"testing"
	"time"

	"github.com/amifend/amifend/policy"
)

// What went wrong is counted for an hour, and not for ever.
func TestPulse(t *testing.T) {
	var p pulse
	now := policy.Stats{BansRefused: 3}
	if got := p.hourAgo(); got != (policy.Stats{}) {
		t.Errorf("at first: %+v", got)
	}

	for range 60 {
		p.note(now)
	}

	if got := p.hourAgo(); got != now {
		t.Errorf("an hour later: %+v", got)
	}

	for i := range uint64(1000) {
		p.note(policy.Stats{BansRefused: i})
	}

	if got := p.hourAgo(); got.BansRefused != 940 || len(p.samples) != 60 {
		t.Errorf("at last: %+v, %d samples", got, len(p.samples))
	}
}

// The counters of an hour ago are those of an hour ago.
func TestHourAgo(t *testing.T) {
	inCourt(t, func(t *testing.T, c *court) {
		observed := func() (now, hourAgo uint64) {
			t.Helper()
			s, err := c.Status(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			return s.Stats.Observed, s.HourAgo.Observed
		}

		for range 3 {
			c.in <- attempt(c.clock, "203.0.113.5:5060", policy.Label{})
		}

		time.Sleep(30 * time.Minute)
		if now, then := observed(); now != 3 || then != 0 {
			t.Errorf("at first: %d, and %d an hour ago", now, then)
		}

		c.in <- attempt(c.clock, "203.0.113.5:5060", policy.Label{})
		time.Sleep(32 * time.Minute)
		if now, then := observed(); now != 4 || then != 3 {
			t.Errorf("an hour later: %d, and %d an hour ago", now, then)
		}
	})
}

// What the judge logs is known to the status: the latest alerts, and the latest PBX that sees one
// address for everybody.
func TestStatusTellsWhatTheJudgeTold(t *testing.T) {
	inCourt(t, func(t *testing.T, c *court) {
		c.call(t, func() {
			for _, addr := range []string{"198.51.100.1", "198.51.100.2"} {
				c.hidden.keep(Hidden{c.clock.Now(), "pbx", netip.MustParseAddr(addr), "allowlist"})
			}

			for range 3 {
				c.alert(policy.Verdict{
					Action: policy.ActionAlert, Rule: policy.RuleSuspectLogin,
					Prefix: netip.MustParsePrefix("203.0.113.9/32"),
				})
			}
		})

		s, err := c.Status(t.Context())
		latest := c.alerts.Latest()
		if err != nil || len(s.Hidden) != 1 || len(latest) != 1 || latest[0].Count != 3 {
			t.Fatalf("%+v, alerts %+v, %v", s.Hidden, latest, err)
		}
		if h := s.Hidden[0]; h.Server != "pbx" || h.Addr.String() != "198.51.100.2" ||
			h.Reason != "allowlist" {
			t.Errorf("%+v", h)
		}
		if a := latest[0]; a.Kind != policy.RuleSuspectLogin.String() || a.Source != "203.0.113.9" ||
			a.Do == "" {
			t.Errorf("%+v", a)
		}

		time.Sleep(25 * time.Hour)
		if s, err := c.Status(t.Context()); err != nil || len(s.Hidden) != 0 {
			t.Errorf("a day later: %+v, %v", s.Hidden, err)
		}
	})
}

// A list that was handed over counts when TakeProtected answers, whatever the judge receives first.
func TestTakeProtected(t *testing.T) {
	inCourt(t, func(t *testing.T, c *court) {
		prefix := netip.MustParsePrefix("192.0.2.1/32")
		for range 20 {
			c.Protect(Protected{})
			c.Protect(Protected{Never: policy.NewProtected([]policy.ProtectedEntry{
				{Prefix: prefix, Reason: "allowlist"},
			}, nil)})
			if err := c.TakeProtected(t.Context()); err != nil {
				t.Fatal(err)
			}

			i, err := c.Impose(t.Context(), Imposition{Prefix: prefix, Scope: all})
			if err != nil || i.Protected == "" {
				t.Fatalf("it was banned: %+v, %v", i, err)
			}
		}
	})
}
