package policy

import (
	"net/netip"
	"testing"
	"time"
)

func TestScannerIsBannedAtItsFourthAttempt(t *testing.T) {
	l := newLab(t)
	for i := range 4 {
		l.quiet()
		call := string(rune('a' + i))
		l.feed(event(KindInvalidAccountID, ServicePJSIP, "203.0.113.5", call, call))
		if i < 3 {
			l.feed(event(KindChallengeSent, ServicePJSIP, "203.0.113.5", "<unknown>", call))
		}
	}
	v := l.banned()
	if v.Attempts != 4 || v.Scope != ScopeSIP ||
		v.Prefix != netip.MustParsePrefix("203.0.113.5/32") ||
		v.Rule != RuleScore || v.Duration != 10*time.Minute || v.Strike != 1 ||
		len(v.Evidence) != 4 {
		t.Errorf("got %s", brief(v))
	}
}
