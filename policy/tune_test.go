package policy

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// tune gives the engine other options.
func (l *lab) tune(change func(*Options)) {
	l.t.Helper()
	o := l.e.opt
	change(&o)
	vs, err := l.e.Tune(l.now, o)
	if err != nil {
		l.t.Fatal(err)
	}
	l.take(vs)
}

func TestTuneKeepsScores(t *testing.T) {
	l := newLab(t)
	l.feed(all(guesses(2, attacker), overStream)...)
	l.feed(registered(phone))
	l.scan("203.0.113.77")
	l.drop()
	l.tune(func(o *Options) { o.Threshold, o.BanTime = 2, 2*time.Hour })
	l.quiet()
	if x := l.e.Explain(hostAddr(attacker)); x.Attempts != 2 || x.Scores[0].Limit != 2 ||
		x.MoreUnknown != 1 {
		t.Errorf("explained: %+v", x)
	}
	if b, ok := l.e.Ban(hostAddr("203.0.113.77")); !ok ||
		time.Duration(b.Until-b.From) != time.Hour ||
		!l.e.Explain(hostAddr(phone)).Proved {
		t.Errorf("the ban: %+v, %v; or the phone is forgotten", b, ok)
	}
	l.feed(all(guesses(3, attacker)[2:], overStream)...)
	if v := l.banned(); v.Attempts != 3 || v.Duration != 2*time.Hour {
		t.Errorf("banned: %+v", v)
	}
	l.drop()
	l.feed(event(KindInvalidAccountID, ServicePJSIP, "203.0.113.99", "admin", "c"))
	l.quiet()
	l.tune(func(o *Options) { o.Canaries = []string{"admin"} })
	l.feed(event(KindInvalidAccountID, ServicePJSIP, "203.0.113.98", "admin", "c"))
	if v := l.banned(); v.Rule != RuleCanary {
		t.Errorf("banned: %+v", v)
	}
	l.drop()
	l.tune(off(RuleScore, RuleProvenScore, RuleLongMemory, RuleSecondOffender))
	l.feed(all(guesses(20, "198.51.100.9"), overStream)...)
	l.noBan()
}

func TestTuneRefusesWhatCannotWork(t *testing.T) {
	l := newLab(t)
	o := l.e.opt
	o.Threshold = -1
	if _, err := l.e.Tune(l.now, o); err == nil || l.e.opt.Threshold != 3 {
		t.Errorf("got %v, the threshold is %v", err, l.e.opt.Threshold)
	}
}

// What faded until a half-life changed stays faded, and goes on with the new one; also when it
// changed in the file while the daemon was down.
func TestTuneHalfLife(t *testing.T) {
	score := func(l *lab) float64 {
		x := l.e.Explain(hostAddr(attacker))
		return x.Scores[0].Proven
	}
	for _, next := range []time.Duration{24 * time.Hour, time.Minute} {
		for _, how := range []string{"tuned", "recalled"} {
			l := newLab(t)
			l.feed(all(guesses(2, attacker), overStream)...)
			// two half-lives, in which nobody looks at the source
			l.every(40*time.Minute, registered(phone))
			before := score(l)
			if math.Abs(before-0.5) > 0.01 {
				t.Fatalf("before: %v", before)
			}
			o := l.e.opt
			o.HalfLife = next
			switch how {
			case "tuned":
				l.tune(func(o *Options) { o.HalfLife = next })
			case "recalled":
				var log saved
				log.all(l.e)
				l.e, _ = log.recall(t, o, l.now)
			}
			if after := score(l); math.Abs(after-before) > 0.001 {
				t.Errorf("%s to %v: %v, before %v", how, next, after, before)
			}
			l.every(next, registered(phone))
			if after := score(l); math.Abs(after-before/2) > 0.01 {
				t.Errorf("%s to %v: after a half-life %v, before %v", how, next, after, before)
			}
		}
	}
}

// Less room forgets those that were quiet longest, and no ban; more room is used.
func TestTuneRoom(t *testing.T) {
	l := newLab(
		t,
		func(o *Options) { o.MaxSources, o.MaxBans = 4096, 1024 },
		off(RuleAccountUnderAttack, RuleServerUnderAttack),
	)
	rng := rand.New(rand.NewPCG(1, 2))
	l.flood(rng, 5000, 1)
	for i := range 20 {
		l.scan(fmt.Sprintf("203.0.%d.1", i))
	}
	l.feed(registered(phone))
	holds := func(sources int) {
		t.Helper()
		if l.e.sources.Len() > sources || l.e.sources.Max() != sources {
			t.Errorf("sources: %d of %d, want %d", l.e.sources.Len(), l.e.sources.Max(), sources)
		}
		tables := []interface{ Check() error }{l.e.sources, l.e.networks, l.e.pairs, l.e.accounts}
		for _, tab := range tables {
			if err := tab.Check(); err != nil {
				t.Error(err)
			}
		}
		for i := range 20 {
			if a := fmt.Sprintf("203.0.%d.1", i); !l.isBanned(a) {
				t.Errorf("%s is not banned any more", a)
			}
		}
		if !l.e.Explain(hostAddr(phone)).Proved {
			t.Error("the phone is forgotten")
		}
	}
	l.tune(func(o *Options) { o.MaxSources, o.MaxBans = 128, 10 })
	holds(128)
	l.scan("203.0.113.200")
	if l.isBanned("203.0.113.200") {
		t.Error("a ban beyond max_bans")
	}
	l.tune(func(o *Options) { o.MaxSources, o.MaxBans = 100_000, 1000 })
	l.flood(rng, 20_000, 1)
	holds(100_000)
	if n := l.e.sources.Len(); n < 20_000 {
		t.Errorf("sources: %d", n)
	}
	l.scan("203.0.113.201")
	if !l.isBanned("203.0.113.201") {
		t.Error("no ban, though there is room")
	}
}

// Tuned to the same options, or away and back, an engine decides the same.
func TestPropertyTuneForgetsNothing(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		os := anyObservations(t, 50, 300)
		at := rapid.IntRange(0, len(os)-1).Draw(t, "at")
		var runs [2]lab
		for i := range runs {
			e := mustNew(t, nil)
			l := &lab{t: t, e: e, now: start}
			for n, o := range os {
				if i == 1 && n == at {
					l.now = e.now
					was := e.opt
					l.tune(func(o *Options) {
						o.Threshold, o.HalfLife, o.MaxSources, o.Canaries = 9, time.Hour, 1<<20, []string{
							"zz",
						}
					})
					l.tune(func(o *Options) { *o = was })
				}
				l.take(e.Observe(o))
			}
			runs[i] = *l
		}
		if d := difference(runs[0].got, runs[1].got); d != "" {
			t.Fatal(d)
		}
	})
}

func BenchmarkTune(b *testing.B) {
	e := million(b)
	o := e.opt
	for _, tt := range []struct {
		name   string
		change func(i int)
	}{
		{"threshold", func(i int) { o.Threshold = 3 + float64(i%2) }},
		{"half_life", func(i int) { o.HalfLife = time.Duration(20+i%2) * time.Minute }},
		{"more_room", func(i int) { o.MaxSources = 1_000_000 << (i % 2) }},
	} {
		b.Run(tt.name, func(b *testing.B) {
			for i := 0; b.Loop(); i++ {
				tt.change(i)
				if _, err := e.Tune(e.now, o); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
	b.Run("less_room", func(b *testing.B) {
		for b.Loop() {
			b.StopTimer()
			e := million(b)
			o := e.opt
			o.MaxSources, o.MaxBans = 100_000, 50_000
			b.StartTimer()
			if _, err := e.Tune(e.now, o); err != nil {
				b.Fatal(err)
			}
		}
	})
}
