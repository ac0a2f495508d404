package policy

import (
	"testing"
	"time"
)

// Slow attackers are caught within twenty attempts: one attempt on an unknown account in half a
// day, or on a known one in eight hours. README.md says so.
func TestLongMemoryCatchesSlowAttackers(t *testing.T) {
	for _, tt := range []struct {
		o    Observation
		gap  time.Duration
		most int // attempts, 0 for never
		rule Rule
	}{
		{forged(attacker), 10 * time.Minute, 7, RuleScore},
		{forged(attacker), 25 * time.Minute, 7, RuleLongMemory},
		{forged(attacker), time.Hour, 7, RuleLongMemory},
		{forged(attacker), 12 * time.Hour, 7, RuleLongMemory},
		{forged(attacker), 48 * time.Hour, 0, RuleNone},
		{wrong(attacker, "1007"), 10 * time.Minute, 13, RuleLongMemory},
		{wrong(attacker, "1007"), time.Hour, 13, RuleLongMemory},
		{wrong(attacker, "1007"), 8 * time.Hour, 15, RuleLongMemory},
		{wrong(attacker, "1007"), 24 * time.Hour, 0, RuleNone},
		{overStream(wrong(attacker, "1007")), time.Hour, 13, RuleLongMemory},
	} {
		l := newLab(t)
		n := l.attemptsUntil(100, tt.gap, func(int) Observation { tt.o.Session++; return tt.o })
		if n != tt.most {
			t.Errorf("%v each %v: banned at attempt %d, want %d", tt.o.Kind, tt.gap, n, tt.most)
			continue
		}
		if n == 0 {
			l.quiet()
			continue
		}
		v := l.banned()
		if limit := map[Rule]float64{RuleScore: 3, RuleLongMemory: 6}[tt.rule]; v.Rule != tt.rule ||
			v.Score <= limit ||
			v.Score > limit+1.1 {
			t.Errorf("%v each %v: got %s", tt.o.Kind, tt.gap, brief(v))
		}
		if want := map[bool]Scope{true: ScopeAll, false: ScopeSIP}[tt.o.Stream]; v.Scope != want {
			t.Errorf("%v each %v: scope %v, want %v", tt.o.Kind, tt.gap, v.Scope, want)
		}
	}
}

// The slow scale halves in a week, and is forgotten two weeks after a single attempt.
func TestLongMemoryHalvesInAWeek(t *testing.T) {
	l := newLab(t)
	l.feed(repeat(2, forged(attacker))...)
	for range 2 {
		l.wait(7 * 24 * time.Hour)
	}
	x := l.e.Explain(hostAddr(attacker))
	if p := x.Scores[1]; p.Rule != RuleLongMemory || p.Forgeable < 0.499 || p.Forgeable > 0.5 ||
		p.Limit != 6 {
		t.Errorf("got %+v, want 0.5", p)
	}
	if p := x.Scores[0]; p.Forgeable != 0 {
		t.Errorf("the fast score: got %+v", p)
	}
	if x.Attempts != 2 {
		t.Errorf("attempts: got %d, want 2", x.Attempts)
	}
}

// A user who errs once a day and then gets in is no slow attacker.
func TestUserWhoErrsDailyIsNoSlowAttacker(t *testing.T) {
	l := newLab(t)
	for range 60 {
		l.every(time.Minute, overStream(wrong(phone, "1007")), overStream(wrong(phone, "1007")))
		l.every(time.Minute, overStream(registered(phone)))
		l.wait(24 * time.Hour)
	}
	l.quiet()
}

// Pausing below the fast threshold gains nothing: three attempts, a rest, three more.
func TestBurstsWithPausesAreCaught(t *testing.T) {
	for pause, want := range map[time.Duration]int{
		time.Hour: 6, 8 * time.Hour: 7, 24 * time.Hour: 7, 48 * time.Hour: 8,
	} {
		l := newLab(t)
		n := 0
		for ; n < 30 && len(l.got) == 0; n++ {
			if n%3 == 0 {
				l.wait(pause)
			}
			l.feed(event(KindInvalidAccountID, ServicePJSIP, attacker, "a", string(rune('a'+n))))
		}
		if l.banned(); n != want {
			t.Errorf("pauses of %v: banned at attempt %d, want %d", pause, n, want)
		}
	}
}

// One forged packet never bans by the slow scale alone, however heavy the attack around it makes it:
// else the next one would ban its victim for an hour, long after the attack.
func TestOneForgedPacketIsNotOverTheSlowLimit(t *testing.T) {
	l := newLab(t)
	l.strangers(200, "1009")
	l.drop()
	l.feed(wrong("203.0.113.77", "1009"))
	if v := l.banned(); v.Duration != 10*time.Minute || v.Rule != RuleScore {
		t.Fatalf("during the attack: %s", brief(v))
	}

	l.drop()
	l.wait(24 * time.Hour)
	l.feed(forged("203.0.113.77"))
	l.quiet()
}
