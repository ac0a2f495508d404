package traffic

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/amifend/amifend/ami"
	"github.com/amifend/amifend/cmd/amifend/internal/recording"
	"github.com/amifend/amifend/policy"
)

// wall is a tool that bans addresses after a number of failures and writes down all that it hears
// in a hash.
type wall struct {
	world    *World
	patience int // 0: endless
	failures map[netip.Addr]int
	last     int64
	sum      uint64
	n        int
}

func (t *wall) Hear(ev *recording.Event, source netip.Addr) bool {
	from := ev.Source.Addr().As16()
	for _, n := range []uint64{
		uint64(ev.At), ev.Session, uint64(ev.Kind), uint64(ev.Source.Port()), uint64(from[15]),
		uint64(from[7]), uint64(ev.Transport),
	} {
		t.sum = (t.sum ^ n) * 0x100000001b3 // FNV-1a, by words
	}
	t.n++
	t.last = max(t.last, ev.At)

	if t.patience > 0 && t.failures[source] >= t.patience {
		return false
	}

	a := ev.Source.Addr()
	if ev.Kind != policy.KindChallengeSent && ev.Kind != policy.KindSuccessfulAuth {
		if t.failures[a]++; t.failures[a] == t.patience {
			t.world.Decided(Decision{At: ev.At, Prefix: netip.PrefixFrom(a, a.BitLen())})
		}
	}
	return true
}

// small is enough traffic to see every class at work.
var small = Size{
	Span: 30 * time.Hour, Homes: 20, Few: 1, Crowd: 20, Hosts: 20, Scan: 50,
	Stale: 3 * time.Hour, FloodRate: 5,
}

func play(o Options, patience int) *wall {
	w := New(o)
	t := &wall{world: w, patience: patience, failures: make(map[netip.Addr]int)}
	if n := w.Run(t); n != t.n {
		panic(fmt.Sprintf("%d events were raised and %d heard", n, t.n))
	}
	return t
}

// TestSameSeed: a seed gives the same events, another one others.
func TestSameSeed(t *testing.T) {
	some := func(class string) bool { return strings.ContainsAny(class[:1], "hcp") }
	a := play(Options{Size: small, Seed: 1, Only: some}, 4)
	b := play(Options{Size: small, Seed: 1, Only: some}, 4)
	c := play(Options{Size: small, Seed: 2, Only: some}, 4)
	if a.sum != b.sum || a.n != b.n {
		t.Errorf("two runs of one seed: %d events (%x) and %d (%x)", a.n, a.sum, b.n, b.sum)
	}
	if a.sum == c.sum {
		t.Error("another seed gave the same events")
	}
	if a.last >= a.world.End() {
		t.Errorf("an event at %v, after the end", time.Unix(0, a.last).UTC())
	}
}

// TestAClassAlone: a class plans the same when it is played alone.
func TestAClassAlone(t *testing.T) {
	const name = "password guesser, UDP"
	only := func(class string) bool { return class == name }
	together := play(Options{Size: small, Seed: 1, Only: naming("password")}, 0).world
	alone := play(Options{Size: small, Seed: 1, Only: only}, 0).world

	offered := func(w *World) (n int) {
		for _, c := range w.Classes {
			for _, p := range c.Parties {
				if c.Name == name {
					n += p.Offered
				}
			}
		}
		return n
	}
	if a, b := offered(together), offered(alone); a != b || a != small.Scan*small.Few {
		t.Errorf("%d attempts together, %d alone, want %d", a, b, small.Scan*small.Few)
	}
}

// TestEveryClassActs: attackers attack, who means well does not, only some err, and crackers crack
// where nobody stops them.
func TestEveryClassActs(t *testing.T) {
	w := play(Options{Size: small, Seed: 1}, 0).world
	names := make(map[string]bool)

	for _, c := range w.Classes {
		if names[c.Name] {
			t.Errorf("%s: twice", c.Name)
		}
		names[c.Name] = true
		everyPartyErrsOrNone(t, c)

		// The tool of this run bans nobody.
		offered, admitted, cracked := 0, 0, 0
		for _, p := range c.Parties {
			offered += p.Offered
			admitted += p.Admitted
			cracked += len(p.Compromises)
			if p.Banned || p.Blocked > 0 {
				t.Errorf("%s: banned, with nobody who bans", c.Name)
			}
		}

		// A class without attempts would meet every goal.
		if c.Role.hostile() != (offered > 0) {
			t.Errorf("%s: %d attempts", c.Name, offered)
		}
		if c.Role == Attacker && admitted != offered {
			t.Errorf("%s: %d of %d attempts reached a PBX, with nobody who bans",
				c.Name, admitted, offered)
		}
		if cracks(c) != (cracked > 0) {
			t.Errorf("%s: %d accounts cracked", c.Name, cracked)
		}
	}
}

// cracks reports whether attackers of a class guess right.
func cracks(c *Class) bool {
	switch {
	case c.Role == Good || c.Role == Victim:
		return false
	case c.Part == Naming: // a spoofer who hears no answer never does
		return c.Name != "a spoofer"
	default:
		return strings.Contains(c.Name, "right") || strings.Contains(c.Name, "spread crackers")
	}
}

// everyPartyErrsOrNone checks the failures that good parties raise themselves.
func everyPartyErrsOrNone(t *testing.T, c *Class) {
	t.Helper()

	// Phones known by auth_username raise some when many start at once.
	if c.Role != Good || strings.Contains(c.Name, "auth_username") {
		return
	}

	errs := false
	for _, word := range []string{"typo", "stale", "changed", "misconfigured"} {
		errs = errs || strings.Contains(c.Name, word)
	}
	for i, p := range c.Parties {
		if p.Failures > 0 != errs {
			t.Errorf("%s, party %d: %d failures of its own", c.Name, i, p.Failures)
		}
		if p.Misconfigured && p.Failures < 20 {
			t.Errorf("%s, party %d: misconfigured, with %d failures", c.Name, i, p.Failures)
		}
	}
}

// TestReactive: what a ban covers does not reach the PBX, and a phone tries again.
func TestReactive(t *testing.T) {
	// The tool bans each source at its fourth failure.
	w := play(Options{Size: small, Seed: 1}, 4).world
	for _, c := range w.Classes {
		for _, p := range c.Parties {
			switch c.Name {
			case "password guesser, TCP":
				if p.First != 4 || p.Admitted != 4 || !p.Banned {
					t.Errorf("%s: %d attempts reached the PBX, %d up to the ban (%t); want 4",
						c.Name, p.Admitted, p.First, p.Banned)
				}
			case "cracker, right at guess 3, UDP":
				if len(p.Compromises) != 1 {
					t.Errorf("%s: %d accounts cracked, want 1", c.Name, len(p.Compromises))
				}
			case "cracker, right at guess 6, UDP", "svcrack, right at guess 6, chan_sip":
				if len(p.Compromises) != 0 {
					t.Errorf("%s: cracked, though banned before", c.Name)
				}
			case "offices with one stale phone", "office of 200, forged":
				if !p.Banned || p.Blocked < 30 {
					t.Errorf("%s: banned is %t, %d requests blocked; want many",
						c.Name, p.Banned, p.Blocked)
				}
			case "homes, TLS":
				if p.Banned {
					t.Errorf("%s: banned", c.Name)
				}
			}
		}
	}
}

// TestTruthOfAlerts: which alerts are true about whom.
func TestTruthOfAlerts(t *testing.T) {
	good, victim := netip.MustParseAddr("10.1.0.1"), netip.MustParseAddr("10.1.0.2")
	clumsy, bad := netip.MustParseAddr("10.1.0.3"), netip.MustParseAddr("1.1.1.1")

	for _, test := range []struct {
		alert, account string
		about          netip.Addr
		late           time.Duration
		want           bool // true
		told           bool // the compromise counts as told of
	}{
		{"compromised_account", "1001", bad, 0, true, true},
		{"compromised_account", "", bad, 0, true, true},
		{"suspect_login", "1001", bad, 0, true, true},
		{"compromised_account", "1001", bad, 2 * time.Hour, true, false},
		{"compromised_account", "1001", bad, -time.Hour, false, false},
		{"compromised_account", "1002", bad, 0, false, false},
		{"compromised_account", "1001", good, 0, false, false},
		{"suspect_login", "1001", good, 0, false, false},
		{"spoof_suspected", "1001", good, 0, false, false},
		{"spoof_suspected", "1001", victim, 0, true, false},
		{"misconfigured_endpoint", "1001", good, 0, false, false},
		{"misconfigured_endpoint", "1001", clumsy, 0, true, false},
		{"proved_source_guessing", "1001", clumsy, 0, false, false},
		{"proved_source_guessing", "1001", victim, 0, true, false},
		{"proved_source_guessing", "", bad, 0, true, false},
		{"account_attacked", "1001", good, 0, true, false},
		{"account_attacked", "1002", bad, 0, false, false},
		{"account_attacked", "1001", good, 2 * time.Hour, false, false},
		{"server_attacked", "", good, 0, true, false},
		{"server_attacked", "", bad, 2 * time.Hour, false, false},
		{"spoof_flood", "", good, 0, false, false},
		{"bans_full", "", bad, 0, false, false},
		{"no_such_alert", "", bad, 0, false, false},
		{"suspect_login", "1001", netip.MustParseAddr("9.9.9.9"), 0, false, false},
	} {
		w := New(Options{Size: small, Seed: 1, Only: func(string) bool { return false }})
		class := func(r Role, a netip.Addr) *Party {
			c := newClass(a.String(), r, Goal{}, 1)
			p := &Party{Class: c}
			c.Parties = append(c.Parties, p)
			w.Classes = append(w.Classes, c)
			w.at[a] = append(w.at[a], p)
			return p
		}
		class(Good, good)
		class(Good, clumsy)
		class(Victim, victim)
		cracker := class(Attacker, bad)
		cracker.compromised("1001", begin.UnixNano())
		w.forged[victim], w.failed[clumsy] = true, true
		w.attacked[Target{0, "1001"}] = begin.UnixNano()
		w.attacked[Target{0, ""}] = begin.UnixNano()

		w.Decided(Decision{
			At: begin.Add(test.late).UnixNano(), Prefix: netip.PrefixFrom(test.about, 32),
			Alert: test.alert, Account: test.account,
		})
		wrong := len(w.FalseAlerts)
		for _, c := range w.Classes {
			wrong += len(c.FalseAlerts)
		}
		if (wrong == 0) != test.want || cracker.Compromises[0].Told != test.told {
			t.Errorf("%s %q of %v: true is %t, told is %t; want %t, %t",
				test.alert, test.account, test.about, wrong == 0,
				cracker.Compromises[0].Told, test.want, test.told)
		}
	}
}

// TestBanOfAPrefix: it bans everybody who is there now, and those attackers who ever were.
func TestBanOfAPrefix(t *testing.T) {
	w := New(Options{Size: small, Seed: 1, Only: func(string) bool { return false }})
	goodClass, badClass := newClass("good", Good, Goal{}, 1), newClass("bad", Attacker, Goal{}, 1)
	there, gone, bad := &Party{Class: goodClass}, &Party{Class: goodClass}, &Party{Class: badClass}
	for p, stays := range map[*Party]bool{there: true, gone: false, bad: false} {
		a := &Actor{world: w, party: p}
		a.settle(netip.MustParseAddrPort("10.1.0.7:5060"))
		if !stays {
			a.settle(netip.MustParseAddrPort("10.2.0.7:5060"))
		}
	}

	w.Decided(Decision{Prefix: netip.MustParsePrefix("10.1.0.0/24"), Lasts: time.Hour})
	if !there.Banned || gone.Banned || !bad.Banned {
		t.Errorf("there %t, gone %t, attacker %t; want true, false, true",
			there.Banned, gone.Banned, bad.Banned)
	}

	// What a ban was at worst stays so.
	if there.Everything || there.Longest != time.Hour {
		t.Errorf("from everything %t, for %v; want false, 1h", there.Everything, there.Longest)
	}
	for _, everything := range []bool{true, false} {
		d := Decision{Prefix: netip.MustParsePrefix("10.1.0.7/32"), Lasts: time.Minute}
		d.Everything = everything
		w.Decided(d)
	}
	if !there.Everything || there.Longest != time.Hour {
		t.Errorf("from everything %t, for %v; want true, 1h", there.Everything, there.Longest)
	}
}

// TestForged: an event of a forged packet names the victim, and proves nothing.
func TestForged(t *testing.T) {
	r := &recorder{}
	w := &World{
		tool: r, hasher: policy.NewHasher(policy.FixedSeed), forged: make(map[netip.Addr]bool),
		attacked: make(map[Target]int64),
	}
	a := &Actor{world: w, party: &Party{Class: newClass("forgers", Forger, Goal{}, 1)}}
	victim := netip.MustParseAddrPort("10.1.0.7:5060")
	p := newPBX(0, policy.ServicePJSIP)
	p.passwords["1001"] = "right"

	a.forge(p, victim, request{
		account: "1001", credentials: true, password: "right", transport: ami.TransportTLS,
	})
	if len(r.heard) != 1 || !strings.Contains(r.heard[0], "ChallengeSent") {
		t.Errorf("heard %q, want one challenge", r.heard)
	}
	if !w.forged[victim.Addr()] || r.last.Stream || r.last.Source != victim {
		t.Errorf("forged %v, over a stream %t, source %v", w.forged, r.last.Stream, r.last.Source)
	}
}
