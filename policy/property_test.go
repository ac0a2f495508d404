package policy

import (
	"fmt"
	"math"
	"net/netip"
	"reflect"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// The world of the properties: few addresses, so that events meet; neighbours of what is protected
// among them.
var world = []string{
	"198.51.100.1", "198.51.100.2", "203.0.113.9", "192.0.2.10", "127.0.0.1", "224.0.0.5",
	"2001:db8:bad::1", "2001:db8:bad::2", "2001:db8:bad::3", "2001:db8:20::10", "2001:db8:20::11",
	"fe80::5", "64:ff9b::1",
}

var protectedWorld = NewProtected([]ProtectedEntry{
	{netip.MustParsePrefix("192.0.2.0/24"), "allow"},
	{netip.MustParsePrefix("2001:db8:20::10/128"), "PBX"},
}, nil)

// anyObservation draws whatever a hostile network and a confused decoder may bring.
func anyObservation(now *int64) *rapid.Generator[Observation] {
	return rapid.Custom(func(t *rapid.T) Observation {
		*now += rapid.SampledFrom([]int64{0, 0, 0, 1e6, 1e9, 3e9, 40e9, 3600e9, 86400e9}).
			Draw(t, "gap")
		flag := rapid.Bool()
		rare := rapid.Custom(
			func(t *rapid.T) bool { return rapid.IntRange(0, 15).Draw(t, "rare") == 15 },
		)
		return Observation{
			At: *now - rapid.SampledFrom([]int64{0, 0, 0, 5e9}).Draw(t, "jitter"),
			Source: netip.AddrPortFrom(
				netip.MustParseAddr(rapid.SampledFrom(world).Draw(t, "source")),
				rapid.SampledFrom([]uint16{5060, 1024}).Draw(t, "port")),
			Server:   rapid.Uint16Range(0, 1).Draw(t, "server"),
			Kind:     Kind(rapid.IntRange(0, int(KindCount)+1).Draw(t, "kind")),
			Service:  Service(rapid.IntRange(0, int(serviceCount)).Draw(t, "service")),
			Stream:   flag.Draw(t, "stream"),
			Password: flag.Draw(t, "password"),
			Unknown:  flag.Draw(t, "unknown"),
			Injected: rare.Draw(t, "injected"),
			Accepted: flag.Draw(t, "accepted"),
			Session:  rapid.Uint64Range(0, 2).Draw(t, "session"),
			Account: hasher.Label(
				[]byte(rapid.SampledFrom([]string{"a", "b", unknown}).Draw(t, "account")),
			),
		}
	})
}

func anyObservations(t *rapid.T, low, high int) []Observation {
	now := start
	return rapid.SliceOfN(anyObservation(&now), low, high).Draw(t, "observations")
}

// play feeds an engine and calls see after each step with what it decided.
func play(e *Engine, os []Observation, see func(o Observation, vs []Verdict)) {
	for i, o := range os {
		see(o, e.Observe(o))
		if i%5 == 4 {
			see(o, e.Advance(o.At))
		}
	}
}

func mustNew(t rapid.TB, change func(*Options)) *Engine {
	o := fixedOptions()
	o.MaxSources, o.MaxBans = 4096, 2048
	if change != nil {
		change(&o)
	}
	e, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func TestPropertyProtectedIsNeverBanned(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		e := mustNew(t, nil)
		e.Protect(start, protectedWorld)
		play(e, anyObservations(t, 50, 400), func(_ Observation, vs []Verdict) {
			for _, v := range vs {
				if reason, ok := protectedWorld.Overlaps(v.Prefix); ok && v.Action == ActionBan {
					t.Fatalf("banned %v, which holds %s", v.Prefix, reason)
				}
			}
		})
		for _, a := range []string{"192.0.2.10", "127.0.0.1", "224.0.0.5", "2001:db8:20::10"} {
			if b, ok := e.Ban(netip.MustParseAddr(a)); ok {
				t.Fatalf("%s is banned: %+v", a, b)
			}
		}
	})
}

// isProof reports whether an observation proves its source.
func isProof(o Observation) bool {
	return o.Kind == KindSuccessfulAuth && !o.Injected && (o.Password || o.Chooser().Proven())
}

// A source is proved and innocent if the first that was ever heard of it was a success, if nothing
// but successes came over a stream in its name since, and if its latest success is younger than the
// window. Whatever is forged in its name, and whatever others do: it is not banned, nor is a prefix
// that holds it.
func TestPropertyProvedAndInnocentIsNeverBanned(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		e := mustNew(t, func(o *Options) { o.Canaries = []string{"b"} })
		type phone struct {
			proofAt int64
			guilty  bool
		}
		phones := map[netip.Addr]*phone{}
		os := anyObservations(t, 50, 400)
		play(e, os, func(o Observation, vs []Verdict) {
			addr := o.Source.Addr()
			p := phones[addr]
			if p == nil {
				p = &phone{guilty: !isProof(o)}
				phones[addr] = p
			}
			canary := o.Account == hasher.Label([]byte("b")) && !o.Unknown
			switch {
			case isProof(o) && !canary:
				p.proofAt = e.now
			case o.Stream || isProof(o):
				p.guilty = true
			}
			for a, p := range phones {
				if e.now-p.proofAt >= int64(23*time.Hour) {
					if _, banned := e.Ban(a); banned {
						// its proof had ended: that ban runs on when it proves itself again
						p.guilty = true
					}
				}
				if p.guilty || e.now-p.proofAt >= int64(23*time.Hour) {
					continue
				}
				for _, v := range vs {
					if v.Action == ActionBan && v.Prefix.Contains(a) {
						t.Fatalf("%v is innocent, and yet: %s", a, brief(v))
					}
				}
				if b, ok := e.Ban(a); ok {
					t.Fatalf("%v is innocent, and yet %v is banned by %s", a, b.Prefix, b.Rule)
				}
			}
		})
	})
}

// The kernel, if it did just what verdicts ask for, would agree with the engine at any time; no ban
// outlasts ban_max, none is asked for twice, none is lifted that does not run.
func TestPropertyVerdictsTellAllBans(t *testing.T) {
	type element struct {
		scope Scope
		until int64
	}
	type place struct { // a prefix may be banned twice: see banKey
		prefix netip.Prefix
		stream bool
	}
	rapid.Check(t, func(t *rapid.T) {
		e := mustNew(t, nil)
		kernel := map[place]element{}
		play(e, anyObservations(t, 50, 400), func(_ Observation, vs []Verdict) {
			for _, v := range vs {
				at := place{v.Prefix, v.Scope == ScopeStream}
				old, running := kernel[at]
				running = running && old.until > v.At
				switch v.Action {
				case ActionBan:
					until := v.At + int64(v.Duration)
					if running && (v.Scope <= old.scope || until < old.until) || v.Duration <= 0 ||
						v.Duration > 720*time.Hour {
						t.Fatalf("%s after %+v", brief(v), old)
					}
					byScore := v.Rule != RuleSecondOffender && v.Rule != RuleCompromised &&
						v.Rule != RuleInjection
					if byScore && v.Score <= 3 || v.Attempts < 1 ||
						v.Strike < 1 != !v.Chooser.needsSpoofing() ||
						len(v.Evidence) == 0 && v.Rule != RuleCompromised {
						t.Fatalf("%s does not explain itself", brief(v))
					}
					kernel[at] = element{v.Scope, until}
				case ActionUnban:
					if !running {
						t.Fatalf("unban of %v, which is not banned", v.Prefix)
					}
					delete(kernel, at)
				default: // an alert changes nothing in the kernel
				}
			}
			for p, el := range kernel {
				if el.until <= e.now {
					delete(kernel, p)
				}
			}
			n := 0
			for b := range e.Bans() {
				n++
				if el := kernel[place{b.Prefix, b.Scope == ScopeStream}]; el.scope != b.Scope || el.until != b.Until {
					t.Fatalf("engine %+v, kernel %+v", b, el)
				}
			}
			if n != len(kernel) {
				t.Fatalf("engine has %d bans, kernel %d", n, len(kernel))
			}
		})
	})
}

// Same input, same output; and while nothing is evicted the seed does not matter.
func TestPropertyDeterministic(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		os := anyObservations(t, 50, 400)
		var runs [3]lab
		for i, seed := range []uint64{0, 0, rapid.Uint64().Draw(t, "seed")} {
			runs[i].e = mustNew(t, func(o *Options) { o.Seed = seed })
			play(runs[i].e, os, func(_ Observation, vs []Verdict) { runs[i].take(vs) })
		}
		for i := range runs[1:] {
			if !reflect.DeepEqual(runs[0].got, runs[i+1].got) {
				t.Fatalf("run %d differs: %s", i+1, difference(runs[0].got, runs[i+1].got))
			}
		}
	})
}

// Whatever comes, no table grows past its bound, none is damaged, and a source with a running ban
// is not forgotten.
func TestPropertyBounded(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		e := mustNew(t, func(o *Options) { o.MaxSources, o.MaxBans = minSources, 8 })
		os := anyObservations(t, 100, 400)
		spread := rapid.IntRange(1, 64).Draw(t, "spread")
		for i := range os {
			if i%3 != 0 {
				a := os[i].Source.Addr().As16()
				a[7], a[15] = a[7]+byte(i%spread), a[15]+byte(i%spread)
				os[i].Source = netip.AddrPortFrom(netip.AddrFrom16(a).Unmap(), 5060)
			}
		}
		play(e, os, func(Observation, []Verdict) {
			for b := range e.Bans() {
				k, _ := prefixKey(b.Prefix)
				if k.bits != hostBits {
					if r := e.networks.Get(k); r == 0 || e.networks.List(r) != listBanned {
						t.Fatalf("banned prefix %v is forgotten", b.Prefix)
					}
				} else if r := e.sources.Get(k.host()); r == 0 || e.sources.List(r) != listBanned {
					t.Fatalf("banned source %v is forgotten", b.Prefix)
				}
			}
		})
		sound(t, e)
	})
}

// difference tells where two runs decide differently, "" if they do not. Scores that faded in more
// steps differ in their last digit.
func difference(a, b []Verdict) string {
	near := func(x, y float64) bool { return math.Abs(x-y) < 0.0021 }
	same := func(v, w Verdict) bool {
		if !near(v.Score, w.Score) || !near(v.Rate, w.Rate) || len(v.Evidence) != len(w.Evidence) {
			return false
		}
		for i, ev := range v.Evidence {
			if ow := w.Evidence[i]; !near(float64(ev.Weight), float64(ow.Weight)) {
				return false
			} else if ev.Weight = ow.Weight; ev != ow {
				return false
			}
		}
		v.Evidence, v.Score, v.Rate = w.Evidence, w.Score, w.Rate
		return reflect.DeepEqual(v, w)
	}
	for i := range max(len(a), len(b)) {
		switch {
		case i >= len(a):
			return "only the second: " + brief(b[i])
		case i >= len(b):
			return "only the first: " + brief(a[i])
		case !same(a[i], b[i]):
			return fmt.Sprintf(
				"verdict %d at %d, %d:\n%s\n%s",
				i,
				a[i].At-start,
				b[i].At-start,
				brief(a[i]),
				brief(b[i]),
			)
		}
	}
	return ""
}

// How often Advance is called changes no verdict, only how soon one that time alone decides is
// told.
func TestPropertyAdvanceDecidesNothingElse(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		os := anyObservations(t, 50, 400)
		var runs [2]lab
		for i, advance := range []bool{false, true} {
			runs[i].e = mustNew(t, nil)
			for _, o := range os {
				if advance {
					runs[i].take(runs[i].e.Advance(o.At - 1))
					runs[i].take(runs[i].e.Advance(o.At))
				}
				runs[i].take(runs[i].e.Observe(o))
			}
			runs[i].take(runs[i].e.Advance(os[len(os)-1].At + int64(time.Minute)))
		}
		if d := difference(runs[0].got, runs[1].got); d != "" {
			t.Fatal(d)
		}
	})
}

// An attacker is banned at the same attempt whatever others send in between.
func TestPropertyOthersChangeNothing(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		e := mustNew(t, nil)
		noise := anyObservations(t, 10, 60)
		const me = "198.51.100.99"
		banned := 0
		take := func(vs []Verdict) {
			for _, v := range vs {
				if v.Prefix.Contains(netip.MustParseAddr(me)) {
					banned = v.Attempts
				}
			}
		}
		now := start
		for n := 1; banned == 0; n++ {
			if n > 4 {
				t.Fatal("not banned at the fourth attempt")
			}
			for range rapid.IntRange(0, 10).Draw(t, "between") {
				if len(noise) > 0 {
					noise[0].At = now
					take(e.Observe(noise[0]))
					noise = noise[1:]
				}
			}
			now += 1e6
			o := event(KindInvalidAccountID, ServicePJSIP, me, fmt.Sprint(n), "c")
			o.At = now
			take(e.Observe(o))
		}
		if banned != 4 {
			t.Fatalf("banned at attempt %d", banned)
		}
	})
}
