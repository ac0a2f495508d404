package policy

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"runtime"
	"testing"
	"time"
)

// flood observes n forged failures, each from an address of its own, a microsecond apart.
func (l *lab) flood(rng *rand.Rand, n, each int) {
	o := forged("10.0.0.1")
	for range n {
		var b [4]byte
		binary.BigEndian.PutUint32(b[:], rng.Uint32()>>4|1<<28) // 16.0.0.0 to 31.255.255.255
		o.Source = netip.AddrPortFrom(netip.AddrFrom4(b), 5060)
		for range each {
			l.now += 1000
			o.At = l.now
			o.Session++
			l.e.Observe(o)
		}
	}
}

const fewSources = 1024

func few(o *Options) { o.MaxSources, o.MaxBans = fewSources, fewSources/4 }

// A flood of random sources does not make the engine forget phones, running bans, or strikes of who
// persists.
func TestFloodOfSourcesForgetsNothingThatMatters(t *testing.T) {
	for _, each := range []int{1, 4} {
		t.Run(fmt.Sprint(each, " packets each"), func(t *testing.T) {
			l := newLab(t, few)
			rng := rand.New(rand.NewPCG(1, 2))
			l.feed(registered(phone))
			l.scan(attacker)
			first := l.banned()
			l.flood(rng, 50*fewSources, each)
			if s := l.e.Stats(); s.Sources > fewSources+fewSources/sourcesPerNetwork ||
				s.Evicted < 40*fewSources {
				t.Fatalf("got %+v", s)
			}
			if b, ok := l.e.Ban(netip.MustParseAddr(attacker)); !ok ||
				b.Until != first.At+int64(first.Duration) {
				t.Errorf("the attacker's ban: got %+v, %v", b, ok)
			}
			l.drop()
			l.feed(guesses(9, phone)...)
			l.noBan()
			l.wait(time.Hour)
			l.scan(attacker)
			if v := l.got[len(l.got)-1]; v.Strike != 2 {
				t.Errorf("the attacker's second ban: got %s", brief(v))
			}
		})
	}
}

// Nor a source whose ban runs while it is still heard of, however many others were banned since.
func TestFloodForgetsNoSourceUnderASIPBan(t *testing.T) {
	l := newLab(t, few)
	l.take(l.e.Adopt(l.now, netip.MustParsePrefix(attacker+"/32"), ScopeSIP, 500*time.Hour))
	l.feed(overStream(forged(attacker)))
	rng := rand.New(rand.NewPCG(1, 2))
	for range 10 {
		l.flood(rng, fewSources, 4)
		l.wait(2 * time.Hour)
	}
	l.got = nil
	l.wait(500 * time.Hour)
	l.scan(attacker)
	if v := l.banned(); v.Strike != 2 {
		t.Errorf("got %s", brief(v))
	}
}

// However full the memory is of phones and of old attackers, a stranger who attacks amid a flood is
// banned.
func TestStrangerIsBannedThoughMemoryIsFull(t *testing.T) {
	l := newLab(t, few, off(RuleServerUnderAttack, RuleAccountUnderAttack))
	for i := range 2 * fewSources {
		l.feed(success(fmt.Sprintf("10.20.%d.%d", i>>8, i&255), fmt.Sprint(i)))
	}
	rng := rand.New(rand.NewPCG(1, 2))
	for range 10 { // many that were banned once
		l.flood(rng, fewSources, 4)
		l.wait(2 * time.Hour)
	}
	l.drop()
	for range 7 {
		l.quiet()
		l.flood(rng, 50, 1)
		l.feed(overStream(wrong(attacker, "1001")))
	}
	if v := l.banned(); v.Attempts != 7 {
		t.Errorf("got %s", brief(v))
	}
	if n := l.e.sources.Count(listProved); n < fewSources/4 {
		t.Errorf("proved sources remembered: %d of %d", n, fewSources)
	}
}

// What explains a real attacker's ban is not pushed out by a flood of single failures.
func TestFloodLeavesEvidence(t *testing.T) {
	l := newLab(t)
	rng := rand.New(rand.NewPCG(1, 2))
	for i := range 7 {
		l.feed(overStream(wrong(attacker, "1001")))
		if i == 1 {
			l.flood(rng, 3*maxTrails, 1)
		}
	}
	if v := l.banned(); len(v.Evidence) != 7 {
		t.Errorf("evidence: got %d, want 7", len(v.Evidence))
	}
	if n := l.e.trails.Len(); n > maxTrails {
		t.Errorf("trails: %d, more than %d", n, maxTrails)
	}
}

// A million sources, each with one packet, leave the memory flat, and whoever attacks amid them is
// banned.
func TestFloodOfAMillionSources(t *testing.T) {
	l := newLab(t, func(o *Options) { o.MaxSources, o.MaxBans = 1<<14, 1<<12 })
	rng := rand.New(rand.NewPCG(1, 2))
	l.feed(registered(phone))
	part := 100_000
	if raced {
		part = 10_000
	}
	l.flood(rng, max(2*part, 120_000), 1) // all tables are full
	before := heap()
	for i := range 8 {
		l.flood(rng, part, 1)
		slow := fmt.Sprintf("203.0.%d.1", i)
		for n := range 7 {
			l.flood(rng, 100, 1)
			l.feed(overStream(wrong(slow, fmt.Sprint(n))))
		}
		if !l.isBanned(slow) {
			t.Errorf("attacker %d is not banned amid the flood", i)
		}
	}
	if grown := int64(heap()) - int64(before); grown > 1<<20 {
		t.Errorf("%d more sources took %d bytes more", 8*part, grown)
	}
	if !l.explain(phone).Proved {
		t.Error("the phone is forgotten")
	}
	for name, n := range map[string][2]int{
		"sources":  {l.e.sources.Len(), l.e.sources.Max()},
		"prefixes": {l.e.networks.Len(), l.e.networks.Max()},
		"pairs":    {l.e.pairs.Len(), l.e.pairs.Max()},
		"accounts": {l.e.accounts.Len(), l.e.accounts.Max()},
		"alerts":   {l.e.alerts.Len(), maxAlerts},
		"bans":     {l.e.bans.Len(), 1 << 12},
	} {
		if n[0] > n[1] {
			t.Errorf("%s: %d, more than %d", name, n[0], n[1])
		}
	}
	runtime.KeepAlive(l.e)
}

// heap returns how many bytes are in use.
func heap() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

func TestIdleSourcesAreForgotten(t *testing.T) {
	l := newLab(t, off(RuleServerUnderAttack, RuleAccountUnderAttack))
	l.flood(rand.New(rand.NewPCG(1, 2)), 5000, 1)
	l.feed(registered(phone))
	l.scan(attacker)
	l.wait(13 * 24 * time.Hour)
	if n := l.e.sources.Len(); n < 5000 {
		t.Errorf("sources: got %d, want all after 13 days", n)
	}
	l.wait(2 * 24 * time.Hour)
	for range 5000 / sweepBudget {
		l.wait(time.Second)
	}
	if n := l.e.sources.Len(); n != 2 {
		t.Errorf("sources: got %d, want the phone and the attacker", n)
	}
	for range 10 {
		l.wait(strikeFade)
	}
	if n := l.e.Stats().Sources; n != 0 || l.e.pairs.Len() != 0 {
		t.Errorf("got %d sources and %d accounts at them, want none", n, l.e.pairs.Len())
	}
}
