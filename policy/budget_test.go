package policy

import (
	"fmt"
	"testing"
	"time"
)

// spoofed are sources in prefixes of their own.
func spoofed(i int) string { return fmt.Sprintf("10.%d.%d.1", i/250, i%250) }

// So many bans on forgeable evidence may begin in a minute of the clock; the next minute has as
// many again.
func TestForgeableBudget(t *testing.T) {
	l := newLab(
		t,
		func(o *Options) { o.ForgeablePerMinute = 5 },
		off(RuleServerUnderAttack, RuleAccountUnderAttack),
	)
	l.now += int64(time.Minute) - l.now%int64(time.Minute)
	flood := func(from int) {
		for i := range 20 {
			l.feed(guesses(4, spoofed(from+i))...)
		}
	}
	flood(0)
	if n := l.count(ActionBan, RuleScore); n != 5 {
		t.Errorf("bans in the first minute: got %d, want 5", n)
	}
	if n := l.count(ActionAlert, RuleSpoofFlood); n != 1 {
		t.Errorf("alerts: got %d, want 1", n)
	}
	if s := l.e.Stats(); s.Postponed == 0 {
		t.Error("none was postponed")
	}
	l.wait(time.Minute)
	flood(20)
	if n := l.count(ActionBan, RuleScore); n != 10 {
		t.Errorf("bans in two minutes: got %d, want 10", n)
	}
	l.wait(time.Hour)
	flood(40)
	if n := l.count(ActionAlert, RuleSpoofFlood); n != 2 {
		t.Errorf("alerts after an hour: got %d, want 2", n)
	}
	// Evidence on a stream is not bound by it.
	l.drop()
	for i := range 20 {
		l.scan(spoofed(100 + i))
	}
	if n := l.count(ActionBan, RuleProvenScore); n != 20 {
		t.Errorf("proven bans: got %d, want 20", n)
	}
}

// Beyond the budget only sources with evidence in two minutes of the clock are banned.
func TestPatientSourcesAreBannedBeyondTheBudget(t *testing.T) {
	for _, tt := range []struct {
		name   string
		gap    time.Duration // between the first three attempts and the fourth
		banned bool
	}{{"in one minute", 50 * time.Second, false}, {"in two minutes", 65 * time.Second, true}} {
		l := newLab(t, func(o *Options) { o.ForgeablePerMinute, o.HalfLife = 1, 10*time.Hour })
		l.now += int64(time.Minute) - l.now%int64(time.Minute)
		l.feed(guesses(3, attacker)...)
		l.wait(tt.gap)
		l.feed(guesses(4, spoofed(1))...)
		if !l.isBanned(spoofed(1)) {
			t.Fatalf("the budget was used before: %v", l.told())
		}
		l.feed(guesses(4, attacker)[3])
		if got := l.isBanned(attacker); got != tt.banned {
			t.Errorf("%s: banned %v, want %v", tt.name, got, tt.banned)
		}
	}
}

// Beyond the budget, an eighth as many bans may begin of sources that send on and on. More than that
// wait for the next minute.
func TestBusySourcesAreBannedBeyondTheBudget(t *testing.T) {
	l := newLab(t, func(o *Options) { o.ForgeablePerMinute = 16 }, off(RuleServerUnderAttack,
		RuleAccountUnderAttack))
	l.now += int64(time.Minute) - l.now%int64(time.Minute)
	for i := range 40 {
		l.feed(guesses(6, spoofed(i))...)
	}
	if n := l.count(ActionBan, RuleScore); n != 16 {
		t.Fatalf("the budget: got %d bans, want 16", n)
	}

	for i, banned := range []bool{true, true, false} {
		source := fmt.Sprintf("203.0.%d.5", i)
		l.feed(guesses(15, source)...)
		if l.isBanned(source) {
			t.Errorf("%s: banned below 16 attempts", source)
		}
		l.feed(guesses(17, source)[15:]...)
		if l.isBanned(source) != banned {
			t.Errorf("%s: banned %v, want %v", source, !banned, banned)
		}
	}
}

// A source that was postponed is banned at its next attempt, once there is budget.
func TestPostponedBanComes(t *testing.T) {
	l := newLab(t, func(o *Options) { o.ForgeablePerMinute = 1 })
	l.feed(guesses(4, spoofed(1))...)
	l.feed(guesses(4, attacker)...)
	if l.isBanned(attacker) {
		t.Fatal("there was no budget")
	}
	l.wait(time.Minute)
	l.feed(guesses(5, attacker)[4])
	if !l.isBanned(attacker) {
		t.Errorf("got %v", l.told())
	}
}

// The first ban of a source on forgeable evidence lasts ten minutes, the second as long as a first
// one else.
func TestForgeableBansGrowFromTenMinutes(t *testing.T) {
	l := newLab(t)
	for i, want := range []time.Duration{10 * time.Minute, time.Hour, 4 * time.Hour, 16 * time.Hour} {
		l.drop()
		l.feed(
			all(
				guesses(4, attacker),
				func(o Observation) Observation { o.Session += uint64(i) * 10; return o },
			)...)
		if v := l.banned(); v.Duration != want || v.Strike != i+1 {
			t.Errorf("ban %d: got %s, want %v", i+1, brief(v), want)
		}
		l.wait(want + 24*time.Hour)
	}
	// ban_time may be shorter still.
	l = newLab(t, func(o *Options) { o.BanTime = time.Minute })
	l.feed(guesses(4, attacker)...)
	if v := l.banned(); v.Duration != time.Minute {
		t.Errorf("got %s", brief(v))
	}
}

// A victim in whose name packets are forged is free again in ten minutes, though they go on
// meanwhile.
func TestForgedVictimIsFreeInTenMinutes(t *testing.T) {
	l := newLab(t)
	l.feed(guesses(4, phone)...)
	first := l.banned()
	l.every(time.Second, repeat(599, forged(phone))...)
	l.now = first.At + int64(10*time.Minute)
	l.wait(0)
	if l.isBanned(phone) {
		t.Error("still banned")
	}
	l.feed(registered(phone)) // it comes back, and nothing forged touches it any more
	l.drop()
	l.feed(guesses(50, phone+":31337")...)
	l.noBan()
}
