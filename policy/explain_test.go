package policy

import (
	"bytes"
	"fmt"
	"net/netip"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func (l *lab) explain(addr string) Explanation { return l.e.Explain(hostAddr(addr)) }

func TestExplainTellsEvidence(t *testing.T) {
	l := newLab(t)
	l.every(time.Second, guesses(2, attacker)...)
	l.every(time.Second, overStream(wrong(attacker+":4444", "1001")))
	x := l.explain("::ffff:" + attacker)
	if x.Addr != hostAddr(attacker) || x.At != l.now || !x.Known || x.Banned || x.Proved ||
		x.Attempts != 3 ||
		x.Since != start+int64(time.Second) {
		t.Errorf(
			"got addr %v at %d, known %v, banned %v, proved %v, %d attempts since %d",
			x.Addr,
			x.At-start,
			x.Known,
			x.Banned,
			x.Proved,
			x.Attempts,
			x.Since-start,
		)
	}
	if len(x.Evidence) != 3 {
		t.Fatalf("evidence: got %d", len(x.Evidence))
	}
	for i, want := range []string{"guess0", "guess1", "1001"} {
		ev := x.Evidence[i]
		if string(ev.Account.Bytes()) != want || ev.At != start+int64(i+1)*int64(time.Second) ||
			ev.Proven() != (i == 2) {
			t.Errorf(
				"evidence %d: %q at %v, proven %v",
				i,
				ev.Account.Bytes(),
				time.Duration(ev.At-start),
				ev.Proven(),
			)
		}
	}
	if ev := x.Evidence[2]; ev.Port != 4444 || ev.Kind != KindChallengeResponseFailed ||
		ev.Service != ServicePJSIP ||
		ev.Weight != 0.5 {
		t.Errorf("got port %d, %v, %v, weight %v", ev.Port, ev.Kind, ev.Service, ev.Weight)
	}
	if len(x.Scores) != 2 || x.Scores[0].Rule != RuleScore || x.Scores[0].Limit != 3 ||
		x.Scores[1].Rule != RuleLongMemory ||
		x.Scores[1].Limit != 6 {
		t.Fatalf("scores: got %+v", x.Scores)
	}
	if p := x.Scores[0]; p.Proven != 0.5 || p.Forgeable < 1.99 || p.Forgeable > 2 {
		t.Errorf("score: got %+v", p)
	}
	if len(x.Accounts) != 3 || string(x.Accounts[0].Account.Bytes()) != "1001" ||
		x.Accounts[0].Fails != 1 ||
		x.Accounts[0].OKAt != 0 ||
		x.Accounts[0].FailedAt != start+3*int64(time.Second) {
		t.Errorf("accounts: got %d, the first %+v", len(x.Accounts), x.Accounts)
	}
}

func TestExplainTellsOfWhatNothingIsKnown(t *testing.T) {
	l := newLab(t)
	l.wait(time.Hour)
	x := l.explain(attacker)
	if x.Known || x.Banned || x.Proved || x.Protected != "" || x.Attempts != 0 ||
		len(x.Evidence)+len(x.Accounts)+len(x.Scores)+len(x.Prefixes) != 0 {
		t.Errorf("got %+v", x)
	}
	l.e.Protect(
		l.now,
		NewProtected([]ProtectedEntry{{netip.MustParsePrefix(attacker + "/24"), "allowlist"}}, nil),
	)
	if x := l.explain(attacker); x.Protected != "allowlist" || x.MoreUnknown != 0 {
		t.Errorf("protected: got %q, %d more", x.Protected, x.MoreUnknown)
	}
	if x := l.explain("127.0.0.1"); x.Protected != "loopback" {
		t.Errorf("loopback: got %q", x.Protected)
	}
}

// What is said to be missing for a ban is just that.
func TestExplainTellsWhatWouldBan(t *testing.T) {
	for before := range 7 {
		for _, unknownAccount := range []bool{true, false} {
			l := newLab(t)
			l.feed(repeat(before, wrong(attacker, "1001"))...)
			x := l.explain(attacker)
			want, o := x.MoreUnknown, func(i int) Observation {
				return event(KindInvalidAccountID, ServicePJSIP, attacker, "u", fmt.Sprint(i))
			}
			if !unknownAccount {
				want, o = x.MoreKnown, func(int) Observation { return wrong(attacker, "1001") }
			}
			if before == 0 { // nothing is known of it
				continue
			}
			if got := l.attemptsUntil(10, 0, o); got != want {
				t.Errorf(
					"after %d failures, unknown %v: banned by %d more, told %d",
					before,
					unknownAccount,
					got,
					want,
				)
			}
		}
	}
	l := newLab(t)
	l.feed(guesses(4, attacker)...)
	if x := l.explain(attacker); x.MoreUnknown != 0 || x.MoreKnown != 0 || !x.Banned ||
		x.Ban.Rule != RuleScore ||
		x.Ban.Until != l.now+int64(10*time.Minute) {
		t.Errorf("banned: got %d, %d more, %+v", x.MoreUnknown, x.MoreKnown, x.Ban)
	}
	l = newLab(t)
	l.feed(registered(phone))
	if x := l.explain(phone); x.MoreUnknown != 0 || x.MoreKnown != 0 {
		t.Errorf("proved: got %d, %d more", x.MoreUnknown, x.MoreKnown)
	}
	// The slow score, too: 5.8 of 6 are there.
	l = newLab(t)
	l.every(time.Hour, repeat(6, forged(attacker))...)
	if x := l.explain(attacker); x.MoreUnknown != 1 || x.MoreKnown != 1 {
		t.Errorf("slow: got %d, %d more", x.MoreUnknown, x.MoreKnown)
	}
}

// Its times come true: when attempts are forgotten, a proof ends, a strike fades.
func TestExplainTellsTimesThatComeTrue(t *testing.T) {
	at := func(l *lab, when int64, addr string) Explanation {
		l.now = when
		l.wait(0)
		return l.explain(addr)
	}
	for n := 1; n < 4; n++ {
		l := newLab(t)
		l.feed(repeat(n, forged(attacker))...)
		calm := l.explain(attacker).CalmAt
		if x := at(l, calm-2e9, attacker); x.Attempts != n {
			t.Errorf("%d attempts: %d just before they are forgotten", n, x.Attempts)
		}
		if x := at(l, calm+2e9, attacker); x.Attempts != 0 || x.CalmAt != 0 {
			t.Errorf("%d attempts: %d just after they are forgotten", n, x.Attempts)
		}
	}
	l := newLab(t)
	l.feed(registered(phone))
	x := l.explain(phone)
	if x.ProofAt != start || x.ProofEnds != start+int64(24*time.Hour) || x.Owns != 1 ||
		x.Trust != 1 {
		t.Errorf(
			"proof at %d, ends %d, owns %d, trust %v",
			x.ProofAt-start,
			x.ProofEnds-start,
			x.Owns,
			x.Trust,
		)
	}
	if x := at(l, x.ProofEnds-1e9, phone); !x.Proved {
		t.Error("not proved just before the proof ends")
	}
	if x := at(l, x.ProofEnds, phone); x.Proved || x.ProofAt != start {
		t.Errorf("proved %v when the proof ended", x.Proved)
	}
	l = newLab(t)
	l.scan(attacker)
	l.wait(2 * time.Hour)
	ends := l.explain(attacker).StrikeEnds
	if x := at(l, ends-1e9, attacker); x.Strikes != 1 {
		t.Errorf("%d strikes just before", x.Strikes)
	}
	if x := at(l, ends+1e9, attacker); x.Strikes != 0 || x.StrikeEnds != 0 {
		t.Errorf("%d strikes just after", x.Strikes)
	}
}

func TestExplainTellsAccounts(t *testing.T) {
	l := newLab(t)
	l.feed(success(office, "1007"), success(office, "1001"))
	l.every(10*time.Second, repeat(3, wrong(office, "1008"))...)
	l.every(time.Second, repeat(30, wrong(office, "1007"))...)
	x := l.explain(office)
	if len(x.Accounts) != 3 || x.Owns != 2 {
		t.Fatalf("accounts: got %d, owns %d", len(x.Accounts), x.Owns)
	}
	for i, want := range []AccountPart{
		{OKAt: start, Excused: 20, Shielded: 10, FailedAt: start + 31e9},
		{Excused: 3, FailedAt: start + 10e9},
		{OKAt: start},
	} {
		got := x.Accounts[i]
		name := []string{"1007", "1008", "1001"}[i]
		if string(got.Account.Bytes()) != name {
			t.Errorf("account %d: got %q, want %q", i, got.Account.Bytes(), name)
		}
		got.Account = Label{}
		if got != want {
			t.Errorf("%s: got %+v, want %+v", name, got, want)
		}
	}
	for i := range 3 * maxExplained {
		l.feed(success(office, fmt.Sprint(2000+i)))
	}
	if n := len(l.explain(office).Accounts); n != maxExplained {
		t.Errorf("accounts: got %d, want the latest %d", n, maxExplained)
	}
}

func TestExplainTellsPrefixes(t *testing.T) {
	l := newLab(t, off(RuleSpreadScore))
	l.scan(host6(0))
	l.feed(forged(host6(1)))
	l.feed(registered("2001:db8:bad:1::1"))
	x := l.explain(host6(2))
	if x.Known || len(x.Prefixes) != 3 {
		t.Fatalf("got %+v", x.Prefixes)
	}
	for i, want := range []PrefixPart{
		{netip.MustParsePrefix("2001:db8:bad::/64"), 0, 1, 3, 2, 1, false},
		{netip.MustParsePrefix("2001:db8:bad::/56"), 0, 1, 4.5, 1, 1, true},
		{netip.MustParsePrefix("2001:db8:bad::/48"), 0, 1, 7.5, 1, 1, true},
	} {
		if x.Prefixes[i] != want {
			t.Errorf("got %+v, want %+v", x.Prefixes[i], want)
		}
	}
	if x := l.explain("203.0.113.9"); len(x.Prefixes) != 0 {
		t.Errorf("got %+v", x.Prefixes)
	}
}

// Explaining changes nothing: neither what is remembered nor what is decided.
func TestPropertyExplainChangesNothing(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		os := anyObservations(t, 50, 300)
		var states [2][]byte
		for i, explain := range []bool{false, true} {
			e := mustNew(t, nil)
			play(e, os, func(o Observation, _ []Verdict) {
				if explain {
					if x := e.Explain(o.Source.Addr()); x.At != e.now ||
						len(x.Evidence) > evidenceKept {
						t.Fatalf("got %+v", x)
					}
				}
			})
			states[i] = stateOf(t, e)
		}
		if !bytes.Equal(states[0], states[1]) {
			t.Fatal("the states differ")
		}
	})
}
