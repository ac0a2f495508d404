package policy

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"testing"
)

// traffic returns observations as a busy PBX gives them: phones that register, scanners with their
// companions, guesses, and sources that are banned.
func traffic(n int) []Observation {
	rng := rand.New(rand.NewPCG(1, 2))
	os := make([]Observation, 0, n)
	for i := 0; len(os) < n; i++ {
		source := fmt.Sprintf("10.%d.%d.%d:5060", rng.IntN(4), rng.IntN(256), rng.IntN(256))
		if rng.IntN(4) == 0 {
			source = fmt.Sprintf("[2001:db8:%x::%x]:5060", rng.IntN(64), rng.IntN(256))
		}
		call := fmt.Sprint(i)
		switch rng.IntN(3) {
		case 0:
			os = append(
				os,
				event(KindChallengeSent, ServicePJSIP, source, "1001", call),
				registered(source),
			)
		case 1:
			os = append(
				os,
				event(KindInvalidAccountID, ServicePJSIP, source, call, call),
				event(KindChallengeSent, ServicePJSIP, source, unknown, call),
			)
		default:
			os = append(
				os,
				overStream(event(KindChallengeResponseFailed, ServicePJSIP, source, "1001", call)),
			)
		}
	}
	return os[:n]
}

// warm returns an engine whose tables are full, so that what follows is the steady state.
func warm(tb testing.TB, os []Observation) (*Engine, int64) {
	o := fixedOptions()
	o.MaxSources, o.MaxBans = 1<<14, 1<<12
	e, err := New(o)
	if err != nil {
		tb.Fatal(err)
	}
	e.Protect(start, protectedWorld)
	now := start
	for i := range 1 << 18 {
		now += 1e6
		ob := os[i%len(os)]
		ob.At, ob.Session = now, uint64(i)
		e.Observe(ob)
	}
	return e, now
}

func BenchmarkObserve(b *testing.B) {
	b.Run("steady", func(b *testing.B) {
		os := traffic(1 << 14)
		e, now := warm(b, os)
		b.ReportAllocs()
		for i := 0; b.Loop(); i++ {
			o := &os[i&(len(os)-1)]
			now += 1e6
			o.At = now
			e.Observe(*o)
		}
	})
	b.Run("banned", func(b *testing.B) {
		os := traffic(2)
		e, now := warm(b, os)
		o := event(KindInvalidAccountID, ServiceAMI, attacker, "a", "c")
		b.ReportAllocs()
		for b.Loop() {
			o.At = now
			e.Observe(o)
		}
	})
	b.Run("phones", func(b *testing.B) {
		o := registered(phone)
		e, now := warm(b, traffic(2))
		b.ReportAllocs()
		for b.Loop() {
			now += 1e6
			o.At = now
			e.Observe(o)
		}
	})
	b.Run("flood", func(b *testing.B) {
		e, err := New(fixedOptions())
		if err != nil {
			b.Fatal(err)
		}
		rng := rand.New(rand.NewPCG(1, 2))
		o := forged("10.0.0.1")
		now := start
		var a [4]byte
		b.ReportAllocs()
		for b.Loop() {
			binary.BigEndian.PutUint32(a[:], rng.Uint32()>>1|1<<30)
			o.Source = netip.AddrPortFrom(netip.AddrFrom4(a), 5060)
			now += 1e5
			o.At = now
			e.Observe(o)
		}
		b.ReportMetric(float64(e.Stats().Sources), "sources")
	})
}

// BenchmarkFlood is ten million random sources with one forged packet each, at the default size:
// how much memory the engine takes in the end, and that one who attacks amid them is banned. Run it
// once: -benchtime=1x.
func BenchmarkFlood(b *testing.B) {
	const sources = 10_000_000
	for b.Loop() {
		before := heap()
		l := newLab(b)
		rng := rand.New(rand.NewPCG(1, 2))
		l.flood(rng, sources/2, 1)
		half := heap()
		for i := range 7 {
			l.flood(rng, sources/2/7, 1)
			l.feed(overStream(wrong(attacker, fmt.Sprint(i))))
		}
		if !l.isBanned(attacker) {
			b.Fatal("the attacker is not banned")
		}
		after := heap()
		b.ReportMetric(float64(half-before)/(1<<20), "MB/half")
		b.ReportMetric(float64(after-before)/(1<<20), "MB")
		b.ReportMetric(float64(l.e.sources.Len()), "sources")
		b.ReportMetric(float64(l.e.stats.Evicted), "evicted")
		b.ReportMetric(float64(b.Elapsed().Nanoseconds())/sources, "ns/source")
	}
}

func BenchmarkAdvance(b *testing.B) {
	e, now := warm(b, traffic(1<<14))
	b.ReportAllocs()
	for b.Loop() {
		now += 1e9
		e.Advance(now)
	}
}

// The promise of the package: nothing is allocated once the tables have grown, bans and evidence
// included.
func TestObserveAllocatesNothing(t *testing.T) {
	os := traffic(1 << 12)
	e, now := warm(t, os)
	i, verdicts := 0, 0
	allocs := testing.AllocsPerRun(1<<15, func() {
		now += 500e6 // so that bans end and begin
		i++
		o := os[i%len(os)]
		o.At, o.Session = now, uint64(i)
		verdicts += len(e.Observe(o))
		if i%100 == 0 {
			e.Advance(now)
		}
	})
	if allocs != 0 {
		t.Errorf("allocations: got %v, want 0", allocs)
	}
	if verdicts == 0 {
		t.Error("the traffic bans nobody: nothing was measured")
	}
	if l := (Label{}); testing.AllocsPerRun(
		100,
		func() { l = hasher.Label(l.text[:]); _ = hasher.Session(l.text[:]) },
	) != 0 {
		t.Error("a label or session hash allocates")
	}
}
