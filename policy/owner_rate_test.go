package policy

import (
	"fmt"
	"testing"
	"time"
)

// Whoever owns one account may guess one other account at the rate that the README admits. Logging
// in often does not raise it.
func TestOwnerGuessesNoFasterThanAdmitted(t *testing.T) {
	l := newLab(t)
	for range 60 {
		l.feed(overStream(success(attacker, "mine")))
		l.wait(12 * time.Hour)
	}
	l.drop()
	n := 0
	for range 60 {
		l.wait(time.Duration(int64(time.Minute) - l.now%int64(time.Minute)))
		for range 5 {
			l.every(time.Millisecond, overStream(success(attacker, "mine")))
		}
		for a := range 5 {
			for range 59 {
				if !l.isBanned(attacker) {
					n++
				}
				l.every(time.Millisecond, overStream(wrong(attacker, fmt.Sprint(2000+a))))
			}
		}
	}
	if n > 20*60 {
		t.Errorf(
			"%d wrong passwords within the hour over TCP, banned %v; README: %d at most",
			n,
			l.isBanned(attacker),
			20*60,
		)
	}
}

// A SIP account excuses no guess of a manager's secret.
func TestSIPOwnerMayNotGuessTheManagersSecret(t *testing.T) {
	l := newLab(t)
	l.feed(success(attacker, "mine"))
	n := 0
	for range 24 * 60 {
		for range 4 {
			if !l.isBanned(attacker) {
				n++
			}
			o := event(KindInvalidPassword, ServiceAMI, attacker, "admin", "s")
			o.Server = 3
			l.every(time.Second, o)
		}
		l.wait(57 * time.Second)
	}
	if n > 20 {
		t.Errorf("%d guesses of the manager's secret in a day over TCP, no ban: %v", n, l.told())
	}
}

// Whoever owns an account is a stranger to all others: a botnet's find is alerted though its host
// has an account.
func TestOwnersFindOnAnAttackedAccountIsAlerted(t *testing.T) {
	l := newLab(t)
	for i := range 40 {
		l.every(time.Second, wrong(fmt.Sprintf("%d.0.113.5", 20+i), "1008"))
	}
	l.feed(success(attacker, "mine"))
	l.drop()
	l.every(time.Second, success(attacker, "1008"))
	if len(l.got) == 0 {
		t.Error(
			"40 strangers guess 1008; a host that owns another account since a second logs in to it: nothing is told",
		)
	}
}
