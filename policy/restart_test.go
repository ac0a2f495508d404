package policy

import (
	"fmt"
	"math"
	"math/rand/v2"
	"net/netip"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// eventful returns an engine that remembers something of every sort, and small options to recall it
// with.
func eventful(t rapid.TB) (*lab, Options) {
	t.Helper()
	o := fixedOptions()
	o.MaxSources, o.MaxBans, o.Seed = minSources, minSources/2, 7
	e, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	l := &lab{t: t, e: e, now: start}
	l.feed(registered(phone))
	l.feed(guesses(6, phone)...)
	l.feed(challenges(6, "192.0.2.1")...)
	l.feed(unknownUser("a", "c")...)
	l.feed(unknownUser("a", "c")[0]) // held
	l.scan(attacker)
	l.strangers(8, "1009")
	l.feed(success("192.0.2.9", "1009"))
	for name, n := range map[string]int{
		"sources": e.sources.Len(), "networks": e.networks.Len(), "pairs": e.pairs.Len(), "accounts": e.accounts.Len(),
		"requests": e.requests.Len(), "silents": e.silents.Len(), "trails": e.trails.Len(), "bans": e.bans.Len(),
		"alerts": e.alerts.Len(), "conditions": e.conditions.Len(),
	} {
		if n == 0 {
			t.Fatalf("the state has no %s", name)
		}
	}
	return l, o
}

// sound finds what does not hold between the parts of an engine's tables.
func sound(t rapid.TB, e *Engine) {
	t.Helper()
	for name, tab := range map[string]interface{ Check() error }{
		"sources": e.sources, "networks": e.networks, "pairs": e.pairs, "accounts": e.accounts,
		"requests": e.requests, "dialogs": e.dialogs, "silents": e.silents, "trails": e.trails,
		"bans": e.bans, "alerts": e.alerts, "vouchers": e.vouchers, "attacks": e.attacks,
		"sites": e.sites, "sharers": e.sharers, "passes": e.passes,
		"conditions": e.conditions,
	} {
		if err := tab.Check(); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
	}
}

// A clean stop forgets nothing: what was recalled decides as the engine that was stopped, and gives
// the same state.
func TestPropertyRecalledEngineGoesOn(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		os := anyObservations(t, 50, 400)
		cut := rapid.IntRange(0, len(os)).Draw(t, "cut")
		o := fixedOptions()
		o.MaxSources, o.MaxBans, o.Seed = 4096, 2048, rapid.Uint64Min(1).Draw(t, "seed")
		e, err := New(o)
		if err != nil {
			t.Fatal(err)
		}
		play(e, os[:cut], func(Observation, []Verdict) {})

		// The first restart lets pass what was half told; the second one has nothing to change.
		stopped := restarted(t, e)
		recalled := restarted(t, stopped)
		sound(t, recalled)
		sameLasting(t, stopped, recalled)

		var runs [2][]Verdict
		for i, e := range []*Engine{stopped, recalled} {
			play(e, os[cut:], func(_ Observation, vs []Verdict) {
				for _, v := range vs {
					v.Evidence = append([]Evidence(nil), v.Evidence...)
					runs[i] = append(runs[i], v)
				}
			})
		}
		if d := difference(runs[0], runs[1]); d != "" {
			t.Fatalf("verdicts differ: %s", d)
		}
	})
}

// restarted returns what a clean stop and a start make of an engine. Its bans are those of the
// journal.
func restarted(t rapid.TB, e *Engine) *Engine {
	t.Helper()
	var log saved
	for done := false; !done; {
		var out []byte
		out, _, done = e.Sweep(nil, 1000)
		if len(out) > 0 {
			log.blocks = append(log.blocks, out)
		}
	}
	log.stop(e)

	out, found := log.recall(t, e.opt, e.now)
	if found.Damaged+found.Foreign+found.Dropped > 0 {
		t.Fatalf("found %+v", found)
	}
	for b := range e.Bans() {
		if vs := out.AdoptBan(e.now, b); len(vs) > 0 {
			t.Fatalf("adopt %+v: %+v", b, vs)
		}
	}
	return out
}

// A block with a value that means nothing is left out from there on.
func TestRecallRefusesInvalidValues(t *testing.T) {
	for name, damage := range map[string]func(e *Engine){
		"NaN":      func(e *Engine) { e.sources.Val(1).proven = float32(math.NaN()) },
		"infinite": func(e *Engine) { e.networks.Val(1).forgeable = float32(math.Inf(1)) },
		"negative": func(e *Engine) { e.pairs.Val(1).debt.proven = -1 },
		"a rule":   func(e *Engine) { e.alerts.Add(alertKey{rule: ruleCount}, only) },
		"a condition that is none": func(e *Engine) {
			e.conditions.Add(alertKey{rule: RuleBansFull}, 0)
		},
		"the state of a condition": func(e *Engine) {
			r := e.conditions.Add(alertKey{rule: RuleSpoofFlood}, 0)
			e.conditions.Val(r).state = conditionStates
		},
		"a kind":         func(e *Engine) { e.trails.Val(1).ring[0].Kind = KindCount },
		"a class":        func(e *Engine) { e.trails.Val(1).ring[0].Chooser = Chooser(NumChoosers) },
		"a label":        func(e *Engine) { e.accounts.Val(1).n = labelText + 1 },
		"empty evidence": func(e *Engine) { e.trails.Val(1).n = 0 },
		"a prefix":       func(e *Engine) { e.networks.Add(key{bits: hostBits + 1}, listCalm) },
		"host bits": func(e *Engine) {
			*e.trails.Val(e.trails.Add(key{lo: 1, bits: 100}, trailsSingle)) = *e.trails.Val(1)
		},
		"challenges":  func(e *Engine) { e.silents.Val(1).weighed = 99 },
		"a held kind": func(e *Engine) { e.requests.Val(1).kind = KindCount },
	} {
		l, o := eventful(t)
		log := &saved{}
		log.stop(restarted(t, l.e))
		if _, found := log.recall(t, o, l.now); found.Damaged != 0 {
			t.Fatalf("undamaged: %+v", found)
		}

		damage(l.e)
		bad := &saved{}
		for _, pass := range []func([]byte, int) ([]byte, int, bool){l.e.Sweep, l.e.Rest} {
			for done := false; !done; {
				var out []byte
				if out, _, done = pass(nil, 1000); len(out) > 0 {
					bad.blocks = append(bad.blocks, out)
				}
			}
		}
		if _, found := bad.recall(t, o, l.now); found.Damaged == 0 {
			t.Errorf("%s: it was taken", name)
		}
	}
}

// With less room the newest are kept, and all that runs: bans, and the proof of the phone that was
// heard last.
func TestRestartWithLessRoomKeepsTheNewest(t *testing.T) {
	roomy := func(o *Options) { o.MaxSources, o.MaxBans = 4096, 1024 }
	l := newLab(t, roomy, off(RuleAccountUnderAttack, RuleServerUnderAttack))
	for i := range 1000 {
		l.every(time.Second, forged(spoofed(i)))
	}
	for i := range 10 {
		l.scan(fmt.Sprintf("203.0.%d.1", i))
	}
	l.feed(registered(phone))

	var log saved
	log.all(l.e)
	o := fixedOptions()
	o.MaxSources, o.MaxBans = 128, 64
	l.killed(&log, o)
	if n := l.e.sources.Len(); n != 128 {
		t.Errorf("sources: got %d, want 128", n)
	}
	if !l.explain(phone).Proved {
		t.Error("the phone is forgotten")
	}
	for i := range 10 {
		if a := fmt.Sprintf("203.0.%d.1", i); !l.isBanned(a) {
			t.Errorf("%s is not banned any more", a)
		}
	}
	for i := range 1000 {
		if known, want := l.explain(spoofed(i)).Known, i >= 1000-117; known != want {
			t.Errorf("source %d: known %v, want %v", i, known, want)
		}
	}

	sound(t, l.e)
	l.drop()
	l.flood(rand.New(rand.NewPCG(1, 2)), 5000, 1) // and nothing breaks
	sound(t, l.e)
}

// The seed is that of the blocks; options that changed count from now on; what is protected is not
// saved.
func TestRestartTakesTheNewOptions(t *testing.T) {
	l, o := eventful(t)
	listed := ProtectedEntry{netip.MustParsePrefix("198.51.100.7/32"), "allow"}
	l.e.Protect(l.now, NewProtected([]ProtectedEntry{listed}, nil))
	o.Seed, o.Threshold, o.Off = 99, 100, RuleSet(1<<RuleProvedGuessing)

	var log saved
	log.stop(l.e)
	l.killed(&log, o)
	l.drop()
	if l.e.Seed() != 7 {
		t.Errorf("seed: got %d, want 7", l.e.Seed())
	}
	if x := l.explain("198.51.100.7"); x.Protected != "" {
		t.Errorf("protected: got %q", x.Protected)
	}
	l.feed(all(guesses(20, "198.51.100.7"), overStream)...)
	l.quiet()
	if !l.isBanned(attacker) {
		t.Error("the ban is forgotten")
	}
}

// A ban from the future, decided while the clock was wrong, lasts no longer than it was decided
// for, and neither its strike nor a proof lasts longer than it may.
func TestAdoptedBanOfTheFutureIsNotLongerThanDecided(t *testing.T) {
	l := newLab(t)
	o := l.e.opt
	l.now += int64(365 * 24 * time.Hour)
	l.feed(registered(phone))
	l.feed(guesses(4, attacker)...)
	l.banned()

	var log saved
	log.stop(l.e)
	l.now = start
	l.killed(&log, o)
	b, ok := l.e.Ban(hostAddr(attacker))
	if left := time.Duration(b.Until - l.now); !ok || left > 10*time.Minute {
		t.Errorf("ten minutes were decided, %v are left", left)
	}

	l.wait(o.BanMax + time.Second)
	if l.isBanned(attacker) {
		t.Error("banned for longer than ban_max")
	}
	if l.explain(phone).Proved {
		t.Error("the proof lasts")
	}
	l.scan("203.0.113.77")
	if !l.isBanned("203.0.113.77") {
		t.Error("a new attacker is not banned")
	}
}
