package policy

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"
)

// sharing is n accounts that log in over TCP from one address.
func sharing(source string, n int) []Observation {
	out := make([]Observation, n)
	for i := range out {
		out[i] = overStream(success(source, fmt.Sprint("user", i)))
	}
	return out
}

// names are the texts of labels.
func names(ls []Label) string {
	var out []string
	for i := range ls {
		out = append(out, string(ls[i].Bytes()))
	}
	return strings.Join(out, " ")
}

// Four strangers who guess through a proxy do not get its users cut off. It is told, and who logs
// in there.
func TestSharedSourceIsToldAndNotBanned(t *testing.T) {
	l := newLab(t)
	l.feed(sharing(office, 8)...)
	n := 0
	for ; n < 9 && len(l.got) == 0; n++ {
		l.every(time.Second, overStream(guesses(9, office)[n]))
	}

	v := l.alerted(RuleSharedGuessing)
	if n != 4 || v.Owns != 8 || v.Attempts != 4 || len(v.Evidence) != 4 ||
		v.Prefix != netip.MustParsePrefix(office+"/32") {
		t.Errorf("told at attempt %d: %s, %d accounts, %d attempts, %d shown", n, brief(v), v.Owns,
			v.Attempts, len(v.Evidence))
	}
	if got := names(v.Users); got != "user0 user1 user2 user3 user4 user5 user6 user7" {
		t.Errorf("users: %s", got)
	}

	// However many more come.
	l.every(time.Second, all(guesses(500, office), overStream)...)
	l.noBan()
	if s := l.source(office); s.proven != 0 || s.slowProven != 0 {
		t.Errorf("held against it: %v, %v", s.proven, s.slowProven)
	}
}

// Traps, and passwords for the accounts of others, are no other matter.
func TestNothingBansASharedSource(t *testing.T) {
	injected := overStream(guesses(1, office)[0])
	injected.Injected = true
	for name, os := range map[string][]Observation{
		"canary":    repeat(5, overStream(event(KindInvalidAccountID, ServicePJSIP, office, "trap", "t"))),
		"injection": repeat(5, injected),
		"passwords": all(repeat(200, wrong(office, "1008")), overStream),
		"forged":    guesses(200, office),
		"manager":   repeat(200, event(KindInvalidPassword, ServiceAMI, office, "root", "s")),
		"a crack": append(all(repeat(30, wrong(office, "1008")), overStream),
			overStream(success(office, "1008"))),
		"unanswered": all(challengedAbout(200, office), overStream),
	} {
		t.Run(name, func(t *testing.T) {
			l := newLab(t, func(o *Options) { o.Canaries = []string{"trap"} })
			l.feed(sharing(office, 5)...)
			l.wait(2 * time.Minute) // in the minute after a reboot phones may fail often
			l.every(100*time.Millisecond, os...)
			l.noBan()
			if name == "a crack" && l.count(ActionAlert, RuleCompromised) != 1 {
				t.Errorf("not told: %v", l.told())
			}
		})
	}
}

// challengedAbout is n challenges about n accounts that nobody answers.
func challengedAbout(n int, source string) []Observation {
	out := make([]Observation, n)
	for i := range out {
		out[i] = event(KindChallengeSent, ServicePJSIP, source, fmt.Sprint("known", i), fmt.Sprint(i))
	}
	return out
}

// What does not make a source a shared one.
func TestNotShared(t *testing.T) {
	from := func(n int, change func(*Observation)) []Observation {
		os := sharing(office, n)
		for i := range os {
			change(&os[i])
		}
		return os
	}

	for name, os := range map[string][]Observation{
		"four accounts":        sharing(office, 4),
		"one account, often":   append(sharing(office, 1), repeat(50, sharing(office, 1)[0])...),
		"over UDP":             from(20, func(o *Observation) { o.Stream = false }),
		"over TCP by chan_sip": from(20, func(o *Observation) { o.Service = ServiceSIP }),
		"without a password":   from(20, func(o *Observation) { o.Password = false }),
		"managers":             from(20, func(o *Observation) { o.Service = ServiceAMI }),
		"a fifth one found out": slices.Concat(sharing(office, 4),
			all(repeat(40, wrong(office, "user4")), overStream), sharing(office, 5)[4:]),
	} {
		t.Run(name, func(t *testing.T) {
			l := newLab(t)
			l.feed(os...)
			l.drop()
			l.feed(all(guesses(9, office), overStream)...)
			if !l.isBanned(office) {
				t.Errorf("not banned: %v", l.told())
			}
		})
	}
}

// A source is shared for as long as five accounts logged in within ProofWindow.
func TestSharedForTheProofWindow(t *testing.T) {
	l := newLab(t)
	l.feed(sharing(office, 4)...)
	l.wait(20 * time.Hour)
	l.feed(overStream(success(office, "user4")))
	if !l.e.shared(hostKey(netip.MustParseAddr(office))) {
		t.Error("five accounts within 20 hours do not share it")
	}

	l.wait(5 * time.Hour)
	if l.e.shared(hostKey(netip.MustParseAddr(office))) {
		t.Error("still shared when four of five are 25 hours old")
	}
	l.feed(all(guesses(4, office), overStream)...)
	if v := l.banned(); v.Scope != ScopeStream {
		t.Errorf("got %s", brief(v))
	}
}

// An account makes three addresses shared in a day. A /64 is one of them.
func TestAccountSharesFewSites(t *testing.T) {
	l := newLab(t)
	for i := range 6 {
		l.feed(sharing(fmt.Sprintf("198.51.100.%d", i+1), 5)...)
	}
	shared := 0
	for x := range l.e.SharedSources() {
		shared++
		if x.Accounts != 5 || len(x.Users) != 5 {
			t.Errorf("%s: %d accounts, %s", x.Prefix, x.Accounts, names(x.Users))
		}
	}
	if shared != sitesADay {
		t.Errorf("five accounts share %d addresses", shared)
	}

	// The next day they may share others.
	l.wait(25 * time.Hour)
	l.feed(sharing("198.51.100.6", 5)...)
	if !l.e.shared(hostKey(netip.MustParseAddr("198.51.100.6"))) {
		t.Error("not shared a day later")
	}
}

func TestSharedSixtyFour(t *testing.T) {
	l := newLab(t)
	for i := range 5 {
		l.feed(overStream(success(fmt.Sprintf("2001:db8:1:2::%x", i+1), fmt.Sprint("user", i))))
	}
	for i := range 60 {
		l.every(time.Second, overStream(guesses(60, fmt.Sprintf("2001:db8:1:2::bad:%x", i))[i]))
	}
	l.noBan()
	v := l.got[0]
	if v.Rule != RuleSharedGuessing || v.Prefix != netip.MustParsePrefix("2001:db8:1:2::/64") || v.Owns != 5 {
		t.Errorf("got %s, %d accounts", brief(v), v.Owns)
	}
	x := l.e.Explain(netip.MustParseAddr("2001:db8:1:2::bad:1"))
	if x.Shared != 5 || names(x.Users) != "user0 user1 user2 user3 user4" || x.MoreUnknown != 0 {
		t.Errorf("explained as shared by %d: %s, %d more", x.Shared, names(x.Users), x.MoreUnknown)
	}
}

// Accounts that log in there are let pass as a stale phone's. The fourth that fails within an hour
// is told, with the others, unless they succeeded since.
func TestFailingAccountsOfASharedSource(t *testing.T) {
	fails := func(l *lab, n int) {
		for i := range n {
			l.every(time.Minute, overStream(wrong(office, fmt.Sprint("user", i))))
		}
	}

	l := newLab(t)
	l.feed(sharing(office, 10)...)
	fails(l, 3)
	l.quiet()
	fails(l, 4)
	v := l.alerted(RuleSharedGuessing)
	if v.Since < start {
		t.Errorf("it began at %d, before all events", v.Since)
	}
	if got := names(v.Failing); len(v.Failing) != 4 || !strings.Contains(got, "user3") {
		t.Errorf("failing: %s", got)
	}

	l = newLab(t)
	l.feed(sharing(office, 10)...)
	for i := range 8 {
		l.every(time.Minute, overStream(wrong(office, fmt.Sprint("user", i))),
			overStream(success(office, fmt.Sprint("user", i))))
	}
	l.quiet()

	// The switch of the rule stops this alert, too.
	l = newLab(t, off(RuleSharedGuessing, RuleMisconfigured))
	l.feed(sharing(office, 10)...)
	fails(l, 8)
	l.quiet()

	// What failed before a crash counts after it, though the successes were saved long before.
	l = newLab(t)
	var log saved
	l.feed(sharing(office, 10)...)
	log.all(l.e)
	fails(l, 3)
	log.all(l.e)
	l.killed(&log, l.e.opt)
	l.every(time.Minute, overStream(wrong(office, "user7")))
	l.alerted(RuleSharedGuessing)
}

// The operator may have shared sources banned: from the transport of the attack, for ten minutes in
// an hour, and never where twenty accounts logged in within the hour.
func TestBanSharedSources(t *testing.T) {
	ban := func(o *Options) { o.BanSharedSources = true }
	l := newLab(t, ban)
	l.feed(sharing(office, 8)...)
	for range 60 {
		l.every(20*time.Second, all(guesses(9, office), overStream)...)
	}
	for _, v := range l.got {
		if v.Action == ActionBan && (v.Scope != ScopeStream || v.Duration != 10*time.Minute ||
			v.Rule != RuleSharedGuessing || len(v.Evidence) == 0) {
			t.Errorf("got %s", brief(v))
		}
	}
	if n := l.count(ActionBan, RuleSharedGuessing); n != 3 {
		t.Errorf("%d bans in three hours", n)
	}

	crowded := newLab(t, ban)
	crowded.feed(sharing(office, 20)...)
	crowded.every(time.Second, all(guesses(100, office), overStream)...)
	crowded.noBan()
}

// A proved source is banned from the transport of the attack: ten minutes, then longer, four hours
// at most. The alert names who logs in there.
func TestProvedSourceIsBannedFromTheTransport(t *testing.T) {
	l := newLab(t)
	var lasted []time.Duration
	for i := range 6 {
		l.feed(success(office, "1001"), success(office, "1002"))
		for j := range 9 {
			name := fmt.Sprint("guess", i, "-", j)
			l.feed(overStream(event(KindInvalidAccountID, ServicePJSIP, office, name, name)))
		}
		l.wait(5 * time.Hour)
	}
	for _, v := range l.got {
		switch {
		case v.Action == ActionBan && v.Scope == ScopeStream:
			lasted = append(lasted, v.Duration)
		case v.Action == ActionAlert && v.Rule == RuleProvedGuessing && names(v.Users) != "1002 1001" &&
			names(v.Users) != "1001 1002":
			t.Errorf("users: %s", names(v.Users))
		case v.Action == ActionBan:
			t.Errorf("got %s", brief(v))
		}
	}
	want := "[10m0s 40m0s 2h40m0s 4h0m0s 4h0m0s 4h0m0s]"
	if fmt.Sprint(lasted) != want {
		t.Errorf("bans lasted %v, want %s", lasted, want)
	}
}

// What was let pass first and counted later is shown with the rest.
func TestEvidenceShowsWhatWasLetPass(t *testing.T) {
	l := newLab(t)
	l.feed(success(office, "1007"))
	l.feed(all(guesses(4, office), overStream)...)
	v := l.banned()
	var got []string
	for _, ev := range v.Evidence {
		got = append(got, string(ev.Account.Bytes()))
	}
	if fmt.Sprint(got) != "[guess0 guess1 guess2 guess3]" || v.Attempts != 4 {
		t.Errorf("%d attempts, shown %v", v.Attempts, got)
	}
}

// A restart forgets neither who shares a source nor how many an account shares.
func TestSharedSourcesAreSaved(t *testing.T) {
	l := newLab(t)
	l.feed(sharing(office, 6)...)
	l.e = restarted(t, l.e)
	l.feed(all(guesses(9, office), overStream)...)
	l.noBan()
	for i := range 6 {
		l.feed(sharing(fmt.Sprintf("203.0.113.%d", i+1), 5)...)
	}
	n := 0
	for range l.e.SharedSources() {
		n++
	}
	if n != sitesADay {
		t.Errorf("%d shared sources", n)
	}
}

// A guesser who stays below a user's typos between the registrations of the phone whose name it
// takes is told. A user who errs now and then is not.
func TestGuessingBetweenRegistrations(t *testing.T) {
	l := newLab(t)
	l.feed(registered(phone))
	for range 9 {
		l.every(35*time.Second, repeat(3, wrong(phone+":31337", "1007"))...)
		l.every(time.Second, registered(phone))
	}
	if v := l.alerted(RuleSpoofSuspected); v.Attempts != 9 {
		t.Errorf("told at attempt %d", v.Attempts)
	}

	l = newLab(t)
	for range 30 {
		l.every(time.Minute, wrong(phone, "1007"), wrong(phone, "1007"))
		l.every(time.Hour, repeat(4, registered(phone))...)
	}
	l.quiet()
}

// A friend with an account, who forges a guesser's address, does not get it a smaller ban.
func TestFriendsSuccessMakesNoSmallerBan(t *testing.T) {
	l := newLab(t)
	l.feed(all(guesses(2, attacker), overStream)...)
	l.feed(success(attacker, "1005"))
	l.every(time.Millisecond, all(guesses(9, attacker)[2:], overStream)...)
	if v := l.banned(); v.Scope != ScopeAll {
		t.Errorf("got %s", brief(v))
	}
}

// Under a ban of scope stream, what comes over UDP is judged as ever: the ban does not drop it.
func TestStreamBanDoesNotHideUDP(t *testing.T) {
	l := newLab(t)
	l.feed(success(office, "1001"))
	l.feed(all(guesses(9, office), overStream)...)
	if v := l.banned(); v.Scope != ScopeStream {
		t.Fatalf("got %s", brief(v))
	}

	l.drop()
	l.wait(time.Minute)
	l.feed(guesses(20, office)...)
	if l.e.stats.Shielded == 0 {
		t.Error("guesses over UDP were not looked at")
	}
}

// A restart within the hour does not let a shared source be banned again.
func TestBanOfASharedSourceIsRemembered(t *testing.T) {
	l := newLab(t, func(o *Options) { o.BanSharedSources = true })
	l.feed(sharing(office, 8)...)
	var log saved
	log.all(l.e)
	l.every(time.Second, all(guesses(9, office), overStream)...)
	if l.count(ActionBan, RuleSharedGuessing) != 1 {
		t.Fatalf("told: %v", l.told())
	}

	// What Changes gives after the ban is enough to know of it.
	log.all(l.e)
	l.wait(11 * time.Minute)
	l.killed(&log, l.e.opt)
	l.drop()
	l.every(time.Second, all(guesses(9, office), overStream)...)
	l.noBan()
}
