package policy

import (
	"fmt"
	"net/netip"
	"reflect"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// The world of the properties: few addresses, so that events meet; neighbours of what is protected among them.
var world = []string{
	"198.51.100.1", "198.51.100.2", "203.0.113.9", "192.0.2.10", "127.0.0.1", "224.0.0.5",
	"2001:db8:bad::1", "2001:db8:bad::2", "2001:db8:bad::3", "2001:db8:20::10", "2001:db8:20::11", "fe80::5", "64:ff9b::1",
}

var protectedWorld = NewProtected([]ProtectedEntry{
	{netip.MustParsePrefix("192.0.2.0/24"), "allow"},
	{netip.MustParsePrefix("2001:db8:20::10/128"), "PBX"},
}, nil)

// anyObservation draws whatever a hostile network and a confused decoder may bring.
func anyObservation(now *int64) *rapid.Generator[Observation] {
	return rapid.Custom(func(t *rapid.T) Observation {
		*now += rapid.SampledFrom([]int64{0, 0, 0, 1e6, 1e9, 3e9, 40e9, 3600e9, 86400e9}).Draw(t, "gap")
		flag := rapid.Bool()
		rare := rapid.Custom(func(t *rapid.T) bool { return rapid.IntRange(0, 15).Draw(t, "rare") == 15 })
		return Observation{
			At: *now - rapid.SampledFrom([]int64{0, 0, 0, 5e9}).Draw(t, "jitter"),
			Source: netip.AddrPortFrom(
				netip.MustParseAddr(rapid.SampledFrom(world).Draw(t, "source")),
				rapid.SampledFrom([]uint16{5060, 1024}).Draw(t, "port")),
			Server:    rapid.Uint16Range(0, 1).Draw(t, "server"),
			Kind:      Kind(rapid.IntRange(0, int(KindCount)+1).Draw(t, "kind")),
			Service:   Service(rapid.IntRange(0, 4).Draw(t, "service")),
			Stream:    flag.Draw(t, "stream"),
			Password:  flag.Draw(t, "password"),
			RoundTrip: flag.Draw(t, "roundtrip"),
			Unknown:   flag.Draw(t, "unknown"),
			Injected:  rare.Draw(t, "injected"),
			Session:   rapid.Uint64Range(0, 2).Draw(t, "session"),
			Account:   hasher.Label([]byte(rapid.SampledFrom([]string{"a", "b", unknown}).Draw(t, "account"))),
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
	o := DefaultOptions()
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

// While a source is proved, nothing forged bans it, nor its /64. A ban from before the proof may still run.
func TestPropertyForgeableEvidenceNeverBansAProvedSource(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		e := mustNew(t, nil)
		proofs := map[netip.Addr]int64{}
		play(e, anyObservations(t, 50, 400), func(o Observation, vs []Verdict) {
			addr := o.Source.Addr()
			if o.Kind == KindSuccessfulAuth && !o.Injected && (o.Password || o.Stream) {
				proofs[addr] = e.now
			}
			for _, v := range vs {
				if v.Action != ActionBan {
					continue
				}
				for a, at := range proofs {
					if v.Prefix.Contains(a) && e.now-at < int64(24*time.Hour) && (v.Scope != ScopeAll || !v.Prefix.IsSingleIP()) {
						t.Fatalf("banned %v (%s, scope %v), which holds the proved %v", v.Prefix, v.Rule, v.Scope, a)
					}
				}
			}
		})
	})
}

// The kernel, if it did just what verdicts ask for, would agree with the engine at any time; no ban outlasts ban_max,
// none is asked for twice, none is lifted that does not run.
func TestPropertyVerdictsTellAllBans(t *testing.T) {
	type element struct {
		scope Scope
		until int64
	}
	rapid.Check(t, func(t *rapid.T) {
		e := mustNew(t, nil)
		kernel := map[netip.Prefix]element{}
		play(e, anyObservations(t, 50, 400), func(_ Observation, vs []Verdict) {
			for _, v := range vs {
				old, running := kernel[v.Prefix]
				running = running && old.until > v.At
				switch v.Action {
				case ActionBan:
					until := v.At + int64(v.Duration)
					if running && (v.Scope <= old.scope || until < old.until) || v.Duration <= 0 || v.Duration > 720*time.Hour {
						t.Fatalf("ban %+v after %+v", v, old)
					}
					if v.Score <= 3 && v.Rule != RuleSecondOffender || v.Attempts < 1 || v.Strike < 1 || len(v.Evidence) == 0 {
						t.Fatalf("ban %+v does not explain itself", v)
					}
					kernel[v.Prefix] = element{v.Scope, until}
				case ActionUnban:
					if !running {
						t.Fatalf("unban of %v, which is not banned", v.Prefix)
					}
					delete(kernel, v.Prefix)
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
				if el := kernel[b.Prefix]; el.scope != b.Scope || el.until != b.Until {
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
		var runs [3][]Verdict
		for i, seed := range []uint64{0, 0, rapid.Uint64().Draw(t, "seed")} {
			e := mustNew(t, func(o *Options) { o.Seed = seed })
			play(e, os, func(_ Observation, vs []Verdict) {
				for _, v := range vs {
					v.Evidence = append([]Evidence(nil), v.Evidence...)
					runs[i] = append(runs[i], v)
				}
			})
		}
		for i := range runs[1:] {
			if !reflect.DeepEqual(runs[0], runs[i+1]) {
				t.Fatalf("run %d differs:\n%+v\n%+v", i+1, runs[0], runs[i+1])
			}
		}
	})
}

// Whatever comes, no table grows past its bound, none is damaged, and a source with a running ban is not forgotten.
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
				if r := e.sources.get(k.host()); r == 0 || e.sources.at(r).val.strikes == 0 {
					t.Fatalf("banned source %v is forgotten", b.Prefix)
				}
			}
		})
		e.sources.check(t)
		e.requests.check(t)
		e.trails.check(t)
		e.bans.check(t)
	})
}

// How often Advance is called changes no verdict, only how soon one that time alone decides is told.
func TestPropertyAdvanceDecidesNothingElse(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		os := anyObservations(t, 50, 400)
		var runs [2][]string
		for i, advance := range []bool{false, true} {
			e := mustNew(t, nil)
			tell := func(vs []Verdict) {
				for _, v := range vs {
					line := fmt.Sprintf("%d %s", v.At-start, brief(v))
					for _, ev := range v.Evidence {
						line += fmt.Sprintf(" %d/%v/%v", ev.At-start, ev.Kind, ev.Weight)
					}
					runs[i] = append(runs[i], line)
				}
			}
			for _, o := range os {
				if advance {
					tell(e.Advance(o.At - 1))
					tell(e.Advance(o.At))
				}
				tell(e.Observe(o))
			}
			tell(e.Advance(os[len(os)-1].At + int64(time.Minute)))
		}
		if !slices.Equal(runs[0], runs[1]) {
			for i := range runs[0] {
				if i >= len(runs[1]) || runs[0][i] != runs[1][i] {
					t.Fatalf("verdict %d differs:\n%q\n%q", i, runs[0][i:], runs[1][min(i, len(runs[1])):])
				}
			}
			t.Fatalf("more verdicts with Advance: %q", runs[1][len(runs[0]):])
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
