package policy

import (
	"fmt"
	"slices"
	"testing"
	"time"
)

// What a success after failures means: a user's typos, a cracked password, or forged packets in a
// phone's name.
func TestSuccessAfterFailures(t *testing.T) {
	own := success(office, "1007")
	fail := func(n int, account string) []Observation { return repeat(n, wrong(office, account)) }
	stream := func(os []Observation) []Observation { return all(os, overStream) }
	ban := func(scope string) []string {
		return []string{
			"alert 198.51.100.44/32 " + scope + " compromised_account",
			"ban 198.51.100.44/32 " + scope + " compromised_account",
		}
	}
	told := []string{"alert 198.51.100.44/32 sip compromised_account"}
	spray := func(n int) []Observation {
		var out []Observation
		for i := range n {
			out = append(out, wrong(office, fmt.Sprint("200", i)))
		}
		return out
	}
	for _, tt := range []struct {
		name   string
		before [][]Observation
		last   Observation
		want   []string
	}{
		{"a user's typo", [][]Observation{fail(1, "1007")}, own, nil},
		{"a user's four typos", [][]Observation{fail(4, "1007")}, own, nil},
		{"four over TCP", [][]Observation{stream(fail(4, "1007"))}, overStream(own), nil},
		{"five failures: guessed", [][]Observation{fail(5, "1007")}, own, ban("sip")},
		{
			"five over TCP: guessed",
			[][]Observation{stream(fail(5, "1007"))},
			overStream(own),
			ban("all"),
		},
		{
			"four on this account, two on another",
			[][]Observation{fail(2, "1008"), fail(4, "1007")},
			own, nil,
		},
		{"failures on two other accounts", [][]Observation{spray(2)}, own, nil},
		{
			"failures on three other accounts: one was found",
			[][]Observation{spray(3)},
			own,
			ban("sip"),
		},
		{"the same over TCP", [][]Observation{stream(spray(3))}, overStream(own), ban("all")},
		{
			"over TCP, but the success may be forged",
			[][]Observation{stream(spray(3))},
			own,
			ban("sip"),
		},
		{
			"five over TCP, but the success may be forged",
			[][]Observation{stream(fail(5, "1007"))},
			own, ban("sip"),
		},
		{
			"forged ones from another port",
			[][]Observation{all(spray(3), fromPort(31337))},
			own,
			nil,
		},
		{
			"five between two successes, forgeable",
			[][]Observation{{own}, fail(5, "1007")},
			own,
			[]string{"alert 198.51.100.44/32 none spoof_suspected"},
		},
		{"four between two successes", [][]Observation{{own}, fail(4, "1007")}, own, nil},
		{
			"two and two with a success between",
			[][]Observation{{own}, fail(4, "1007"), {own}, fail(4, "1007")},
			own, nil,
		},
		{
			"proven between two successes, as slow as a phone",
			[][]Observation{{own}, stream(fail(20, "1007"))},
			own, nil,
		},
		{
			"faster than any phone",
			[][]Observation{{own}, stream(fail(35, "1007"))},
			overStream(own), ban("stream"),
		},
		{
			"faster than any phone, but the success may be forged",
			[][]Observation{{own}, stream(fail(35, "1007"))},
			own, told,
		},
		{
			"an owner of another account guesses over TCP",
			[][]Observation{{own}, stream(fail(9, "1008"))},
			overStream(success(office, "1008")),
			ban("stream"),
		},
		{
			"the same, but the success may be forged",
			[][]Observation{{own}, stream(fail(9, "1008"))},
			success(office, "1008"), told,
		},
		{
			"a proved source, forgeable failures, a proven success",
			[][]Observation{{own}, fail(9, "1008")},
			overStream(success(office, "1008")), told,
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			// to see what the success decides
			l := newLab(t, off(RuleProvenScore, RuleScore, RuleProvedGuessing))
			// as fast as people type
			l.every(2*time.Second, slices.Concat(tt.before...)...)
			l.noBan()
			l.drop()
			l.every(2*time.Second, tt.last)
			l.wants(tt.want...)
		})
	}
}

// fromPort changes the source's port.
func fromPort(port uint16) func(Observation) Observation {
	return func(o Observation) Observation {
		o.Source = addrPort(o.Source.Addr(), port)
		return o
	}
}

// A find proves nothing, so that it shields nobody.
func TestFoundPasswordProvesNothing(t *testing.T) {
	l := newLab(t)
	l.feed(repeat(5, wrong(attacker, "1007"))...)
	l.feed(registered(attacker))
	x := l.e.Explain(hostAddr(attacker))
	if x.Proved || x.Owns != 0 || !x.Banned || x.Ban.Rule != RuleCompromised {
		t.Errorf("proved %v, owns %d, banned %v by %s", x.Proved, x.Owns, x.Banned, x.Ban.Rule)
	}
	if v := l.got[0]; string(v.Account.Bytes()) != "1007" || v.Attempts != 5 ||
		len(v.Evidence) != 5 {
		t.Errorf("the alert: got %s", brief(v))
	}
}

// Failures in the name of an office that proved itself, on a phone that is new there: told, but
// they ban nobody.
func TestForgedFailuresDoNotBanAProvedOffice(t *testing.T) {
	for _, port := range []string{":31337", ":5060"} {
		l := newLab(t)
		l.feed(success(office, "1007"))
		l.feed(repeat(12, wrong(office+port, "1008"))...)
		l.wait(time.Minute)
		l.feed(success(office, "1008"))
		l.noBan()
		if n := l.count(ActionAlert, RuleCompromised); n != 1 {
			t.Errorf("alerts: got %v, want one compromised_account", l.told())
		}
	}
}

// Whoever owns an account guesses another one as slowly as a stale phone tries, and finds it while
// its owner works elsewhere: told. A stale phone that is mended is not: nobody has its account
// elsewhere, or moved it in since.
func TestOwnersFindIsTold(t *testing.T) {
	for _, tt := range []struct {
		name string
		// when the account worked elsewhere, before the first failure; 0: never
		before time.Duration
		o      Observation
		fails  int
		want   int
	}{
		{"over TCP", time.Hour, stale("1008"), 12, 1},
		{"over UDP", time.Hour, wrong(office, "1008"), 12, 1},
		{"a user's four typos", time.Hour, stale("1008"), 4, 0},
		{"a stale phone that moved in", 3 * time.Hour, stale("1008"), 12, 0},
		{"a stale phone, mended", 0, stale("1008"), 12, 0},
	} {
		l := newLab(t)
		l.feed(success(office, "1007"))
		if tt.before > 0 {
			l.feed(success(phone, "1008"))
			l.wait(tt.before)
		}
		l.every(20*time.Second, repeat(tt.fails, tt.o)...)
		l.every(20*time.Second, success(office, "1008"))
		l.noBan()
		if n := l.count(ActionAlert, RuleCompromised); n != tt.want {
			t.Errorf("%s: got %d alerts, want %d: %v", tt.name, n, tt.want, l.told())
		}
	}
}

// Who was banned for guesses, and finds the password when the ban is over, is told of, however few
// of them were on that account. The next user of that address is not, nor is one who erred once on
// an account that is being attacked.
func TestFindAfterABanIsTold(t *testing.T) {
	banned := func(os ...Observation) *lab {
		l := newLab(t)
		for i := range 40 {
			l.feed(wrong(fmt.Sprintf("%d.0.113.5", 20+i), "1009"))
		}
		l.drop()
		l.feed(os...)
		l.banned()
		l.drop()
		l.wait(time.Hour)
		return l
	}
	guesses := append(guesses(1, attacker), repeat(4, wrong(attacker, "1007"))...)
	l := banned(guesses...)
	l.every(time.Second, success(attacker+":31337", "1007"))
	l.noBan()
	l.alerted(RuleCompromised)
	l = banned(guesses...)
	l.every(time.Second, wrong(attacker+":31336", "1008"), success(attacker+":31337", "1008"))
	l.quiet()
	l = banned(wrong(phone, "1009"))
	l.every(time.Second, success(phone, "1009"))
	l.noBan()
	l.alerted(RuleSuspectLogin)
}

func TestFirstBanOfACompromisedAccountOnForgeableEvidenceIsShort(t *testing.T) {
	l := newLab(t)
	l.feed(repeat(5, wrong(phone+":31337", "1007"))...)
	l.feed(registered(phone))
	if v := l.got[len(l.got)-1]; v.Action != ActionBan || v.Duration != 10*time.Minute ||
		v.Scope != ScopeSIP {
		t.Errorf("got %s, want a ban of 10 minutes", brief(v))
	}
	// The budget for new bans does not postpone it: nobody forges the success.
	l = newLab(t, func(o *Options) { o.ForgeablePerMinute = 1 })
	for i := range 3 {
		source := fmt.Sprintf("10.0.%d.1", i)
		l.feed(repeat(5, wrong(source, fmt.Sprint(i)))...)
		l.feed(success(source, fmt.Sprint(i)))
	}
	if n := l.count(ActionBan, RuleCompromised); n != 3 {
		t.Errorf("got %d bans, want 3: %v", n, l.told())
	}
}

// The alert comes before anything that time alone could tell.
func TestForgedFailuresBetweenTwoSuccessesAreTold(t *testing.T) {
	for _, gap := range []time.Duration{time.Millisecond, time.Second / 2} {
		l := newLab(t)
		l.feed(registered(phone))
		l.every(gap, repeat(10, wrong(phone+":31337", "1007"))...)
		l.feed(registered(phone))
		if v := l.alerted(RuleSpoofSuspected); v.Attempts != 10 ||
			string(v.Account.Bytes()) != "1007" {
			t.Errorf("got %s", brief(v))
		}
	}
}

// A stranger's first success on an account that others guess is alerted, whoever it is; it bans
// nobody.
func TestSuspectLogin(t *testing.T) {
	for _, gap := range []time.Duration{time.Millisecond, time.Second, time.Minute} {
		for n, want := range map[int]int{4: 0, 5: 1} {
			for _, erred := range []bool{false, true} {
				l := newLab(t)
				for i := range n {
					l.every(gap, wrong(fmt.Sprintf("203.0.%d.1", i), "1007"))
				}
				if erred {
					l.every(gap, wrong(phone, "1007"))
				}
				l.every(gap, registered(phone))
				l.noBan()
				if got := l.count(ActionAlert, RuleSuspectLogin); got != want {
					t.Errorf(
						"gap %v, %d others, erred %v: %d alerts, want %d",
						gap,
						n,
						erred,
						got,
						want,
					)
				}
			}
		}
	}
	for name, prepare := range map[string]func(l *lab){
		"a phone that was there before": func(l *lab) { l.feed(registered(phone)); l.strangers(20, "1007") },
		"the guesses are a day old":     func(l *lab) { l.strangers(20, "1007"); l.wait(24 * time.Hour) },
		"one source tried twenty times": func(l *lab) {
			l.every(time.Hour, repeat(20, wrong(attacker, "1007"))...)
			l.drop()
		},
		"they guess another account": func(l *lab) { l.strangers(20, "1008") },
	} {
		l := newLab(t)
		prepare(l)
		l.drop()
		l.feed(registered(phone))
		if len(l.got) != 0 {
			t.Errorf("%s: got %v", name, l.told())
		}
	}
}

// A success takes from the scores what the failures of its account had added, and nothing else.
func TestForgiveness(t *testing.T) {
	l := newLab(t)
	l.feed(wrong(phone, "1001"))
	l.every(5*time.Second, repeat(3, wrong(phone, "1007"))...)
	before := l.source(phone)
	l.every(5*time.Second, registered(phone))
	s := l.source(phone)
	if want := float32(0.5); s.forgeable < want*0.98 || s.forgeable > want ||
		s.slowForgeable < want*0.98 ||
		s.slowForgeable > want {
		t.Errorf(
			"scores: from %v, %v to %v, %v; want %v",
			before.forgeable,
			before.slowForgeable,
			s.forgeable,
			s.slowForgeable,
			want,
		)
	}
	if s.failed != 1 {
		t.Errorf("accounts that fail: got %d, want 1", s.failed)
	}
	l.feed(all(repeat(4, wrong(phone, "1007")), overStream)...) // excused: the phone's own account
	if s := l.source(phone); s.proven != 0 {
		t.Errorf("score %v", s.proven)
	}
}

// Later the debt has faded like the scores: the success does not take more than is left of it.
func TestForgivenessFades(t *testing.T) {
	l := newLab(t)
	l.feed(repeat(4, wrong(phone, "1007"))...)
	l.wait(40 * time.Hour)
	l.feed(forged(phone))
	l.feed(registered(phone))
	if s := l.source(phone); s.forgeable < 0.99 || s.forgeable > 1.01 || s.slowForgeable < 0.99 ||
		s.slowForgeable > 1.01 {
		t.Errorf("scores: got %v, %v, want 1", s.forgeable, s.slowForgeable)
	}
}

// Who looked slowly for a password that fits is found out as well: three accounts in six hours,
// then a success.
func TestSlowSprayIsFoundOut(t *testing.T) {
	for n, want := range map[int]int{2: 0, 3: 1} {
		l := newLab(t)
		l.every(2*time.Hour, guesses(n, attacker)...)
		l.every(2*time.Hour, registered(attacker))
		if got := l.count(ActionBan, RuleCompromised); got != want {
			t.Errorf("%d accounts: got %v", n, l.told())
		}
	}
}

// After the ban a user who erred gets in; who guessed long is banned again.
func TestAfterACompromisedAccount(t *testing.T) {
	for fails, again := range map[int]bool{6: false, 20: true} {
		l := newLab(t, off(RuleScore, RuleLongMemory))
		l.every(3*time.Second, repeat(fails, wrong(attacker, "1007"))...)
		l.every(3*time.Second, registered(attacker))
		if l.count(ActionBan, RuleCompromised) != 1 {
			t.Fatalf("%d failures: got %v", fails, l.told())
		}
		l.wait(time.Hour)
		l.feed(registered(attacker))
		if got := l.isBanned(attacker); got != again {
			t.Errorf("%d failures: banned again %v, want %v", fails, got, again)
		}
	}
}
