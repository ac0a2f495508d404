package policy

import (
	"fmt"
	"math"
	"net/netip"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/amifend/amifend/policy/internal/table"
)

// saved keeps what an engine gives, as a journal does.
type saved struct{ blocks [][]byte }

// changes takes what changed, in blocks of at most so many entries, until there is nothing more or
// after as many blocks.
func (s *saved) changes(e *Engine, most, blocks int) {
	for range blocks {
		out, n := e.Changes(nil, most)
		if n == 0 {
			return
		}
		s.blocks = append(s.blocks, out)
	}
}

func (s *saved) all(e *Engine) { s.changes(e, 5000, math.MaxInt) }

// stop is a clean stop.
func (s *saved) stop(e *Engine) {
	s.all(e)
	for done := false; !done; {
		var out []byte
		var n int
		if out, n, done = e.Rest(nil, 100); n > 0 {
			s.blocks = append(s.blocks, out)
		}
	}
}

func (s *saved) recall(t rapid.TB, o Options, now int64) (*Engine, Recalled) {
	t.Helper()
	e, got, err := Recall(o, now, slices.Values(s.blocks))
	if err != nil {
		t.Fatal(err)
	}
	return e, got
}

// stateOf returns all that an engine remembers, in the order in which its tables keep it. Two
// engines to which the same happened give the same bytes.
func stateOf(t rapid.TB, e *Engine) []byte {
	t.Helper()
	var out []byte
	for _, pass := range []func([]byte, int) ([]byte, int, bool){e.Sweep, e.Rest} {
		for done := false; !done; {
			out, _, done = pass(out, 1000)
		}
	}

	var bans []string
	for b := range e.Bans() {
		bans = append(bans, fmt.Sprintf("%+v", b))
	}
	slices.Sort(bans)
	return fmt.Append(out, bans)
}

// A kill forgets nothing that was saved: whatever happens, in whatever parts it is saved, and
// however often it was killed before.
func TestPropertyWhatIsSavedIsRecalled(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		o := fixedOptions()
		o.MaxSources, o.MaxBans, o.Seed = 4096, 2048, rapid.Uint64().Draw(t, "seed")
		e, err := New(o)
		if err != nil {
			t.Fatal(err)
		}
		var log, next saved // next: of the round of Sweep that is under way
		sweeping := false
		now := start
		for _, ob := range anyObservations(t, 50, 300) {
			now = max(now, ob.At)
			e.Observe(ob)
			switch rapid.IntRange(0, 40).Draw(t, "then") {
			case 0:
				e.Advance(now)
			case 1:
				e.Pardon(
					now,
					netip.PrefixFrom(
						anyAddr(t),
						rapid.SampledFrom([]int{8, 24, 32}).Draw(t, "bits"),
					),
				)
			case 2:
				_, _ = e.Impose(now, netip.PrefixFrom(anyAddr(t), 32), ScopeAll, time.Hour)
			case 3:
				e.Protect(now, protectedWorld)
			case 4, 5, 6:
				n := len(log.blocks)
				log.changes(
					e,
					rapid.IntRange(1, 20).Draw(t, "most"),
					rapid.IntRange(1, 5).Draw(t, "blocks"),
				)
				if sweeping {
					next.blocks = append(next.blocks, log.blocks[n:]...)
				}
			case 7, 8, 9:
				out, n, done := e.Sweep(nil, rapid.IntRange(1, 20).Draw(t, "most"))
				sweeping = true
				if n > 0 {
					log.blocks, next.blocks = append(log.blocks, out), append(next.blocks, out)
				}
				if done {
					log, next, sweeping = next, saved{}, false
				}
			case 10:
				e, _ = log.recall(t, o, now)
				sweeping, next = false, saved{}
			case 11:
				e.PardonAll(now)
			}
		}
		log.all(e)
		got, found := log.recall(t, o, now)
		if found.Damaged+found.Foreign+found.Dropped > 0 {
			t.Fatalf("found %+v", found)
		}
		sameLasting(t, e, got)
		sound(t, got)
	})
}

func anyAddr(t *rapid.T) netip.Addr {
	return netip.MustParseAddr(rapid.SampledFrom(world).Draw(t, "address"))
}

// sameLasting finds where the tables that outlast a crash differ. What one engine forgot since it
// means nothing any more may be remembered by the other.
func sameLasting(t rapid.TB, a, b *Engine) {
	t.Helper()
	a.setNow(max(a.now, b.now))
	b.setNow(a.now)
	near := func(x, y float32) bool { return math.Abs(float64(x-y)) < 2e-3 }
	compare(t, "source", a.sources, b.sources, func(ra, rb table.Ref) bool {
		get := func(e *Engine, r table.Ref) source {
			if r == 0 {
				return source{at: e.sec}
			}
			s := *e.sources.Val(r)
			e.decay(&s)
			if s.clean() && !e.hasProof(&s) && s.owns == 0 && s.guess+s.slowGuess == 0 &&
				s.trust == 0 {
				return source{at: e.sec}
			}
			if s.attempts == 0 {
				s.since = 0
			}
			if s.strikes == 0 {
				s.strikeAt = 0
			}
			s.pardon, s.gen = 0, 0
			return s
		}
		x, y := get(a, ra), get(b, rb)
		for _, p := range [][2]*float32{
			{&x.proven, &y.proven},
			{&x.forgeable, &y.forgeable},
			{&x.slowProven, &y.slowProven},
			{&x.slowForgeable, &y.slowForgeable},
			{&x.guess, &y.guess},
			{&x.slowGuess, &y.slowGuess},
			{&x.trust, &y.trust},
		} {
			if !near(*p[0], *p[1]) {
				t.Fatalf("source: %+v, recalled %+v", x, y)
			}
			*p[0] = *p[1]
		}
		if x.owned != 0 && y.owned != 0 && a.accounts.Key(x.owned) == b.accounts.Key(y.owned) {
			x.owned = y.owned
		}
		return x == y
	})
	compare(t, "network", a.networks, b.networks, func(ra, rb table.Ref) bool {
		get := func(e *Engine, r table.Ref) network {
			if r == 0 {
				return network{at: e.sec}
			}
			n := *e.networks.Val(r)
			e.decayNetwork(&n)
			if n.strikes == 0 && n.offenders == 0 && !e.holdsProof(&n) && n.attempts == 0 {
				return network{at: e.sec}
			}
			n.gen = 0
			return n
		}
		x, y := get(a, ra), get(b, rb)
		for _, p := range [][2]*float32{
			{&x.proven, &y.proven},
			{&x.forgeable, &y.forgeable},
			{&x.suspects, &y.suspects},
			{&x.provenSuspects, &y.provenSuspects},
			{&x.guess, &y.guess},
		} {
			if !near(*p[0], *p[1]) {
				t.Fatalf("network: %+v, recalled %+v", x, y)
			}
			*p[0] = *p[1]
		}
		return x == y
	})
	compare(t, "pair", a.pairs, b.pairs, func(ra, rb table.Ref) bool {
		if ra == 0 || rb == 0 {
			return false
		}
		k := a.pairs.Key(ra)
		get := func(e *Engine, r table.Ref) pair {
			p := *e.pairs.Val(r)
			if s := e.recordOf(k.host().key()); s != nil || e.general.no != 0 {
				p.applyPardon(e.recordOr(k.host().key()))
			}
			p.dropStale(e.sec)
			p.flags &^= pairChallenged
			p.pardon, p.rateProven = 0, 0
			return p
		}
		return get(a, ra) == get(b, rb)
	})
	compare(
		t,
		"account",
		a.accounts,
		b.accounts,
		func(ra, rb table.Ref) bool { return ra != 0 && rb != 0 && *a.accounts.Val(ra) == *b.accounts.Val(rb) },
	)
	compare(
		t,
		"trail",
		a.trails,
		b.trails,
		func(ra, rb table.Ref) bool { return ra != 0 && rb != 0 && *a.trails.Val(ra) == *b.trails.Val(rb) },
	)
	compare(
		t,
		"alert",
		a.alerts,
		b.alerts,
		func(ra, rb table.Ref) bool { return ra != 0 && rb != 0 && *a.alerts.Val(ra) == *b.alerts.Val(rb) },
	)
	compare(t, "condition", a.conditions, b.conditions, func(ra, rb table.Ref) bool {
		return ra != 0 && rb != 0 && *a.conditions.Val(ra) == *b.conditions.Val(rb)
	})
}

// compare calls same for each key that one of the tables has.
func compare[K table.Key, V any, L ~uint8](
	t rapid.TB, what string, a, b *table.Table[K, V, L], same func(ra, rb table.Ref) bool,
) {
	t.Helper()
	show := func(tab *table.Table[K, V, L], r table.Ref) string {
		if r == 0 {
			return "nothing"
		}
		return fmt.Sprintf("%+v", *tab.Val(r))
	}
	for _, tab := range []*table.Table[K, V, L]{a, b} {
		for r := range tab.OldestFirst() {
			k := tab.Key(r)
			if ra, rb := a.Get(k), b.Get(k); !same(ra, rb) {
				t.Fatalf("%s %+v: %s, recalled %s", what, k, show(a, ra), show(b, rb))
			}
		}
	}
}

// Whoever was pardoned begins anew, also after a kill: whatever was saved of it before, and though
// it may be forgotten to make room before or after.
func TestPropertyPardonOutlastsAKill(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		l := newLab(t, func(o *Options) { o.MaxSources, o.MaxBans = minSources, minSources/2 })
		var log saved
		something := func(label string) {
			for range rapid.IntRange(0, 6).Draw(t, label) {
				switch rapid.IntRange(0, 5).Draw(t, "what") {
				case 0:
					for i := range rapid.IntRange(1, 100).Draw(t, "flood") {
						l.feed(forged(spoofed(i)))
					}
				case 1:
					l.wait(time.Second)
				case 2:
					l.wait(10 * time.Minute)
				case 3:
					log.changes(
						l.e,
						rapid.IntRange(1, 50).Draw(t, "most"),
						rapid.IntRange(1, 3).Draw(t, "blocks"),
					)
				case 4:
					if out, n, _ := l.e.Sweep(nil, rapid.IntRange(1, 50).Draw(t, "most")); n > 0 {
						log.blocks = append(log.blocks, out)
					}
				case 5:
					l.e, _ = log.recall(t, l.e.opt, l.now)
				}
			}
		}
		something("before")
		l.feed(guesses(rapid.IntRange(1, 6).Draw(t, "guesses"), attacker)...)
		something("held")
		switch prefix := rapid.SampledFrom([]string{
			attacker + "/32", "203.0.113.0/24", "0.0.0.0/0", "all",
		}).Draw(t, "pardon"); prefix {
		case "all":
			l.take(l.e.PardonAll(l.now))
		default:
			l.take(l.e.Pardon(l.now, netip.MustParsePrefix(prefix)))
		}
		if rapid.Bool().Draw(t, "at once") {
			log.changes(l.e, 1, 1)
		} else {
			log.changes(l.e, rapid.IntRange(1, 50).Draw(t, "most"), 1)
		}
		something("after")
		e, _ := log.recall(t, l.e.opt, l.now)
		x := e.Explain(hostAddr(attacker))
		if x.Banned || x.Attempts != 0 || x.Strikes != 0 ||
			len(x.Scores) > 0 &&
				(x.Scores[0].Proven+x.Scores[0].Forgeable > 0 || x.Scores[1].Forgeable > 0) {
			t.Fatalf("recalled: %+v", x)
		}
		for _, p := range x.Prefixes {
			if p.Offenders > 0 {
				t.Fatalf("recalled: %+v", p)
			}
		}
	})
}
