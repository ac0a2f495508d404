package policy

import (
	"fmt"
	"testing"
	"time"
)

// Forgeable evidence in the name of a proved source is told at the attempt that would ban a
// stranger, then hourly.
func TestProvedGuesserIsToldLikeAStrangerIsBanned(t *testing.T) {
	for name, next := range map[string]func(i int) Observation{
		"unknown accounts": func(i int) Observation {
			return event(KindInvalidAccountID, ServicePJSIP, phone, fmt.Sprint("u", i), fmt.Sprint(i))
		},
		"one password, many":           func(i int) Observation { return wrong(phone, fmt.Sprint("10", i)) },
		"one account, a password list": func(int) Observation { return wrong(phone, "1001") },
	} {
		t.Run(name, func(t *testing.T) {
			lonely := newLab(t)
			stranger := lonely.attemptsUntil(30, time.Millisecond, next)
			l := newLab(t, off(RuleMisconfigured)) // which lets some pass in an owner's name
			l.feed(registered(phone))
			n := 0
			for ; n < 30 && len(l.got) == 0; n++ {
				l.feed(next(n))
			}
			if v := l.alerted(RuleProvedGuessing); n != stranger ||
				v.Prefix.Addr() != hostAddr(phone) ||
				string(v.Owned.Bytes()) != "1007" ||
				v.Owns != 1 {
				t.Errorf(
					"told at attempt %d, a stranger is banned at %d: %s, owns %d, %q",
					n,
					stranger,
					brief(v),
					v.Owns,
					v.Owned.Bytes(),
				)
			}
			if l.isBanned(phone) {
				t.Error("it was banned")
			}
		})
	}
}

func TestProvedGuesserIsToldHourly(t *testing.T) {
	l := newLab(t)
	l.feed(registered(phone))
	for range 3 * 60 {
		l.feed(guesses(10, phone)...)
		l.wait(time.Minute)
	}
	l.noBan()
	if n := l.count(ActionAlert, RuleProvedGuessing); n != 3 {
		t.Errorf("alerts in three hours: got %d, want 3", n)
	}
	v := l.got[len(l.got)-1]
	if v.Guessed != 10 || v.Rate <= 0 || v.Score <= 3 {
		t.Errorf("got %s, %d accounts, rate %v", brief(v), v.Guessed, v.Rate)
	}
	l.wait(3 * time.Hour)
	l.drop()
	l.feed(guesses(1, phone)...)
	l.noBan()
}

// Slow ones are told too, as slow ones of strangers are banned.
func TestSlowProvedGuesserIsTold(t *testing.T) {
	l := newLab(t, off(RuleMisconfigured))
	for i := range 7 {
		l.quiet()
		l.feed(registered(phone))
		l.every(time.Hour, event(KindInvalidAccountID, ServicePJSIP, phone, "u", fmt.Sprint(i)))
	}
	l.alerted(RuleProvedGuessing)
}

// A provider who prefers otherwise has them banned: at the same attempt, scope sip, within the
// budget.
func TestBanProvedGuessers(t *testing.T) {
	l := newLab(
		t,
		off(RuleMisconfigured),
		func(o *Options) { o.BanProvedGuessers, o.ForgeablePerMinute = true, 1 },
	)
	l.feed(registered(phone))
	l.feed(guesses(3, phone)...)
	l.quiet()
	l.feed(guesses(4, phone)[3])
	l.wants(
		"alert 10.20.0.107/32 none proved_source_guessing",
		"ban 10.20.0.107/32 sip proved_source_guessing",
	)
	if v := l.got[1]; v.Duration != 10*time.Minute || v.Strike != 1 || len(v.Evidence) == 0 {
		t.Errorf("got %s", brief(v))
	}
	other := "10.20.0.108"
	l.feed(success(other, "1008"))
	l.feed(guesses(9, other)...)
	if l.isBanned(other) {
		t.Error("beyond the budget")
	}
}

// Over a stream transport, what a proved source does is its own: it is banned as soon as a stranger,
// but only from that transport.
func TestProvedGuesserOverAStreamIsBanned(t *testing.T) {
	l := newLab(t)
	l.feed(registered(attacker))
	n := l.attemptsUntil(9, time.Millisecond, func(i int) Observation {
		return overStream(
			event(KindInvalidAccountID, ServicePJSIP, attacker, fmt.Sprint(i), fmt.Sprint(i)),
		)
	})
	if v := l.banned(); n != 4 || v.Scope != ScopeStream || v.Duration != shortBan {
		t.Errorf("attempt %d: %s", n, brief(v))
	}
}

// A success after failures from the same port shields all the same: the failures, or the success,
// may be forged. What looks like guessing is told, and the explanation names the failures.
func TestWashedOnlyTells(t *testing.T) {
	const from = attacker + ":40000"
	two := guesses(2, from)
	for _, tt := range []struct {
		name   string
		before []Observation
		washed bool
	}{
		{"two unknown accounts, then its own", two, true},
		{"a wrong password on another's account", []Observation{wrong(from, "1001")}, true},
		{"all from the port of SIP", guesses(2, attacker), false},
		{"nothing", nil, false},
		{"failures from another port", all(two, fromPort(31337)), false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			l := newLab(t)
			l.every(5*time.Second, tt.before...)
			l.every(5*time.Second, registered(from))
			again := func(o Observation) Observation { o.Session += 100; return fromPort(40000)(o) }
			l.feed(all(guesses(8, attacker), again)...)

			l.noBan()
			if n := l.count(ActionAlert, RuleProvedGuessing); n != 1 {
				t.Errorf("guessing was told %d times: %v", n, l.told())
			}
			if x := l.e.Explain(hostAddr(attacker)); !x.Proved || x.Washed != tt.washed {
				t.Errorf("proved %v, washed %v", x.Proved, x.Washed)
			}
		})
	}
}

// A phone that proved itself before is not washed away by what is forged from its port while its
// proof has ended.
func TestForgedPacketsEndNoProof(t *testing.T) {
	l := newLab(t)
	l.feed(registered(phone))
	l.wait(25 * time.Hour)
	l.feed(guesses(2, phone)...)
	l.feed(registered(phone))
	l.feed(
		all(guesses(20, phone), func(o Observation) Observation { o.Session += 100; return o })...)
	l.noBan()
}

// Weeks without failures wash it after all.
func TestWashedFades(t *testing.T) {
	l := newLab(t)
	l.feed(guesses(2, attacker)...)
	for range 30 {
		l.feed(registered(attacker))
		l.wait(23 * time.Hour)
	}
	l.feed(registered(attacker))
	l.feed(guesses(8, attacker)...)
	l.noBan()
}

// A score has a bound: what a flood was told for is forgotten in seventeen days, however large it
// was.
func TestScoreIsBounded(t *testing.T) {
	l := newLab(t)
	l.feed(registered(phone))
	l.feed(guesses(5000, phone)...)
	if s := l.source(phone); s.guess != 24 || s.slowGuess != 24 {
		t.Errorf("scores: got %v, %v, want eight times the threshold", s.guess, s.slowGuess)
	}
	for range 17 {
		l.wait(23 * time.Hour)
		l.feed(registered(phone))
		l.wait(time.Hour)
	}
	l.drop()
	l.feed(forged(phone))
	l.quiet()
}
