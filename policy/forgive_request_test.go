package policy

import (
	"testing"
	"time"
)

// A success forgives the failure of its own request, not all failures of the account that the
// request named first.
func TestSuccessForgivesOneRequestOnly(t *testing.T) {
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
