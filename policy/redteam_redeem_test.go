package policy

import (
	"testing"
	"time"
)

// R11: redeem forgives a whole account, not the one failure of that request. Where phones are known by auth_username, a request
// From: 1008 with the credentials of the attacker's own account gives InvalidAccountID 1008 (when five come in 5 s) and then
// SuccessfulAuth mine, on one key: all wrong passwords for 1008 are forgotten, and the crack is not told.
func TestRedOwnSuccessRedeemsOneFailureOnly(t *testing.T) {
	l := newLab(t)
	const from = attacker + ":40000"
	l.feed(success(from, "mine"))
	for range 12 {
		l.every(time.Second, wrong(from, "1008"))
	}
	l.drop()
	l.every(time.Second, event(KindInvalidAccountID, ServicePJSIP, from, "1008", "key"))
	s := success(from, "mine")
	s.Session = hasher.Session([]byte("key"))
	l.every(10*time.Millisecond, s)
	l.every(time.Second, success(from, "1008"))
	if l.count(ActionAlert, RuleCompromised) == 0 {
		t.Errorf("a crack after 12 guesses is not told: %v", l.told())
	}
}
