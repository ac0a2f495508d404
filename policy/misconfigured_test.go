package policy

import (
	"fmt"
	"testing"
	"time"
)

// stale is what a phone with an old password sends: over a stream, so that no proof shields it.
func stale(account string) Observation { return overStream(wrong(office, account)) }

// How many attempts a minute on one account, over five minutes, get an office banned, or do not.
func TestMisconfiguredEndpointHasARate(t *testing.T) {
	owner := func(l *lab) { l.feed(success(office, "1007")) }
	trusted := func(l *lab) { l.feed(success(office, "1007"), success(office, "1001")) }
	own := func(l *lab) { l.feed(success(office, "1008")) }
	busy := func(l *lab) { // a reboot: many succeed in the same minute
		for i := range 5 {
			l.feed(success(office, fmt.Sprint("100", i)))
		}
	}
	for _, tt := range []struct {
		name      string
		prepare   func(l *lab)
		perMinute int
		minutes   int
		o         Observation
		banned    bool
	}{
		{"another account, once a minute", owner, 1, 30, stale("1008"), false},
		{"another account, little trust", owner, 4, 5, stale("1008"), false},
		{"another account, little trust, faster", owner, 5, 5, stale("1008"), true},
		{"another account, two phones work", trusted, 20, 5, stale("1008"), false},
		{"another account, two phones work, faster", trusted, 21, 5, stale("1008"), true},
		{
			"accounts that the PBX does not name, two phones work", trusted, 4, 5, stale(unknown),
			false,
		},
		{"accounts that the PBX does not name, faster", trusted, 5, 5, stale(unknown), true},
		{"its own account", own, 20, 5, stale("1008"), false},
		{"its own account, faster", own, 21, 5, stale("1008"), true},
		{"a reboot minute", busy, 60, 1, stale("1008"), false},
		{"more in a reboot minute", busy, 61, 1, stale("1008"), true},
		{"the minute after it", busy, 21, 2, stale("1008"), true},
		{
			"one phone that registers five times is no reboot",
			func(l *lab) { l.feed(repeat(5, success(office, "1007"))...); trusted(l) }, 21, 1,
			stale("1008"), true,
		},
		{"nobody works there", func(*lab) {}, 1, 15, stale("1008"), true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			l := newLab(
				t,
				off(RuleLongMemory, RuleEnumeration),
				func(o *Options) { o.HalfLife, o.Threshold = 24*time.Hour, 2 },
			)
			tt.prepare(l)
			l.drop()
			for range tt.minutes {
				l.feed(repeat(tt.perMinute, tt.o)...)
				l.wait(time.Minute)
			}
			got := l.isBanned(office)
			if tt.perMinute > 4 && tt.banned { // one too many: what was let pass counts now
				got = got || l.source(office).proven > 0
			}
			if got != tt.banned {
				t.Errorf("held against it: got %v, want %v; %v", got, tt.banned, l.told())
			}
		})
	}
}

// What was let pass on an account that is not the office's counts once it turns out to be an
// attack.
func TestWhatWasLetPassCountsLater(t *testing.T) {
	l := newLab(t)
	l.feed(success(office, "1007"))
	l.feed(repeat(4, stale("1008"))...)
	if s := l.source(office); s.proven != 0 {
		t.Errorf("score %v, want 0", s.proven)
	}
	l.feed(stale("1008"))
	if s := l.source(office); s.proven < 2.49 {
		t.Errorf("score %v, want 2.5", s.proven)
	}
	l.feed(repeat(2, stale("1008"))...)
	if v := l.banned(); v.Scope != ScopeStream {
		t.Errorf("got %s", brief(v))
	}
}

// A second account that fails is no misconfigured endpoint any more: an owner who guesses is banned
// like a stranger, and what was let pass counts.
func TestOwnerWhoSpraysIsBanned(t *testing.T) {
	l := newLab(t)
	l.feed(success(office, "1007"))
	n := l.attemptsUntil(
		10,
		time.Second,
		func(i int) Observation { return stale(fmt.Sprint("20", i)) },
	)
	if n != 4 || l.count(ActionAlert, RuleMisconfigured) != 0 {
		t.Errorf("banned at attempt %d, want 4: %v", n, l.told())
	}
}

// All passwords of an office were changed: its twenty phones fail on accounts that succeeded there
// before, and get the new one after an hour. Nobody is banned.
func TestOfficeWithNewPasswordsRecovers(t *testing.T) {
	l := newLab(t)
	account := func(i int) string { return fmt.Sprint(1000 + i) }
	for i := range 20 {
		l.feed(success(office, account(i)))
	}
	l.wait(12 * time.Hour)
	for range 60 {
		for i := range 20 {
			l.every(3*time.Second, stale(account(i)))
		}
	}
	for i := range 20 {
		l.feed(success(office, account(i)))
	}
	l.noBan()
	begun := 0
	for _, v := range l.got {
		if v.Rule == RuleMisconfigured && v.Phase == PhaseBegin {
			begun++
		}
	}
	if begun != 20 || len(l.over) != 20 {
		t.Errorf("%d conditions began, %d ended, want one for each account", begun, len(l.over))
	}
}

// What is forged in an office's name does not take away what its stale phone is let pass.
func TestForgedFailuresCostAnOfficeNothing(t *testing.T) {
	l := newLab(t)
	l.feed(success(office, "1007"))
	l.feed(guesses(50, office)...)
	for range 10 {
		l.feed(guesses(5, office+":31337")...)
		l.every(15*time.Second, stale("1008"))
	}
	l.noBan()
	if s := l.source(office); s.proven != 0 {
		t.Errorf("score %v", s.proven)
	}
}

// One wrong password over TCP on an account that is new at the office, with forged packets on that
// account before it.
func TestForgedAttemptsAreNoArrearsOfAProvenOne(t *testing.T) {
	l := newLab(t)
	l.feed(success(office, "1007"), success(office, "1001"))
	l.feed(repeat(20, wrong(office+":31337", "1008"))...)
	l.feed(overStream(wrong(office, "1008")))
	l.noBan()
	if s := l.source(office); s.proven > 0.5 {
		t.Errorf("score %v, want 0.5 at most", s.proven)
	}
}

// A manager is no phone: who may log in to the AMI and guesses another manager's secret is banned
// like a stranger.
func TestManagerIsNoMisconfiguredEndpoint(t *testing.T) {
	l := newLab(t)
	l.feed(event(KindSuccessfulAuth, ServiceAMI, office, "admin", "s"))
	n := l.attemptsUntil(
		30,
		20*time.Second,
		func(int) Observation { return event(KindInvalidPassword, ServiceAMI, office, "root", "s") },
	)
	if v := l.banned(); n != 7 || v.Scope != ScopeStream {
		t.Errorf("attempt %d: %s", n, brief(v))
	}
}

// A device that never succeeded where nobody does is no good source, however slow it is.
func TestLoneDeviceIsNoMisconfiguredEndpoint(t *testing.T) {
	l := newLab(t)
	l.every(time.Minute, repeat(30, wrong(attacker, "1007"))...)
	if l.count(ActionAlert, RuleMisconfigured) != 0 || l.count(ActionBan, RuleScore) == 0 {
		t.Errorf("got %v", l.told())
	}
}

// Trust lets more accounts of an office fail: one more for each four of it, never all; it fades,
// and a neighbour has none.
func TestTrustWidensWhatIsLetPass(t *testing.T) {
	for _, tt := range []struct {
		name     string
		accounts int // that succeed, each once a day
		days     int
		wait     time.Duration
		failing  int
		banned   bool
	}{
		{"one phone, one stale", 1, 1, 0, 1, false},
		{"one phone, two stale", 1, 1, 0, 2, true},
		{"five phones, two stale", 5, 1, 0, 2, false},
		{"five phones, three stale", 5, 1, 0, 3, true},
		{"five phones for two days, three stale", 5, 2, 0, 3, false},
		{"one phone for a month, two stale", 1, 30, 0, 2, true},
		{"two phones for a month, two stale", 2, 30, 0, 2, false},
		{"five phones, two stale, weeks later", 5, 1, 15 * 24 * time.Hour, 2, true},
		{"a hundred phones for a week, nine stale", 100, 7, 0, 9, false},
		{"a hundred phones for a week, ten stale", 100, 7, 0, 10, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			l := newLab(t, off(RuleProvedGuessing))
			for day := range tt.days {
				if day > 0 {
					l.wait(24 * time.Hour)
				}
				for i := range tt.accounts {
					l.feed(success(office, fmt.Sprint(1000+i)))
				}
			}
			l.wait(tt.wait)
			for range 10 {
				for i := range tt.failing {
					l.every(time.Second, stale(fmt.Sprint(2000+i)))
				}
				l.wait(20 * time.Second)
			}
			if got := l.isBanned(office); got != tt.banned {
				t.Errorf("banned: got %v; trust %v; %v", got, l.source(office).trust, l.told())
			}
		})
	}
}

// Trust grows by one for each account and half day, up to 32, and halves in a week; an address has
// it, not a prefix.
func TestTrustGrowsAndFades(t *testing.T) {
	l := newLab(t)
	near := func(want float64) {
		t.Helper()
		if got := l.e.Explain(hostAddr(office)).Trust; got < want-0.05 || got > want {
			t.Errorf("trust: got %v, want %v", got, want)
		}
	}
	l.feed(repeat(100, success(office, "1007"))...)
	near(1)
	l.feed(success(office, "1001"))
	near(2)
	l.wait(7 * 24 * time.Hour)
	near(1)
	l.feed(success(office, "1001"))
	near(2)
	for i := range 100 {
		l.feed(success(office, fmt.Sprint(i)))
	}
	near(32)
	if x := l.e.Explain(hostAddr("198.51.100.45")); x.Trust != 0 || x.Known {
		t.Errorf("a neighbour: trust %v", x.Trust)
	}
	l.wait(8 * 7 * 24 * time.Hour)
	if got := l.e.Explain(hostAddr(office)).Trust; got != 0 {
		t.Errorf("trust after eight weeks: got %v", got)
	}
}
