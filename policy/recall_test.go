package policy

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"math"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"
	"time"
)

// killed is an engine as it is after a kill: of the blocks that were saved, with the bans as a
// journal has them.
func (l *lab) killed(log *saved, o Options) Recalled {
	l.t.Helper()
	var bans []Ban
	for b := range l.e.Bans() {
		bans = append(bans, b)
	}
	var found Recalled
	l.e, found = log.recall(l.t, o, l.now)
	for _, b := range bans {
		l.take(l.e.AdoptBan(l.now, b))
	}
	return found
}

// Three attempts, a kill, and the fourth bans; who was banned is explained as before, and its next
// ban is longer; a phone that proved itself is proved.
func TestKillForgetsNothingThatWasSaved(t *testing.T) {
	l := newLab(t, few)
	o := l.e.opt
	l.feed(registered(phone))
	l.scan("203.0.113.77")
	l.wait(2 * time.Hour)
	l.scan("203.0.113.77")
	l.feed(all(guesses(3, attacker), overStream)...)
	l.feed(registered("[2001:db8:1::7]:5060"))
	l.feed(all(guesses(4, "2001:db8:bad::1"), overStream)...)
	l.feed(all(guesses(4, "2001:db8:bad::2"), overStream)...)
	var log saved
	log.all(l.e)
	l.drop()
	explain := func() (out []string) {
		for _, a := range []string{phone, "203.0.113.77", attacker, "2001:db8:1::7", "2001:db8:bad::1"} {
			out = append(out, fmt.Sprintf("%+v", l.e.Explain(hostAddr(a))))
		}
		return out
	}
	before := explain()
	found := l.killed(&log, o)
	if found.Damaged+found.Foreign+found.Dropped > 0 || found.Blocks != len(log.blocks) ||
		found.Entries < 10 {
		t.Errorf("found %+v", found)
	}
	l.quiet()
	for i, after := range explain() {
		if after != before[i] {
			t.Errorf("explained after the kill:\n%s\nbefore:\n%s", after, before[i])
		}
	}
	l.feed(all(guesses(4, attacker)[3:], overStream)...)
	if v := l.banned(); v.Attempts != 4 || len(v.Evidence) != 4 {
		t.Errorf("banned: %s", brief(v))
	}
	l.drop()
	l.wait(5 * time.Hour)
	l.scan("203.0.113.77")
	if v := l.banned(); v.Strike != 3 || v.Duration != 16*time.Hour {
		t.Errorf("banned: %s", brief(v))
	}
}

// What was saved later replaces what was saved before, and a block that is damaged or of another
// version is left out.
func TestRecallLeavesOutDamage(t *testing.T) {
	l := newLab(t, few)
	o := l.e.opt
	var log saved
	l.feed(all(guesses(2, attacker), overStream)...)
	log.all(l.e)
	n := len(log.blocks)
	l.feed(all(guesses(3, attacker)[2:], overStream)...)
	log.all(l.e)
	attempts := func(blocks [][]byte) (int, Recalled) {
		e, found := (&saved{blocks}).recall(t, o, l.now)
		return e.Explain(hostAddr(attacker)).Attempts, found
	}
	if got, found := attempts(log.blocks); got != 3 || found.Blocks != len(log.blocks) {
		t.Errorf("undamaged: %d attempts, %+v", got, found)
	}
	last := log.blocks[n]
	for i := range last {
		bad := bytes.Clone(last)
		bad[i] ^= 1 << (i % 8)
		if got, found := attempts(append(log.blocks[:n:n], bad)); got != 2 ||
			found.Damaged+found.Foreign != 1 ||
			found.Blocks != n {
			t.Fatalf("byte %d: %d attempts, %+v", i, got, found)
		}
		if got, found := attempts(append(log.blocks[:n:n], last[:i])); got != 2 ||
			found.Damaged+found.Foreign != 1 {
			t.Fatalf("cut at %d: %d attempts, %+v", i, got, found)
		}
	}
	newer := bytes.Clone(last)
	newer[len(blockMagic)]++
	if _, found := attempts([][]byte{newer}); found.Foreign != 1 || found.Damaged != 0 {
		t.Errorf("a newer one: %+v", found)
	}
	// A value that is none, with a checksum that is right: what stands before it in the block
	// counts.
	l.e.sources.Val(1).proven = float32(math.NaN())
	l.e.sources.Mark(1)
	bad, _ := l.e.Changes(nil, 1)
	if got, found := attempts(append(log.blocks, bad)); got != 3 || found.Damaged != 1 {
		t.Errorf("no number: %d attempts, %+v", got, found)
	}
	unknown := append(bytes.Clone(last[:len(last)-4]), 99)
	unknown = binary.BigEndian.AppendUint32(unknown, crc32.ChecksumIEEE(unknown))
	if got, found := attempts(append(log.blocks[:n:n], unknown)); got != 3 || found.Damaged != 1 {
		t.Errorf("an unknown table: %d attempts, %+v", got, found)
	}
	o.Threshold = -1
	if _, _, err := Recall(o, l.now, slices.Values(log.blocks)); err == nil {
		t.Error("bad options are taken")
	}
}

// The seed is that of the blocks, so that a hasher must be made of it; of two seeds in a log the
// later one counts.
func TestRecallTakesTheSeedOfTheBlocks(t *testing.T) {
	var logs [2]saved
	for i, source := range []string{attacker, "198.51.100.9"} {
		l := newLab(t, few, func(o *Options) { o.Seed = uint64(7 + i) })
		l.feed(all(guesses(2, source), overStream)...)
		logs[i].all(l.e)
	}
	o := fixedOptions()
	o.Seed = 99
	if e, _ := logs[0].recall(t, o, start); e.Seed() != 7 {
		t.Errorf("seed %d", e.Seed())
	}
	e, found := (&saved{append(logs[0].blocks, logs[1].blocks...)}).recall(t, o, start+1e9)
	if e.Seed() != 8 || found.Dropped == 0 || e.Explain(hostAddr(attacker)).Known ||
		!e.Explain(hostAddr("198.51.100.9")).Known {
		t.Errorf("seed %d, found %+v", e.Seed(), found)
	}
	if e, found := (&saved{}).recall(t, o, start); e.Seed() != 99 || found != (Recalled{}) ||
		e.now != start {
		t.Errorf("nothing saved: seed %d, %+v", e.Seed(), found)
	}
}

// Blocks of the future, written while the clock was wrong, neither stop time nor let a proof last
// longer than it may.
func TestRecallOfTheFuture(t *testing.T) {
	l := newLab(t, few)
	o := l.e.opt
	l.feed(registered(phone))
	l.feed(all(guesses(3, attacker), overStream)...)
	var log saved
	log.stop(l.e)
	l.now -= int64(365 * 24 * time.Hour)
	l.e, _ = log.recall(t, o, l.now)
	if x := l.e.Explain(hostAddr(phone)); x.At != l.now || x.ProofAt > l.now || !x.Proved {
		t.Errorf("the phone: %+v", x)
	}
	l.wait(o.ProofWindow + time.Hour)
	if l.e.Explain(hostAddr(phone)).Proved || l.e.Explain(hostAddr(attacker)).Scores[0].Proven > 0 {
		t.Error("it lasts")
	}
}

// With less room the newest stay, however many entries the log has.
func TestRecallWithLessRoom(t *testing.T) {
	l := newLab(
		t,
		func(o *Options) { o.MaxSources, o.MaxBans = 4096, 1024 },
		off(RuleAccountUnderAttack, RuleServerUnderAttack),
	)
	var log saved
	for i := range 1000 {
		l.every(time.Second, forged(spoofed(i)))
		if i%100 == 99 {
			log.all(l.e)
		}
	}
	l.feed(registered(phone))
	log.all(l.e)
	o := fixedOptions()
	o.MaxSources, o.MaxBans = 128, 64
	small := &lab{t: t, now: l.now}
	small.e, _ = log.recall(t, o, l.now)
	if n := small.e.sources.Len(); n != 128 || !small.explain(phone).Proved {
		t.Errorf("sources: %d, or the phone is forgotten", n)
	}
	for i := range 800 {
		if small.explain(spoofed(i)).Known {
			t.Errorf("source %d is remembered in the place of a newer one", i)
		}
	}
	sound(t, small.e)
	small.flood(rand.New(rand.NewPCG(1, 2)), 5000, 1) // and nothing breaks
	sound(t, small.e)
}

// A clean stop keeps what means something for a minute, too; a kill, a late start and a block
// behind the stop do not.
func TestRestOutlastsACleanStopOnly(t *testing.T) {
	stopped := func() (*lab, *saved) {
		l := newLab(t, few)
		l.feed(challenges(6, "192.0.2.1")...)
		l.feed(unknownUser("a", "c")...)
		l.feed(unknownUser("a", "c")[0]) // held
		o := event(KindChallengeSent, ServiceSIP, "192.0.2.2", "1001", "call")
		o.Challenge = 5
		l.feed(o)
		log := &saved{}
		log.stop(l.e)
		return l, log
	}
	l, log := stopped()
	if l.e.requests.Len() == 0 || l.e.dialogs.Len() == 0 || l.e.silents.Len() == 0 {
		t.Fatal("nothing to keep")
	}
	e, _ := log.recall(t, l.e.opt, l.now+3e9)
	if e.requests.Len() != l.e.requests.Len() || e.dialogs.Len() != l.e.dialogs.Len() ||
		e.silents.Len() != l.e.silents.Len() {
		t.Errorf("kept: %d, %d, %d", e.requests.Len(), e.dialogs.Len(), e.silents.Len())
	}
	// Nothing is held against anybody for what may have come meanwhile.
	e.Advance(l.now + int64(time.Hour))
	if n := e.Stats().Counted; n != 0 {
		t.Errorf("%d attempts were counted", n)
	}

	late, _ := log.recall(t, l.e.opt, l.now+2*dialogTime)
	lost := func(what string, e *Engine) {
		t.Helper()
		if e.requests.Len()+e.dialogs.Len()+e.silents.Len() != 0 {
			t.Errorf(
				"%s: kept %d, %d, %d",
				what,
				e.requests.Len(),
				e.dialogs.Len(),
				e.silents.Len(),
			)
		}
		for r := range e.pairs.All() {
			if e.pairs.Val(r).flags&pairChallenged != 0 {
				t.Errorf("%s: a challenged account would never count again", what)
			}
		}
	}
	lost("late", late)
	l.feed(registered(phone))
	log.all(l.e)
	e, _ = log.recall(t, l.e.opt, l.now)
	lost("went on", e)

	// Of two clean stops the later one counts.
	e.Observe(
		Observation{
			At:        l.now + 1e9,
			Source:    netip.MustParseAddrPort("192.0.2.3:5060"),
			Kind:      KindChallengeSent,
			Service:   ServiceSIP,
			Challenge: 6,
		},
	)
	log.stop(e)
	e, _ = log.recall(t, l.e.opt, l.now+2e9)
	if e.requests.Len() != 0 || e.silents.Len() != 1 || e.dialogs.Len() != 1 {
		t.Errorf(
			"after two stops: kept %d, %d, %d",
			e.requests.Len(),
			e.dialogs.Len(),
			e.silents.Len(),
		)
	}
}

// A kill takes no room from what is remembered: an account at a source that was not saved with it
// is not counted there for ever.
func TestRecallCountsAnew(t *testing.T) {
	l := newLab(t, few)
	l.feed(all(guesses(3, attacker), overStream)...)
	l.feed(success(office, "1001"), success(office, "1002"))
	var log saved
	out, _, done := l.e.Sweep(nil, 1000) // sources only
	if done || len(out) == 0 {
		t.Fatal("nothing, or everything")
	}
	log.blocks = append(log.blocks, out)
	l.e, _ = log.recall(t, l.e.opt, l.now)
	if s := l.source(attacker); s.failed != 0 || s.failedProven != 0 || s.attempts != 3 {
		t.Errorf("the attacker: %+v", s)
	}
	if s := l.source(office); s.owns != 0 || s.flags&flagProof == 0 {
		t.Errorf("the office: %+v", s)
	}
	again := &saved{log.blocks}
	again.all(l.e) // what was corrected is saved
	e, _ := again.recall(t, l.e.opt, l.now)
	sameLasting(t, l.e, e)
}

// A ban that comes from a journal is as it was; nobody who must not be banned is.
func TestAdoptBan(t *testing.T) {
	l := newLab(t, few)
	l.e.Protect(l.now, protectedWorld)
	b := Ban{
		Prefix: netip.MustParsePrefix(
			"203.0.113.5/32",
		), Scope: ScopeSIP, From: l.now - int64(time.Hour), Until: l.now + int64(time.Hour),
		Rule: RuleLongMemory, Score: 6.5, Attempts: 12, Strike: 3, Seen: 9, LastSeen: l.now - 5e9,
	}
	l.take(l.e.AdoptBan(l.now, b))
	l.quiet()
	if got, ok := l.e.Ban(hostAddr(attacker)); !ok || got != b {
		t.Errorf("got %+v, want %+v", got, b)
	}
	if s := l.source(attacker); s.strikes != 3 {
		t.Errorf("strikes: %d", s.strikes)
	}
	// The kernel has it too; and an older ban of the journal is no reason to end a newer one
	// sooner.
	l.take(l.e.Adopt(l.now, b.Prefix, ScopeSIP, time.Minute))
	short := b
	short.Until, short.Rule = l.now+int64(time.Minute), RuleScore
	l.take(l.e.AdoptBan(l.now, short))
	if got, _ := l.e.Ban(hostAddr(attacker)); got != b {
		t.Errorf("after another: %+v", got)
	}
	// The kernel's came first: the journal knows more of it.
	other := b
	other.Prefix = netip.MustParsePrefix("2001:db8:bad::/64")
	l.take(l.e.Adopt(l.now, other.Prefix, ScopeSIP, time.Minute))
	l.take(l.e.AdoptBan(l.now, other))
	if got, _ := l.e.Ban(hostAddr("2001:db8:bad::1")); got != other {
		t.Errorf("got %+v, want %+v", got, other)
	}
	l.quiet()
	operators := b
	operators.Prefix, operators.Rule, operators.Strike = netip.MustParsePrefix(
		"203.0.113.6/32",
	), RuleOperator, 0
	l.take(l.e.AdoptBan(l.now, operators))
	if r := l.e.sources.Get(hostKey(hostAddr("203.0.113.6")).host()); r != 0 &&
		l.e.sources.Val(r).strikes != 0 ||
		!l.isBanned("203.0.113.6") {
		t.Error("an operator's ban is a strike, or lost")
	}
	l.quiet()
	for name, change := range map[string]func(*Ban){
		"protected":  func(b *Ban) { b.Prefix = netip.MustParsePrefix("192.0.2.10/32") },
		"over":       func(b *Ban) { b.Until = l.now },
		"no scope":   func(b *Ban) { b.Scope = ScopeNone },
		"bad scope":  func(b *Ban) { b.Scope = 77 },
		"no prefix":  func(b *Ban) { b.Prefix = netip.Prefix{} },
		"everything": func(b *Ban) { b.Prefix = netip.MustParsePrefix("0.0.0.0/0") },
	} {
		bad := b
		bad.Prefix = netip.MustParsePrefix("203.0.113.99/32")
		change(&bad)
		n := l.e.Stats().Bans
		if vs := l.e.AdoptBan(l.now, bad); len(vs) != 1 || vs[0].Action != ActionUnban ||
			l.e.Stats().Bans != n {
			t.Errorf("%s: %v", name, vs)
		}
	}
	long := b
	long.Prefix, long.Until, long.Rule = netip.MustParsePrefix(
		"203.0.113.9/32",
	), math.MaxInt64, ruleCount
	vs := l.e.AdoptBan(l.now, long)
	if len(vs) != 1 || vs[0].Action != ActionBan || vs[0].Duration != l.e.opt.BanMax ||
		vs[0].Rule != RuleAdopted ||
		vs[0].Strike != 3 {
		t.Errorf("too long: %v", vs)
	}
}

// Blocks that come from a disk may hold anything.
func FuzzRecall(f *testing.F) {
	l := newLab(f, few)
	l.feed(challenges(6, "192.0.2.1")...)
	l.feed(unknownUser("a", "c")...)
	l.scan(attacker)
	l.feed(registered(phone))
	l.e.Pardon(l.now, netip.MustParsePrefix("203.0.113.0/24"))
	var log saved
	log.stop(l.e)
	for _, b := range log.blocks {
		f.Add(b[:len(b)-4], []byte{})
		f.Add(b[:len(b)-4], b[:len(b)-4])
	}
	o := fixedOptions()
	o.MaxSources, o.MaxBans = minSources, minSources/2
	f.Fuzz(func(t *testing.T, a, b []byte) {
		var log saved
		for _, data := range [][]byte{a, b, a} { // else nothing would get past the checksum
			log.blocks = append(
				log.blocks,
				binary.BigEndian.AppendUint32(bytes.Clone(data), crc32.ChecksumIEEE(data)),
			)
		}
		e, _ := log.recall(t, o, start)
		for i, source := range world {
			ob := event(KindInvalidAccountID, ServicePJSIP, source, "a", "c")
			ob.At = e.now + int64(i)*1e9
			e.Observe(ob)
			e.Explain(hostAddr(source))
		}
		sound(t, e)
		var next saved
		next.stop(e)
		e.Pardon(e.now, netip.MustParsePrefix("0.0.0.0/0"))
		e.PardonAll(e.now)
		e.Advance(e.now + 1e15)
		if _, found := next.recall(t, o, e.now); found.Damaged > 0 {
			t.Fatalf("saved again: %+v", found)
		}
	})
}
