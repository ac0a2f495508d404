package policy

import "testing"

// R0b: "challenged elsewhere, then there" is no proof. Measured on Asterisk 16.28 (lab/forge_nonce.py, D): a forged request with a
// made-up nonce is answered with the SAME nonce, and a ChallengeSent of the forged address; then the nonce that was read at the own
// address is good for a SuccessfulAuth, or for an InvalidPassword with a round trip, of the forged address.
func TestRedOneNonceForTwoAddressesProvesNothing(t *testing.T) {
	l := newLab(t)
	const victim = "203.0.113.9"
	l.feed(event(KindChallengeSent, ServiceSIP, attacker, "mine", "d"), event(KindChallengeSent, ServiceSIP, victim, "mine", "d"))
	o := success(victim, "mine")
	o.Service, o.Session = ServiceSIP, hasher.Session([]byte("d"))
	l.feed(o)
	if l.e.isProved(hostKey(hostAddr(victim))) {
		t.Error("proved")
	}
}
