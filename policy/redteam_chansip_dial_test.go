package policy

import (
	"fmt"
	"testing"
	"time"
)

// dialled is what chan_sip raises when a registered phone, or a gateway with a fixed address, places a call: the AccountID is the
// number that it dialled, not who it is (measured, Asterisk 16.28).
func dialled(source, number string) []Observation {
	o := success(source, number)
	o.Service = ServiceSIP
	o.Session = hasher.Session([]byte("call" + number))
	c := event(KindChallengeSent, ServiceSIP, source, "sip:1002@pbx", "call"+number)
	return []Observation{c, o}
}

// R16: somebody calls the number of a canary account. The gateway (or phone, or office) that places the call is banned, scope all,
// although it is proved.
func TestRedDiallingACanaryBansNobody(t *testing.T) {
	l := newLab(t, func(o *Options) { o.Canaries = []string{"1099"} })
	reg := success(office, "1002")
	reg.Service = ServiceSIP
	l.feed(reg)
	l.wait(time.Hour)
	l.feed(dialled(office, "1099")...)
	l.noBan()
}

// R17: who owns an account calls 1008 once: that is "a success as 1008", so its failures are a misconfigured endpoint's from then
// on: 20 guesses a minute (60 with five calls a minute), on as many accounts as he likes, over TCP, and the crack is not told.
func TestRedDiallingAnAccountDoesNotOwnIt(t *testing.T) {
	l := newLab(t)
	tcp := func(o Observation) Observation { o.Service, o.Stream = ServiceSIP, true; return o }
	l.feed(tcp(success(attacker, "mine")))
	for a := range 50 {
		l.feed(all(dialled(attacker, fmt.Sprint(1000+a)), tcp)...)
	}
	for range 10 {
		for range 20 {
			for a := range 50 {
				l.every(50*time.Millisecond, tcp(event(KindInvalidPassword, ServiceSIP, attacker, fmt.Sprint(1000+a), "g")))
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

// R18: over INVITE the AccountID of chan_sip's InvalidPassword is the dialled number as well. Guessing 1002 while dialling one's own
// number is one's own phone's misconfiguration: 20 a minute, over TCP. The ChallengeSent of the same session names who it is.
func TestRedInviteGuessesAreTheGuessedAccounts(t *testing.T) {
	l := newLab(t)
	tcp := func(o Observation) Observation { o.Service, o.Stream = ServiceSIP, true; return o }
	l.feed(tcp(success(attacker, "mine")))
	for i := range 600 {
		session := fmt.Sprint("call", i)
		l.every(4*time.Second, tcp(event(KindChallengeSent, ServiceSIP, attacker, "sip:1002@127.0.0.1", session)),
			tcp(event(KindInvalidPassword, ServiceSIP, attacker, "mine", session)))
	}
	l.noBan()
	if l.count(ActionAlert, RuleProvedGuessing) == 0 {
		t.Errorf("600 wrong passwords for 1002 by INVITE are not told: %v", l.told())
	}
}
