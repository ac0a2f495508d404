package policy

import (
	"fmt"
	"slices"
	"testing"
	"time"
)

// Accounts beyond five that were challenged at a source that never succeeds weigh a quarter each:
// the eighteenth bans.
func TestUnansweredChallengesAddUp(t *testing.T) {
	for n, want := range map[int]float32{1: 0, 5: 0, 6: 0.25, 13: 2, 17: 3} {
		l := newLab(t)
		l.feed(challenges(n, attacker)...)
		l.wait(11 * time.Second)
		l.quiet()
		score := float32(0)
		if want > 0 {
			score = l.source(attacker).forgeable
		}
		if score > want || score < want*0.99 {
			t.Errorf("%d accounts: score %v, want %v", n, score, want)
		}
	}
	l := newLab(t)
	l.feed(challenges(18, attacker)...)
	asked := l.now - int64(12*time.Millisecond) // the sixth
	l.quiet()
	l.wait(time.Minute)
	if v := l.banned(); v.Rule != RuleUnanswered || v.Scope != ScopeSIP || v.Attempts != 1 ||
		v.At != asked+answerTime {
		t.Errorf("got %s at %v", brief(v), time.Duration(v.At-asked))
	}
}

// After those ten seconds each further account counts at once.
func TestFurtherChallengesCountAtOnce(t *testing.T) {
	l := newLab(t)
	l.feed(challenges(10, attacker)...)
	l.wait(time.Minute)
	n := 0
	for i, o := range challenges(30, attacker)[10:] {
		l.feed(o)
		if len(l.got) > 0 {
			n = i + 1
			break
		}
	}
	if n != 8 {
		t.Errorf("banned at the further account %d, want 8: %v", n, l.told())
	}
}

func TestAnsweredChallengesAreNone(t *testing.T) {
	phones := func(n int) (asked, answered []Observation) {
		for i, o := range challenges(n, office) {
			asked = append(asked, o)
			answered = append(answered, success(office, fmt.Sprint("ext", i)))
		}
		return asked, answered
	}
	asked, answered := phones(200)
	for name, play := range map[string]func(l *lab){
		"an office whose 200 phones register at once": func(l *lab) {
			l.feed(asked...)
			l.wait(9 * time.Second)
			l.feed(answered[:1]...)
			l.wait(time.Minute)
		},
		"one that answers each": func(l *lab) {
			for i := range asked {
				l.feed(asked[i], answered[i])
			}
			l.wait(time.Minute)
		},
		"one where a phone works, asked later": func(l *lab) {
			l.feed(answered[0])
			l.wait(25 * time.Hour) // not proved any more, but it owns an account
			l.feed(asked...)
			l.wait(time.Minute)
		},
		"phones that the PBX identifies by auth_username": func(l *lab) {
			for i := range 200 {
				l.feed(event(KindChallengeSent, ServicePJSIP, office, unknown, fmt.Sprint(i)))
			}
			l.wait(time.Minute)
		},
		"the same on twenty servers": func(l *lab) {
			for i := range 20 {
				o := event(KindChallengeSent, ServicePJSIP, office, unknown, fmt.Sprint(i))
				o.Server = uint16(i)
				l.feed(o)
			}
			l.wait(time.Minute)
		},
		"one phone, challenged again and again": func(l *lab) {
			l.every(time.Minute, repeat(500, event(KindChallengeSent, ServicePJSIP, office, "1007", "c"))...)
		},
		"five phones, likewise": func(l *lab) {
			for range 100 {
				l.every(time.Minute, asked[:5]...)
			}
		},
	} {
		l := newLab(t)
		play(l)
		if len(l.got) != 0 || l.e.Stats().Counted != 0 {
			t.Errorf("%s: %d attempts, %v", name, l.e.Stats().Counted, l.told())
		}
	}
}

// The first success clears what they had added, and nothing else: neither what came by failures,
// nor more than is left.
func TestSuccessClearsOnlyWhatChallengesAdded(t *testing.T) {
	l := newLab(t)
	l.feed(challenges(15, attacker)...)
	l.wait(2 * time.Hour)
	l.feed(repeat(2, overStream(forged(attacker)))...)
	l.feed(success(attacker, "mine"))
	if got := l.source(attacker).proven; got < 1.95 || got > 2.05 {
		t.Errorf("score after the success: got %v, want 2", got)
	}
	l = newLab(t)
	l.feed(challenges(15, attacker)...)
	l.wait(time.Minute)
	l.feed(success(attacker, "mine"))
	if s := l.source(attacker); s.forgeable > 0.01 || s.slowForgeable > 0.01 {
		t.Errorf("scores after the success: %v, %v; want none", s.forgeable, s.slowForgeable)
	}
}

// Challenges and failures of one source add up.
func TestChallengesAndFailuresAddUp(t *testing.T) {
	l := newLab(t)
	l.feed(slices.Concat(challenges(13, attacker), guesses(2, attacker))...)
	l.quiet()
	l.wait(time.Minute)
	if v := l.banned(); v.Rule != RuleUnanswered || v.Attempts != 3 {
		t.Errorf("got %s", brief(v))
	}
}

// Over a stream they are proven evidence; several servers share one count; what is protected has
// none.
func TestWhoseChallengesCount(t *testing.T) {
	l := newLab(t)
	l.feed(all(challenges(18, attacker), overStream)...)
	l.wait(time.Minute)
	if v := l.banned(); v.Scope != ScopeAll {
		t.Errorf("over a stream: got %s", brief(v))
	}
	l = newLab(t)
	for i, o := range challenges(18, attacker) {
		o.Server, o.Account = uint16(i), hasher.Label([]byte("1007"))
		l.feed(o)
	}
	l.wait(time.Minute)
	l.banned()
	l = newLab(t)
	l.e.Protect(
		l.now,
		NewProtected([]ProtectedEntry{{hostKey(hostAddr(attacker)).prefix(), "trunk"}}, nil),
	)
	l.feed(challenges(200, attacker)...)
	l.wait(time.Minute)
	l.quiet()
	if n := l.e.silents.Len(); n != 0 {
		t.Errorf("silent sources: got %d", n)
	}
}

// A flood of sources that are challenged stays within its bound and pushes out none that collects
// many.
func TestFloodOfChallengesIsBounded(t *testing.T) {
	l := newLab(t)
	l.feed(challenges(18, attacker)...)
	o := challenges(1, "10.0.0.1")[0]
	a := o.Source.Addr()
	for range 2 * maxSilent {
		o.Source, o.At = addrPort(a, 5060), l.now
		l.e.Observe(o)
		a = a.Next()
	}
	if n := l.e.silents.Len(); n > maxSilent {
		t.Errorf("silent sources: %d, more than %d", n, maxSilent)
	}
	l.wait(time.Minute)
	l.banned()
}
