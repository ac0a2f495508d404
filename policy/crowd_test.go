package policy

import (
	"fmt"
	"testing"
	"time"
)

// lastWeight returns the weight of the latest attempt of a source.
func (l *lab) lastWeight(source string) float32 {
	l.t.Helper()
	x := l.e.Explain(hostAddr(source))
	if len(x.Evidence) == 0 {
		l.t.Fatalf("%s: no evidence", source)
	}
	return x.Evidence[len(x.Evidence)-1].Weight
}

// A stranger's attempt on an account that n others tried weighs 1 + (n-2)/2 times as much, eight
// times at most.
func TestAccountUnderAttack(t *testing.T) {
	for _, gap := range []time.Duration{time.Millisecond, time.Second, time.Minute} {
		for n, want := range map[int]float32{0: 1, 1: 1, 2: 1, 3: 1.5, 4: 2, 5: 2.5} {
			l := newLab(t)
			for i := range n {
				l.every(gap, wrong(fmt.Sprintf("192.%d.0.1", 16+i), "1007"))
			}
			l.every(gap, wrong(attacker, "1007"))
			if got := l.lastWeight(attacker); got != want/2 {
				t.Errorf("gap %v, %d others: weight %v, want %v", gap, n, got, want/2)
			}
		}
	}
	l := newLab(t)
	l.strangers(100, "1007")
	l.feed(wrong(attacker, "1007"))
	if got := l.lastWeight(attacker); got != 4 {
		t.Errorf("100 others: weight %v, want 4", got)
	}
}

// A proven attempt weighs two and a half times as much at most, and only if the strangers are
// proven: those over UDP may be forged.
func TestAccountUnderAttackOverAStream(t *testing.T) {
	l := newLab(t)
	l.strangers(100, "1007")
	l.feed(overStream(wrong(attacker, "1007")))
	if got := l.lastWeight(attacker); got != 0.5 {
		t.Errorf("others over UDP: weight %v, want 0.5", got)
	}
	l = newLab(t)
	l.provenStrangers(100, "1007")
	l.feed(overStream(wrong(attacker, "1007")))
	if got := l.lastWeight(attacker); got != 1.25 {
		t.Errorf("others over TCP: weight %v, want 1.25", got)
	}
}

// A failure that names no account is about none: many of them are no attack on it.
func TestNoAccountIsUnderNobodysAttack(t *testing.T) {
	l := newLab(t)
	l.strangers(100, "")
	l.feed(wrong(attacker, ""))
	if got := l.lastWeight(attacker); got != 0.5 {
		t.Errorf("weight %v, want 0.5", got)
	}
}

// A stale phone is at one address: an owner's attempts on an account that others try are no
// misconfigured endpoint's, and weigh like a stranger's.
func TestOwnersAreStrangersToOtherAccounts(t *testing.T) {
	for n, banned := range map[int]bool{2: false, 5: true} {
		l := newLab(t)
		l.feed(success(office, "1001"))
		l.provenStrangers(n, "1007")
		l.feed(repeat(4, overStream(wrong(office, "1007")))...)
		if got := l.isBanned(office); got != banned {
			t.Errorf("%d others: banned %v; %v", n, got, l.told())
		}
	}
}

// Many owners of accounts who each guess a little on one account are told of, once for the account.
func TestManyOwnersWhoGuessALittleAreTold(t *testing.T) {
	l := newLab(t)
	for i := range 8 {
		owner := fmt.Sprintf("192.%d.0.1", 16+i)
		l.feed(success(owner, fmt.Sprint(i)), wrong(owner, "1007"))
	}
	l.noBan()
	for _, rule := range []Rule{RuleProvedGuessing, RuleAccountAttacked} {
		if n := l.count(ActionAlert, rule); n != 1 {
			t.Errorf("%v: told %d times, want once: %v", rule, n, l.told())
		}
	}
	for _, v := range l.got {
		if string(v.Account.Bytes()) != "1007" {
			t.Errorf("got %s", brief(v))
		}
	}
}

func TestWhoIsNoStrangerOnAnAccountUnderAttack(t *testing.T) {
	for name, play := range map[string]func(l *lab){
		"a phone that was there before": func(l *lab) {
			l.feed(registered(attacker))
			l.wait(25 * time.Hour)
			l.strangers(20, "1007")
		},
		"the attack is a day old":          func(l *lab) { l.strangers(20, "1007"); l.wait(28 * time.Hour) },
		"the attack is on another account": func(l *lab) { l.strangers(20, "1008") },
		"one source tried it often": func(l *lab) {
			l.every(time.Hour, repeat(20, wrong("192.0.2.1", "1007"))...)
		},
		"the attack is on another server": func(l *lab) {
			for i := range 20 {
				o := wrong(fmt.Sprintf("192.%d.0.1", 16+i), "1007")
				o.Server = 9
				l.feed(o)
			}
		},
		"the AMI's users are others": func(l *lab) {
			for i := range 20 {
				l.feed(event(KindInvalidPassword, ServiceAMI, fmt.Sprintf("192.%d.0.1", 16+i), "1007", "c"))
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			l := newLab(t, off(RuleMisconfigured))
			play(l)
			l.feed(wrong(attacker, "1007"))
			if got := l.lastWeight(attacker); got != 0.5 {
				t.Errorf("weight %v, want 0.5", got)
			}
		})
	}
}

// A user who erred and then succeeded is no stranger to the account any more.
func TestUserWhoErredDoesNotMakeAnAttack(t *testing.T) {
	l := newLab(t)
	for i := range 9 {
		source := fmt.Sprintf("192.%d.0.1", 16+i)
		l.every(time.Second, wrong(source, "1007"), registered(source))
	}
	l.feed(wrong(attacker, "1007"))
	if got := l.lastWeight(attacker); got != 0.5 {
		t.Errorf("weight %v, want 0.5", got)
	}
	if n := l.count(ActionAlert, RuleSuspectLogin); n != 0 {
		t.Errorf("got %v", l.told())
	}
}

// The guesses of a botnet on one account are bounded: each host after the third has fewer.
func TestBotnetOnOneAccount(t *testing.T) {
	l := newLab(t)
	admitted := 0
	for i := range 500 {
		source := fmt.Sprintf("192.%d.%d.1", 16+i/250, i%250)
		for range 7 {
			if l.isBanned(source) {
				break
			}
			admitted++
			l.every(time.Second, wrong(source, "1007"))
		}
	}
	if admitted > 560 {
		t.Errorf("500 hosts got %d guesses, want hardly more than one each", admitted)
	}
}

// While thirty strangers tried a server, a stranger's further unknown accounts weigh more, so that
// it gets one try less.
func TestServerUnderAttack(t *testing.T) {
	for _, tt := range []struct {
		crowd  int
		gap    time.Duration
		server uint16
		want   int // the attempt that bans
	}{
		{0, 0, 0, 4},
		{29, 0, 0, 4},
		{30, 0, 0, 3},
		{45, time.Hour, 0, 3},
		{200, 0, 0, 3},
		{200, 24 * time.Hour, 0, 4},
		{200, 0, 1, 4},
	} {
		l := newLab(t)
		l.crowd(tt.crowd)
		l.wait(tt.gap)
		n := l.attemptsUntil(9, time.Millisecond, func(i int) Observation {
			o := guesses(i+1, attacker)[i]
			o.Server = tt.server
			return o
		})
		if n != tt.want {
			t.Errorf(
				"%d strangers, %v before, server %d: banned at attempt %d, want %d",
				tt.crowd,
				tt.gap,
				tt.server,
				n,
				tt.want,
			)
		}
	}
}

// Users who err pay nothing for it: neither with a wrong password, nor with a wrong name, nor over
// a stream, whose strangers may all be forged.
func TestServerUnderAttackSparesUsersWhoErr(t *testing.T) {
	for name, o := range map[string]Observation{
		"a wrong password": wrong(phone, "1007"),
		"a wrong name":     forged(phone),
		"over a stream":    overStream(forged(phone)),
	} {
		alone := newLab(t)
		want := alone.attemptsUntil(9, time.Second, func(int) Observation { o.Session++; return o })
		l := newLab(t)
		l.crowd(500)
		if got := l.attemptsUntil(9, time.Second, func(int) Observation { o.Session++; return o }); got != want {
			t.Errorf("%s: banned at attempt %d, want %d", name, got, want)
		}
	}
}

// provenStrangers lets n sources, each in a /24 of its own, fail on an account over TCP.
func (l *lab) provenStrangers(n int, account string) {
	for i := range n {
		l.feed(overStream(wrong(fmt.Sprintf("192.%d.%d.1", 16+i/250, i%250), account)))
	}
}
