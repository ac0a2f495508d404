package policy

import (
	"fmt"
	"testing"
	"time"
)

// One Call-ID is challenged as "mine" and answered as 1008 (measured). The guesses on 1008 are not
// taken for failures on "mine".
func TestChallengedAsOneAnsweredAsAnother(t *testing.T) {
	tcp := func(o Observation) Observation { o.Service, o.Stream = ServiceSIP, true; return o }
	l := newLab(t)
	send := func(kind Kind, account string, i int) {
		o := tcp(event(kind, ServiceSIP, attacker, account, fmt.Sprint("c", i)))
		o.Password = kind == KindSuccessfulAuth
		l.every(2*time.Second, o)
	}
	send(KindChallengeSent, "mine", 0)
	send(KindSuccessfulAuth, "mine", 0)
	for i := range 600 {
		send(KindChallengeSent, "mine", i+1)
		send(KindInvalidPassword, "1008", i+1)
	}
	if l.count(ActionAlert, RuleProvedGuessing) == 0 {
		t.Errorf("600 wrong passwords for 1008 within 40 minutes are not told: %v", l.told())
	}

	// Anybody can write these events in a phone's name, so nobody is banned for them.
	l.noBan()
	l.drop()
	send(KindChallengeSent, "mine", 1000)
	send(KindSuccessfulAuth, "1008", 1000)
	if l.count(ActionAlert, RuleCompromised) == 0 {
		t.Error("the crack of 1008 is not told")
	}
	l.noBan()
}
