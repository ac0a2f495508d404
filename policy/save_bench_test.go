package policy

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"slices"
	"testing"
	"time"
)

// million returns an engine that remembers a million sources with two attempts each, and a tenth of
// them proved instead.
func million(b *testing.B) *Engine {
	b.Helper()
	o := fixedOptions()
	o.ForgeablePerMinute = maxForgeable
	e, err := New(o)
	if err != nil {
		b.Fatal(err)
	}
	var a [4]byte
	ob := forged("10.0.0.1")
	reg := registered(phone)
	names := make([]Label, 1000)
	for i := range names {
		names[i] = hasher.Label(fmt.Append(nil, i))
	}
	for i := range o.MaxSources {
		binary.BigEndian.PutUint32(a[:], 1<<30|uint32(i))
		ob.Source = netip.AddrPortFrom(netip.AddrFrom4(a), 5060)
		ob.At, ob.Account = start+int64(i)*1e3, names[i%len(names)]
		if i%10 == 0 {
			reg.Source, reg.At, reg.Account = ob.Source, ob.At, ob.Account
			e.Observe(reg)
			continue
		}
		e.Observe(ob)
		e.Observe(ob)
	}
	return e
}

// BenchmarkChanges is what a save takes of the judge's time: 5,000 entries of a million that
// changed, and then of none.
func BenchmarkChanges(b *testing.B) {
	e := million(b)
	var buf []byte
	b.Run("5000", func(b *testing.B) {
		b.ReportAllocs()
		var worst time.Duration
		bytes, entries := 0, 0
		for b.Loop() {
			began := time.Now()
			out, n := e.Changes(buf[:0], 5000)
			worst = max(worst, time.Since(began))
			buf = out
			bytes, entries = bytes+len(out), entries+n
			if n < 5000 {
				b.StopTimer()
				e = million(b)
				b.StartTimer()
			}
		}
		b.ReportMetric(float64(worst.Microseconds()), "worst-µs")
		b.ReportMetric(float64(bytes)/float64(entries), "B/entry")
	})
	for {
		if _, n := e.Changes(buf[:0], 5000); n == 0 {
			break
		}
	}
	b.Run("none", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			e.Changes(buf[:0], 5000)
		}
	})
	b.Run("sweep", func(b *testing.B) {
		var worst time.Duration
		for b.Loop() {
			began := time.Now()
			e.Sweep(buf[:0], 5000)
			worst = max(worst, time.Since(began))
		}
		b.ReportMetric(float64(worst.Microseconds()), "worst-µs")
	})
}

// BenchmarkRecall is a start with a million sources.
func BenchmarkRecall(b *testing.B) {
	e := million(b)
	var log saved
	log.all(e)
	entries, bytes := 0, 0
	for _, block := range log.blocks {
		bytes += len(block)
	}
	for b.Loop() {
		_, got, err := Recall(e.opt, e.now, slices.Values(log.blocks))
		if err != nil {
			b.Fatal(err)
		}
		entries = got.Entries
	}
	b.ReportMetric(float64(entries), "entries")
	b.ReportMetric(float64(bytes)/(1<<20), "MB")
}

// BenchmarkAdoptBans is a start with 100,000 bans.
func BenchmarkAdoptBans(b *testing.B) {
	bans := make([]Ban, 100_000)
	for i := range bans {
		var a [4]byte
		binary.BigEndian.PutUint32(a[:], 1<<30|uint32(i)*7)
		bans[i] = Ban{
			Prefix: netip.PrefixFrom(
				netip.AddrFrom4(a),
				32,
			), Scope: ScopeAll, From: start, Until: start + int64(time.Hour), Rule: RuleScore,
			Score: 4, Attempts: 4, Strike: 2,
		}
	}
	for b.Loop() {
		b.StopTimer()
		e := mustNew(b, func(o *Options) { o.MaxSources, o.MaxBans = 1_000_000, 262_144 })
		e.Protect(start, protectedWorld)
		b.StartTimer()
		for _, ban := range bans {
			e.AdoptBan(start+1e9, ban)
		}
		if e.Stats().Bans != len(bans) {
			b.Fatal("some are missing")
		}
	}
}
