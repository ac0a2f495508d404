package policy

import (
	"net/netip"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// Who lifts all bans at once does what the pardons of 0.0.0.0/0 and ::/0 do: from then on, both
// engines decide the same, whatever was before and comes after, and however often it is done.
func TestPropertyPardonOfAllIsThatOfBothFamilies(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		one, other := mustNew(t, nil), mustNew(t, nil)
		now := start
		for _, o := range anyObservations(t, 20, 300) {
			now = max(now, o.At)
			a, b := one.Observe(o), other.Observe(o)
			if !slices.EqualFunc(a, b, sameDecision) {
				t.Fatalf("%+v: decided %+v, and %+v with pardons", o, a, b)
			}

			switch rapid.IntRange(0, 20).Draw(t, "then") {
			case 0:
				one.PardonAll(now)
				for _, p := range []string{"0.0.0.0/0", "::/0"} {
					other.Pardon(now, netip.MustParsePrefix(p))
				}
				other.silents.Reset() // of sources that are not remembered
			case 1:
				one.Advance(now)
				other.Advance(now)
			}
		}

		for _, a := range world {
			x, y := one.Explain(netip.MustParseAddr(a)), other.Explain(netip.MustParseAddr(a))
			if x.Banned != y.Banned || x.Attempts != y.Attempts || x.Strikes != y.Strikes ||
				x.Proved != y.Proved || x.Owns != y.Owns || x.MoreKnown != y.MoreKnown {
				t.Fatalf("%s: %+v, and with pardons %+v", a, x, y)
			}
		}
		sound(t, one)
	})
}

func sameDecision(a, b Verdict) bool {
	return a.Action == b.Action && a.Prefix == b.Prefix && a.Scope == b.Scope && a.Rule == b.Rule &&
		a.Duration == b.Duration && a.Strike == b.Strike && a.Attempts == b.Attempts
}

// The number of general pardons is small, and begins again at 0: nobody who was not heard of for
// that long is held to what was before.
func TestPardonOfAllAgainAndAgain(t *testing.T) {
	l := newLab(t)
	l.scan(attacker)
	l.drop()
	for range 256 {
		l.take(l.e.PardonAll(l.now))
	}
	l.quiet()
	if x := l.explain(attacker); x.Banned || x.Attempts != 0 || x.Strikes != 0 || x.MoreUnknown != 4 {
		t.Errorf("after 256 pardons: %+v", x)
	}
}

// The sources whose bans were lifted give up their room to others, as those do that were never
// banned. What is proved stays.
func TestFreedSourcesGiveUpTheirRoom(t *testing.T) {
	l := newLab(t, func(o *Options) { o.MaxSources, o.MaxBans = 8*minSources, 4*minSources },
		off(RuleServerUnderAttack, RuleAccountUnderAttack))
	l.feed(registered(phone))
	for i := range 4 * minSources {
		addr := netip.AddrFrom4([4]byte{64, byte(i >> 8), byte(i), 1})
		_, _ = l.e.Impose(l.now, netip.PrefixFrom(addr, 32), ScopeAll, time.Hour)
		l.e.touch(hostKey(addr))
	}

	l.take(l.e.PardonAll(l.now))
	for i := range 16 * minSources {
		l.feed(forged(spoofed(i)))
	}
	if n := l.e.sources.Count(listBanned); n > minSources {
		t.Errorf("%d sources are still listed as banned", n)
	}
	if !l.explain(phone).Proved {
		t.Error("the phone is forgotten")
	}

	l.e.Advance(l.now)
	for r := l.e.sources.Oldest(listBanned); r != 0; r = 0 {
		if k := l.e.sources.Key(r).key(); l.e.banScope(k) == ScopeNone {
			t.Errorf("%v is listed as banned", k.prefix())
		}
	}
	sound(t, l.e)
}

func BenchmarkPardonAll(b *testing.B) {
	e := million(b)
	for i := range e.opt.MaxBans {
		addr := netip.AddrFrom4([4]byte{64, byte(i >> 16), byte(i >> 8), byte(i)})
		_, _ = e.Impose(e.now, netip.PrefixFrom(addr, 32), ScopeAll, time.Hour)
	}
	for b.Loop() {
		e.PardonAll(e.now)
	}
}
