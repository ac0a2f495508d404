package policy

import (
	"net/netip"
	"testing"
	"time"
)

// A forged flood in a phone's name does not cut it off.
func TestForgeableEvidenceNeverBansAProvedSource(t *testing.T) {
	l := newLab(t)
	l.feed(registered(phone))
	l.feed(guesses(1000, phone)...)
	l.wait(23 * time.Hour)
	l.feed(guesses(1000, phone)...)
	l.noBan()
	if s := l.e.Stats(); s.Shielded+s.Excused != 2000 || s.Excused > 10 {
		t.Errorf("shielded %d, excused %d of 2000", s.Shielded, s.Excused)
	}
}

func TestProofEndsWithItsWindow(t *testing.T) {
	l := newLab(t)
	l.feed(registered(phone))
	l.wait(24*time.Hour - 2*time.Minute)
	l.feed(guesses(9, phone+":5061")...)
	l.noBan()
	l.drop()
	l.wait(2 * time.Minute)
	l.feed(guesses(4, phone)...)
	if v := l.banned(); v.Attempts != 4 || v.Scope != ScopeSIP {
		t.Errorf("got %s", brief(v))
	}
}

// What was forged while the proof held is no debt once it has ended.
func TestShieldedEvidenceIsNotKept(t *testing.T) {
	l := newLab(t, func(o *Options) { o.HalfLife = 1000 * time.Hour })
	l.feed(registered(phone))
	l.feed(guesses(1000, phone)...)
	l.wait(25 * time.Hour)
	l.noBan()
	if s := l.source(phone); s.forgeable != 0 || s.slowForgeable != 0 || s.attempts != 0 {
		t.Errorf("score %v, %v after %d attempts", s.forgeable, s.slowForgeable, s.attempts)
	}
	l.drop()
	l.feed(guesses(3, phone)...)
	l.quiet()
}

func TestProvenEvidenceBansAProvedSource(t *testing.T) {
	l := newLab(t)
	l.feed(registered(phone))
	l.feed(all(guesses(4, phone), overStream)...)
	if v := l.banned(); v.Scope != ScopeStream || v.Rule != RuleProvenScore {
		t.Errorf("got %s", brief(v))
	}
}

// Only a success proves a source, and only one that needed an answer to come back.
func TestWhatProvesASource(t *testing.T) {
	success := event(KindSuccessfulAuth, ServicePJSIP, phone, "1007", "reg")
	password := registered(phone)
	injected := registered(phone)
	injected.Injected = true
	failure := overStream(event(KindChallengeResponseFailed, ServicePJSIP, phone, "1007", "c"))
	failure.Password = true
	for _, tt := range []struct {
		name   string
		o      Observation
		proved bool
	}{
		{"with a password over UDP", password, true},
		{"over a stream transport", overStream(success), true},
		{"of the AMI", event(KindSuccessfulAuth, ServiceAMI, phone, "admin", "s"), true},
		{"without a password over UDP", success, false},
		{"injected", injected, false},
		{"a failure over a stream transport", failure, false},
		{
			"a failure of chan_sip over TCP",
			overStream(event(KindInvalidPassword, ServiceSIP, phone, "1007", "p")), false,
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			l := newLab(t)
			l.feed(tt.o)
			l.feed(guesses(8, phone)...)
			if got := !l.isBanned(phone); got != tt.proved {
				t.Errorf("proved: got %v, want %v", got, tt.proved)
			}
		})
	}
}

// A guess that hits lifts no ban and takes nothing from the score.
func TestSuccessLiftsNoBanAndWashesNoScore(t *testing.T) {
	l := newLab(t)
	guess := event(KindChallengeResponseFailed, ServicePJSIP, attacker, "1001", "c")
	l.feed(repeat(7, guess)...)
	l.feed(registered(attacker))
	l.banned()
	if _, ok := l.e.Ban(guess.Source.Addr()); !ok {
		t.Error("the ban was lifted")
	}

	l = newLab(t)
	l.feed(all(guesses(2, attacker), overStream)...)
	l.feed(registered(attacker))
	l.feed(all(guesses(4, attacker)[2:], overStream)...)
	if v := l.banned(); v.Attempts != 4 {
		t.Errorf("got %s", brief(v))
	}
}

// A ban on forgeable evidence becomes one of all traffic as soon as proven evidence asks for it,
// and is the same strike.
func TestEscalation(t *testing.T) {
	l := newLab(t)
	l.feed(repeat(4, forged(attacker))...)
	first := l.banned()
	l.wait(5 * time.Minute)
	l.feed(repeat(50, forged(attacker))...)
	stream := repeat(4, overStream(forged(attacker)))
	l.feed(stream[:3]...)
	l.banned()
	l.feed(stream[3])
	if len(l.got) != 2 {
		t.Fatalf("got %d verdicts, want 2", len(l.got))
	}
	v := l.got[1]
	if v.Action != ActionBan || v.Scope != ScopeAll || v.Rule != RuleProvenScore || v.Strike != 1 ||
		v.Duration != time.Hour {
		t.Errorf("got %s", brief(v))
	}
	if v.At+int64(v.Duration) < first.At+int64(first.Duration) {
		t.Error("the larger ban ends earlier than the smaller one")
	}
	l.feed(repeat(50, overStream(forged(attacker)))...)
	if len(l.got) != 2 {
		t.Errorf("verdicts about a source that is banned: %v", l.told()[2:])
	}
}

// Forged evidence from before a proof adds nothing to the proven evidence after it.
func TestOldForgeableEvidenceDoesNotHelpToBanAProvedSource(t *testing.T) {
	l := newLab(t)
	l.feed(repeat(3, forged(phone))...)
	l.feed(success(phone+":5062", "1007")) // from another port than the forged ones
	l.feed(all(guesses(3, phone), overStream)...)
	l.quiet()
	l.feed(overStream(guesses(4, phone)[3]))
	if v := l.banned(); v.Scope != ScopeStream || v.Score > 4 {
		t.Errorf("got %s", brief(v))
	}
}

// What is forged while a ban runs does not lengthen it, nor hasten the next.
func TestForgedEventsDuringABanCountNothing(t *testing.T) {
	l := newLab(t)
	l.feed(repeat(4, forged(phone))...)
	l.feed(repeat(1000, forged(phone))...)
	if v := l.banned(); v.Duration != 10*time.Minute {
		t.Errorf("got %s", brief(v))
	}
	l.now += int64(time.Hour) // three half-lives: 4 has become 0.5
	l.feed(repeat(2, forged(phone))...)
	l.banned()
	if got := l.e.Stats().Covered; got != 1000 {
		t.Errorf("covered: got %d, want 1000", got)
	}
}

func TestEscalationOfALongBanKeepsItsEnd(t *testing.T) {
	l := newLab(t)
	l.take(l.e.Adopt(l.now, netip.MustParsePrefix(attacker+"/32"), ScopeSIP, 500*time.Hour))
	until := l.now + int64(500*time.Hour)
	l.feed(repeat(4, overStream(forged(attacker)))...)
	if v := l.banned(); v.Scope != ScopeAll || v.At+int64(v.Duration) != until {
		t.Errorf("got %+v, want until %d", v, until)
	}
}
