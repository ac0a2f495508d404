package policy

import (
	"fmt"
	"net/netip"
	"testing"
	"time"
)

// TestForgedOffendersBanNoPrefixFromEverything: bans on forged packets are no reason to ban the
// neighbours from everything when one host of the prefix earns a ban of scope all.
func TestForgedOffendersBanNoPrefixFromEverything(t *testing.T) {
	for name, host := range map[string]func(i int) string{
		"/24": func(i int) string { return fmt.Sprintf("203.0.113.%d", i+1) },
		"/64": host6,
	} {
		t.Run(name, func(t *testing.T) {
			l := newLab(t)
			for i := range 3 {
				l.feed(guesses(4, host(i))...)
				l.wait(10 * time.Minute)
			}
			l.wait(24 * time.Hour)
			l.drop()
			l.scan(host(9))
			for _, v := range l.got {
				if v.Scope == ScopeAll && !v.Prefix.IsSingleIP() {
					t.Errorf("got %s, %v", brief(v), v.Chooser)
				}
			}
		})
	}
}

// TestForgedFindKeepsAnOwnersBanShort: a spoofer with an account cannot keep a phone out for hours that
// was off over the weekend, by failures and a success in its name.
func TestForgedFindKeepsAnOwnersBanShort(t *testing.T) {
	l := newLab(t, off(RuleLongMemory))
	l.feed(registered(phone))
	l.wait(48 * time.Hour)
	for range 3 {
		l.feed(guesses(9, phone)...)
		l.wait(72 * time.Hour)
	}
	l.drop()
	l.feed(repeat(5, wrong(phone+":40000", "own"))...)
	l.feed(success(phone+":40000", "own"))
	if n := l.count(ActionBan, RuleCompromised); n != 1 {
		t.Fatalf("%d bans: %v", n, l.told())
	}
	for _, v := range l.got {
		if v.Action == ActionBan && v.Duration > 10*time.Minute {
			t.Errorf("got %s", brief(v))
		}
	}
}

// TestFindOnAnybodysFailuresIsBrief: failures that anybody raised at chan_sip, and the genuine success of
// a phone at PJSIP, which is none the wiser.
func TestFindOnAnybodysFailuresIsBrief(t *testing.T) {
	l := newLab(t)
	for range 6 {
		l.feed(repeat(6, chanSIPWrong(phone, "1007"))...)
		l.feed(registered(phone))
		l.wait(5 * time.Hour)
	}
	for _, v := range l.got {
		if v.Action == ActionBan && (v.Duration > 10*time.Minute || v.Strike != 0) {
			t.Errorf("got %s, %v", brief(v), v.Chooser)
		}
	}
}

// TestFindNamesTheWeakestEvidence: the failures may be forged, so the ban rests on a spoofer's word.
func TestFindNamesTheWeakestEvidence(t *testing.T) {
	l := newLab(t)
	l.feed(repeat(5, wrong(attacker, "1001"))...)
	l.feed(overStream(success(attacker, "1001")))
	for _, v := range l.got {
		if v.Action == ActionBan && v.Chooser != ChooserSpoofer {
			t.Errorf("got %s, %v", brief(v), v.Chooser)
		}
	}
	if l.count(ActionBan, RuleCompromised) != 1 {
		t.Errorf("got %v", l.told())
	}
}

// TestChanSIPOverTCPNeedsAPassword: without one, anybody could prove any address.
func TestChanSIPOverTCPNeedsAPassword(t *testing.T) {
	l := newLab(t)
	o := event(KindSuccessfulAuth, ServiceSIP, attacker, "guest", "g")
	o.Stream = true
	l.feed(event(KindChallengeSent, ServiceSIP, attacker, "guest", "g"), o)
	if l.proved(attacker) {
		t.Error("a success of chan_sip without a password proved its source")
	}
}

// TestForgivenessLeavesTheShare: what a success takes back does not make the rest a spoofer's.
func TestForgivenessLeavesTheShare(t *testing.T) {
	l := newLab(t, off(RuleMisconfigured))
	l.feed(repeat(3, chanSIPWrong(attacker, "1001"))...)
	l.feed(repeat(4, wrong(attacker, "1002"))...)
	l.feed(success(attacker, "1002"))
	s := l.source(attacker)
	if got := spoofedPart(s.forgeable, s.chosen); got > 0.01 {
		t.Errorf("fast: %v of %v is a spoofer's, share %d", got, s.forgeable, s.chosen)
	}
	if got := spoofedPart(s.slowForgeable, s.slowChosen); got > 0.01 {
		t.Errorf("slow: %v of %v is a spoofer's, share %d", got, s.slowForgeable, s.slowChosen)
	}
}

// TestSettlingLeavesTheShare: the ban of a neighbour does not make what anybody did a spoofer's.
func TestSettlingLeavesTheShare(t *testing.T) {
	l := newLab(t)
	for i := range 8 {
		l.feed(chanSIPWrong(fmt.Sprintf("203.0.113.%d", i+1), fmt.Sprint(i)))
	}
	l.feed(guesses(4, "203.0.113.77")...)
	n, _ := l.e.touchNetwork(hostKey(hostAddr("203.0.113.77")).masked(v4Bits + 24))
	if got := spoofedPart(n.forgeable, n.chosen); got > 0.05 {
		t.Errorf("%v of %v is a spoofer's", got, n.forgeable)
	}
}

// TestForgedSuccessForgivesNoProvenPrefix: a success that could have been forged lifts the ban of a
// prefix that could have been forged, and leaves what is proven.
func TestForgedSuccessForgivesNoProvenPrefix(t *testing.T) {
	l := newLab(t)
	// Three hosts over TCP, a little each; forged packets make it a ban of scope sip.
	for i := range 2 {
		l.feed(overStream(wrong(host6(i), "1001")), overStream(wrong(host6(i), "1001")))
	}
	for i := range 8 {
		l.feed(wrong(host6(10+i), "1002"))
	}
	nk := hostKey(hostAddr(host6(0))).masked(netBits)
	if l.e.banScope(nk) != ScopeSIP {
		t.Fatalf("no ban: %v", l.told())
	}
	r := l.e.networks.Get(nk)
	before := l.e.networks.Val(r).proven
	l.feed(registered(host6(99)))
	if l.e.banScope(nk) != ScopeNone {
		t.Fatalf("not lifted: %v", l.told())
	}
	if after := l.e.networks.Val(r).proven; after < before {
		t.Errorf("the proven score was %v, is %v", before, after)
	}
}

// TestBriefBansLastTenMinutes: whatever ban_growth is, and with the budget switched off.
func TestBriefBansLastTenMinutes(t *testing.T) {
	l := newLab(t, off(RuleForgeableBudget), func(o *Options) { o.BanGrowth = 1000 })
	l.feed(repeat(7, chanSIPWrong(attacker, "1001"))...)
	if v := l.banned(); v.Duration != 10*time.Minute {
		t.Errorf("got %s", brief(v))
	}
}

// TestGuessingBehindNeverBannedNames: the names of addresses that are never banned, or are banned
// already, hide no guesser at chan_sip, who chooses them.
func TestGuessingBehindNeverBannedNames(t *testing.T) {
	for name, victim := range map[string]string{
		"allowed": "203.0.113.99", "loopback": "127.0.0.1", "banned": attacker,
	} {
		t.Run(name, func(t *testing.T) {
			l := newLab(t)
			l.take(l.e.Protect(l.now, NewProtected([]ProtectedEntry{{hostPrefix("203.0.113.99"), "allow"}}, nil)))
			l.every(100*time.Millisecond, repeat(1200, chanSIPWrong(victim, "1001"))...)
			if n := l.count(ActionAlert, RuleAccountAttacked); n != 1 {
				t.Errorf("told %d times: %v", n, l.told())
			}
		})
	}

	// A stale phone at such an address is no attack.
	l := newLab(t)
	l.take(l.e.Protect(l.now, NewProtected([]ProtectedEntry{{hostPrefix(office), "allow"}}, nil)))
	l.every(15*time.Second, repeat(1000, wrong(office, "1001"))...)
	l.quiet()
}

// TestGuessingBehindManyNeverBannedNames: a little each, in the names of many.
func TestGuessingBehindManyNeverBannedNames(t *testing.T) {
	l := newLab(t)
	l.take(l.e.Protect(l.now, NewProtected([]ProtectedEntry{{netip.MustParsePrefix("198.51.100.0/24"), "allow"}}, nil)))
	for i := range 20 {
		l.feed(wrong(fmt.Sprintf("198.51.100.%d", i+1), "1001"))
	}
	if v := l.alerted(RuleAccountAttacked); v.Sources != accountAttackers {
		t.Errorf("got %s, %d sources", brief(v), v.Sources)
	}
}

// TestSprayingBehindProvedNames: a few accounts in the name of each of many phones that work.
func TestSprayingBehindProvedNames(t *testing.T) {
	l := newLab(t)
	name := func(i int) string { return fmt.Sprintf("198.51.%d.7", i) }
	for i := range 80 {
		l.feed(success(name(i), fmt.Sprint(2000+i)))
	}
	for i := range 80 {
		for j := range 3 {
			l.feed(wrong(name(i), fmt.Sprint(1000+3*i+j)))
		}
	}
	l.noBan()
	if n := l.count(ActionAlert, RuleServerAttacked); n != 1 {
		t.Errorf("told %d times: %v", n, l.told())
	}
}

// TestGuessingInACallOfAnother: the dialog is opened as a call of somebody else, ever another, and
// answered as 1001. The guesses count on 1001, and the one that is right is told.
func TestGuessingInACallOfAnother(t *testing.T) {
	l := newLab(t)
	reg := success(office, "1001")
	reg.Service = ServiceSIP
	l.feed(event(KindChallengeSent, ServiceSIP, office, "1001", "reg"), reg)
	answer := func(i int, kind Kind) {
		source, session := fmt.Sprintf("203.0.113.%d", i+1), fmt.Sprint("call", i)
		call := event(KindChallengeSent, ServiceSIP, source, fmt.Sprint("nobody", i), session)
		call.Call = true
		o := event(kind, ServiceSIP, source, "1001", session)
		o.Password = kind == KindSuccessfulAuth
		l.feed(call, o)
	}
	for i := range 20 {
		answer(i, KindInvalidPassword)
	}
	answer(30, KindSuccessfulAuth)
	if l.count(ActionAlert, RuleAccountAttacked) == 0 ||
		l.count(ActionAlert, RuleSuspectLogin) == 0 {
		t.Errorf("got %v", l.told())
	}
}

func hostPrefix(s string) netip.Prefix { return netip.PrefixFrom(hostAddr(s), hostAddr(s).BitLen()) }

// TestForgedNeighbourBansNoPrefixFromEverything: two forged packets do not make a single stale phone over
// TLS two suspects, whose /64 is banned from everything.
func TestForgedNeighbourBansNoPrefixFromEverything(t *testing.T) {
	l := newLab(t)
	for i := range 20 {
		if i == 3 || i == 7 {
			l.feed(forged(host6(7)))
		}
		l.feed(overStream(wrong(host6(0), "1001")))
		l.wait(15 * time.Minute)
	}
	for _, v := range l.got {
		if v.Scope == ScopeAll && !v.Prefix.IsSingleIP() {
			t.Errorf("got %s", brief(v))
		}
	}
}
