package policy

import (
	"fmt"
	"testing"
	"time"
)

// dialled is what chan_sip raises when a registered phone, or a gateway with a fixed address,
// places a call: the AccountID is the number that it dialled, not who it is (measured, Asterisk
// 16.28).
func dialled(source, number string) []Observation {
	o := success(source, number)
	o.Service = ServiceSIP
	o.Session = hasher.Session([]byte("call" + number))
	c := event(KindChallengeSent, ServiceSIP, source, "sip:1002@pbx", "call"+number)
	return []Observation{c, o}
}

// Whoever places a call to the number of a canary account is not banned for it: chan_sip names the
// number that was dialled.
func TestDiallingACanaryBansNobody(t *testing.T) {
	l := newLab(t, func(o *Options) { o.Canaries = []string{"1099"} })
	reg := success(office, "1002")
	reg.Service = ServiceSIP
	l.feed(reg)
	l.wait(time.Hour)
	l.feed(dialled(office, "1099")...)
	l.noBan()
}

// Whoever calls 1008 has not authenticated as 1008. Guesses on it are not taken for a misconfigured
// endpoint of that owner.
func TestDiallingAnAccountDoesNotOwnIt(t *testing.T) {
	l := newLab(t)
	tcp := func(o Observation) Observation { o.Service, o.Stream = ServiceSIP, true; return o }
	l.feed(tcp(success(attacker, "mine")))
	for a := range 50 {
		l.feed(all(dialled(attacker, fmt.Sprint(1000+a)), tcp)...)
	}
	for range 10 {
		for range 20 {
			for a := range 50 {
				l.every(
					50*time.Millisecond,
					tcp(event(KindInvalidPassword, ServiceSIP, attacker, fmt.Sprint(1000+a), "g")),
				)
			}
		}
		l.wait(15 * time.Second)
	}
	// Anybody could have sent that in a phone's name: it is told, and nobody is banned.
	l.noBan()
	if l.count(ActionAlert, RuleProvedGuessing) == 0 {
		t.Errorf("10,000 wrong passwords on 50 accounts are not told: %v", l.told())
	}
}

// Over INVITE, chan_sip names the dialled number in an InvalidPassword, too. The challenge of the
// same session names the account that was guessed.
func TestInviteGuessesAreTheGuessedAccounts(t *testing.T) {
	l := newLab(t)
	tcp := func(o Observation) Observation { o.Service, o.Stream = ServiceSIP, true; return o }
	l.feed(tcp(success(attacker, "mine")))
	for i := range 600 {
		session := fmt.Sprint("call", i)
		l.every(
			4*time.Second,
			tcp(event(KindChallengeSent, ServiceSIP, attacker, "sip:1002@127.0.0.1", session)),
			tcp(event(KindInvalidPassword, ServiceSIP, attacker, "mine", session)),
		)
	}
	l.noBan()
	if l.count(ActionAlert, RuleProvedGuessing) == 0 {
		t.Errorf("600 wrong passwords for 1002 by INVITE are not told: %v", l.told())
	}
}

// A proof without an account means nothing once it is over. Its record may be forgotten then, or
// not, and both have to end in the same ban.
func TestExpiredProofWithoutAnAccount(t *testing.T) {
	var got [2]occupant
	for i, forget := range []bool{false, true} {
		l := newLab(t)
		l.feed(dialled(attacker, "1099")...)
		l.now += int64(24 * time.Hour)
		if forget {
			l.take(l.e.Advance(l.now))
			l.take(l.e.Advance(l.now + 1))
		}
		if known := l.e.recordOf(hostKey(hostAddr(attacker))) != nil; known == forget {
			t.Fatalf("forget %v: its record is there: %v", forget, known)
		}

		// Somebody guesses from there, and a friend logs in.
		l.feed(overStream(wrong(attacker, "1001")), success(attacker, "mine"))
		k := hostKey(hostAddr(attacker))
		got[i] = l.e.occupantOf(k, l.e.recordOf(k))
	}
	if got[0] != got[1] {
		t.Errorf("occupants %d and %d", got[0], got[1])
	}
}
