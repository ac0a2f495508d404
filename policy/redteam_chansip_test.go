package policy

import (
	"fmt"
	"testing"
	"time"
)

// R0/R12: over chan_sip an owner of any account forges SuccessfulAuth in anybody's name, port of his choice (measured: he reads the
// nonce at his own address, the answer bears a forged source; the session is one). With failures of *his own* account forged
// before it, a phone that proved itself for a month is banned at once.
func TestRedForgedChanSIPSuccessBansAProvedPhone(t *testing.T) {
	l := newLab(t)
	in := func(o Observation, session string) Observation {
		o.Service, o.Session = ServiceSIP, hasher.Session([]byte(session))
		return o
	}
	for i := range 60 {
		s := fmt.Sprint("reg", i)
		l.feed(in(event(KindChallengeSent, ServiceSIP, phone, "1007", s), s), in(success(phone, "1007"), s))
		l.wait(12 * time.Hour)
	}
	l.feed(in(event(KindChallengeSent, ServiceSIP, phone, "1007", "now"), "now"), in(success(phone, "1007"), "now"))
	const forgedFrom = phone + ":40000"
	for i := range 26 {
		s := fmt.Sprint("forged", i)
		l.every(10*time.Millisecond, event(KindChallengeSent, ServiceSIP, attacker, "mine", s),
			event(KindInvalidPassword, ServiceSIP, forgedFrom, "mine", s))
	}
	l.feed(event(KindChallengeSent, ServiceSIP, attacker, "mine", "last"), in(success(forgedFrom, "mine"), "last"))
	l.noBan()
}

// R0: a forged success proves an address that nobody proved: here it takes the ban away from a scanner's /24.
func TestRedForgedChanSIPSuccessProvesNothing(t *testing.T) {
	l := newLab(t)
	o := success("203.0.113.200", "mine")
	o.Service, o.Session = ServiceSIP, hasher.Session([]byte("x"))
	l.feed(event(KindChallengeSent, ServiceSIP, attacker, "mine", "x"), o)
	if l.e.isProved(hostKey(hostAddr("203.0.113.200"))) {
		t.Error("203.0.113.200 is proved by an answer to a challenge that went to another address")
	}
}
