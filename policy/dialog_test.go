package policy

import (
	"fmt"
	"testing"
	"time"
)

// chanSIP is an event of chan_sip over UDP in a dialog.
func chanSIP(kind Kind, source, dialog string) Observation {
	o := event(kind, ServiceSIP, source, "1001", dialog)
	o.Password, o.RoundTrip = kind == KindSuccessfulAuth, kind == KindInvalidPassword
	if kind == KindChallengeSent {
		o.Challenge = 7
	}
	return o
}

// renewed is a challenge with another nonce.
func renewed(o Observation) Observation { o.Challenge++; return o }

// Who is challenged at his own address and answers in another's name proves nothing of that address.
func TestBorrowedSuccessProvesNothing(t *testing.T) {
	const victim = "203.0.113.9"
	for name, tt := range map[string]struct {
		before []Observation
		wait   time.Duration
		proved bool
	}{
		"challenged there":                  {[]Observation{chanSIP(KindChallengeSent, victim, "d")}, time.Second, true},
		"challenged elsewhere":              {[]Observation{chanSIP(KindChallengeSent, attacker, "d")}, time.Second, false},
		"challenged there, then elsewhere":  {[]Observation{chanSIP(KindChallengeSent, victim, "d"), chanSIP(KindChallengeSent, attacker, "d")}, time.Second, false},
		"the same nonce in both places":     {[]Observation{chanSIP(KindChallengeSent, attacker, "d"), chanSIP(KindChallengeSent, victim, "d")}, time.Second, false},
		"a new nonce there":                 {[]Observation{chanSIP(KindChallengeSent, attacker, "d"), renewed(chanSIP(KindChallengeSent, victim, "d"))}, time.Second, true},
		"challenged in another dialog":      {[]Observation{chanSIP(KindChallengeSent, attacker, "e")}, time.Second, true},
		"no challenge: it is filtered out":  {nil, time.Second, true},
		"challenged elsewhere, long before": {[]Observation{chanSIP(KindChallengeSent, attacker, "d")}, 2 * time.Minute, true},
	} {
		t.Run(name, func(t *testing.T) {
			l := newLab(t)
			l.feed(tt.before...)
			l.wait(tt.wait)
			l.feed(chanSIP(KindSuccessfulAuth, victim, "d"))
			if got := l.e.isProved(hostKey(hostAddr(victim))); got != tt.proved {
				t.Errorf("proved: got %v, want %v", got, tt.proved)
			}
			if got := l.e.Stats().Borrowed == 1; got == tt.proved {
				t.Errorf("counted as borrowed: %v", got)
			}
		})
	}
}

// A round trip is proven where the challenge went, even against a source that proved itself, and forgeable elsewhere.
func TestRoundTripCountsWhereTheChallengeWent(t *testing.T) {
	for _, tt := range []struct {
		challenged string
		want       Scope
	}{{attacker, ScopeAll}, {"198.51.100.1", ScopeSIP}} {
		l := newLab(t)
		for i := range 7 {
			dialog := fmt.Sprint(i)
			l.feed(chanSIP(KindChallengeSent, tt.challenged, dialog), chanSIP(KindInvalidPassword, attacker, dialog))
		}
		if v := l.banned(); v.Scope != tt.want || v.Attempts != 7 {
			t.Errorf("challenged at %s: got %s", tt.challenged, brief(v))
		}
	}
}

func TestDialogsAreBounded(t *testing.T) {
	l := newLab(t)
	o := chanSIP(KindChallengeSent, attacker, "d")
	for i := range 2 * maxDialogs {
		o.Session = uint64(i)
		l.now += 1000
		o.At = l.now
		l.e.Observe(o)
	}
	if n := l.e.dialogs.n; n != maxDialogs {
		t.Errorf("dialogs: %d, want %d", n, maxDialogs)
	}
	l.e.dialogs.check(t)
}
