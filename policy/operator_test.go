package policy

import (
	"fmt"
	"net/netip"
	"testing"
	"time"
)

func TestOperatorBans(t *testing.T) {
	l := newLab(t)
	l.e.Protect(l.now, protectedWorld)
	for _, tt := range []struct {
		prefix string
		scope  Scope
		d      time.Duration
		ok     bool
	}{
		{"203.0.113.5/32", ScopeSIP, 2 * time.Hour, true},
		{"203.0.113.5/32", ScopeSIP, time.Hour, true}, // again, shorter
		{"2001:db8:bad::/48", ScopeAll, 10000 * time.Hour, true},
		{"192.0.2.0/28", ScopeAll, time.Hour, false},
		{"192.0.0.0/16", ScopeAll, time.Hour, false},
		{"127.0.0.1/32", ScopeAll, time.Hour, false},
		{"203.0.113.6/32", ScopeNone, time.Hour, false},
		{"203.0.113.6/32", ScopeAll, 0, false},
	} {
		vs, err := l.e.Impose(l.now, netip.MustParsePrefix(tt.prefix), tt.scope, tt.d)
		if (err == nil) != tt.ok || (len(vs) == 1) != tt.ok {
			t.Errorf("%s for %v: got %v, %v", tt.prefix, tt.d, vs, err)
			continue
		}
		if !tt.ok {
			continue
		}
		want := min(tt.d, fixedOptions().BanMax)
		if v := vs[0]; v.Action != ActionBan || v.Rule != RuleOperator || v.Duration != want ||
			v.Scope != tt.scope ||
			v.Strike != 0 {
			t.Errorf("%s for %v: got %+v", tt.prefix, tt.d, v)
		}
		if b, ok := l.e.Ban(netip.MustParsePrefix(tt.prefix).Addr()); !ok ||
			b.Until != l.now+int64(want) {
			t.Errorf("%s for %v: ban %+v", tt.prefix, tt.d, b)
		}
	}
}

// A source may be banned from the SIP ports and from TCP at once. An operator's ban from everything
// takes the place of both.
func TestOperatorBansAreBeside(t *testing.T) {
	l := newLab(t)
	addr := netip.MustParseAddr(attacker)
	impose := func(s Scope, d time.Duration) {
		if _, err := l.e.Impose(l.now, netip.PrefixFrom(addr, 32), s, d); err != nil {
			t.Fatal(err)
		}
	}
	running := func() string {
		text := ""
		for _, b := range l.e.BansOf(addr) {
			text += fmt.Sprint(b.Prefix, " ", b.Scope, " ", time.Duration(b.Until-l.now), ";")
		}
		return text
	}

	impose(ScopeSIP, 2*time.Hour)
	impose(ScopeStream, 3*time.Hour)
	want := "203.0.113.5/32 sip 2h0m0s;203.0.113.5/32 stream 3h0m0s;"
	if got := running(); got != want {
		t.Errorf("running: %s, want %s", got, want)
	}

	impose(ScopeAll, time.Hour)
	if got := running(); got != "203.0.113.5/32 all 1h0m0s;" {
		t.Errorf("running: %s", got)
	}
	if n := l.e.Stats().Bans; n != 1 {
		t.Errorf("%d bans", n)
	}
}

// Who is pardoned begins anew: as many attempts as a stranger, the first ban as short.
func TestPardonForgetsEverything(t *testing.T) {
	for _, prefix := range []string{attacker + "/32", "203.0.113.0/24", "0.0.0.0/0"} {
		l := newLab(t)
		for range 3 {
			l.scan(attacker)
			l.wait(1000 * time.Hour)
		}
		l.scan(attacker)
		l.got = nil
		l.take(l.e.Pardon(l.now, netip.MustParsePrefix(prefix)))
		if len(l.got) != 1 || l.got[0].Action != ActionUnban || l.got[0].Rule != RuleOperator ||
			l.got[0].Prefix.String() != attacker+"/32" {
			t.Fatalf("%s: got %v", prefix, l.got)
		}
		l.got = nil
		l.scan(attacker)
		if v := l.banned(); v.Strike != 1 || v.Duration != time.Hour || v.Attempts != 4 {
			t.Errorf("%s: banned again: %+v", prefix, v)
		}
	}
	l := newLab(t)
	l.scan(attacker)
	l.got = nil
	for _, other := range []string{"198.51.100.0/24", "2001:db8::/32", "203.0.113.6/32"} {
		l.take(l.e.Pardon(l.now, netip.MustParsePrefix(other)))
	}
	l.quiet()
}

// The phone with an old password: banned, pardoned, corrected. Its first success is no find of a
// guesser.
func TestPardonedPhoneIsCorrected(t *testing.T) {
	for _, prefix := range []string{phone + "/32", "10.20.0.0/24"} {
		for name, via := range map[string]func(Observation) Observation{
			"UDP": func(o Observation) Observation { return o },
			"TCP": overStream,
		} {
			l := newLab(t)
			l.feed(all(repeat(7, wrong(phone, "1007")), via)...)
			if v := l.banned(); v.Prefix.String() != phone+"/32" {
				t.Fatalf("%s: banned %v", name, v)
			}
			l.take(l.e.Pardon(l.now, netip.MustParsePrefix(prefix)))
			l.drop()
			l.feed(via(registered(phone)))
			l.quiet()
			l.drop()
			l.feed(all(repeat(3, wrong(phone, "1007")), via)...) // a user's typos
			l.feed(via(registered(phone)))
			l.quiet()
		}
	}
}

// A user whose phone was banned for a wrong password, who was pardoned and has mended it, gets in:
// the failures from before are not those of a guesser who found the password.
func TestPardonedPhoneGetsIn(t *testing.T) {
	for _, prefix := range []string{phone + "/32", "10.0.0.0/8"} {
		for _, wait := range []time.Duration{0, time.Second, time.Hour} {
			l := newLab(t)
			for range 10 {
				l.feed(wrong(phone, "1007"))
			}
			l.banned()
			l.drop()
			l.take(l.e.Pardon(l.now, netip.MustParsePrefix(prefix)))
			l.drop()
			l.wait(wait)
			if x := l.e.Explain(hostAddr(phone)); x.MoreUnknown != 4 || x.MoreKnown != 7 ||
				len(x.Accounts) != 1 ||
				x.Accounts[0].Fails != 0 {
				t.Errorf("after %v: %+v", wait, x)
			}
			l.feed(registered(phone))
			l.quiet()
			if !l.e.Explain(hostAddr(phone)).Proved {
				t.Errorf("after %v: it is not proved", wait)
			}
		}
	}
}

// What fails after the pardon counts as anybody's, the accounts that failed before it not at all.
func TestPardonedScannerBeginsAnew(t *testing.T) {
	l := newLab(t)
	l.feed(all(guesses(4, attacker), overStream)...)
	l.banned()
	l.take(l.e.Pardon(l.now, netip.MustParsePrefix(attacker+"/32")))
	l.drop()
	if s := l.source(attacker); s.failed != 0 || s.failedProven != 0 || !s.clean() {
		t.Errorf("it has %+v", s)
	}
	l.wait(time.Minute)
	l.feed(all(guesses(3, attacker), overStream)...)
	if s := l.source(attacker); s.failed != 3 || s.proven != 3 {
		t.Errorf("it has %+v", s)
	}
	l.quiet()
	l.feed(all(guesses(4, attacker)[3:], overStream)...)
	if v := l.banned(); v.Attempts != 4 || v.Strike != 1 {
		t.Errorf("banned: %+v", v)
	}
	l.wait(triedMemory + time.Hour) // the accounts are forgotten, each once
	if s := l.source(attacker); s.failed != 0 || s.failedProven != 0 {
		t.Errorf("it has %+v", s)
	}
}

func BenchmarkPardon(b *testing.B) {
	e := million(b)
	var log saved
	log.all(e)
	for _, prefix := range []string{"64.0.0.7/32", "64.0.0.0/24", "0.0.0.0/0"} {
		b.Run(prefix, func(b *testing.B) {
			p := netip.MustParsePrefix(prefix)
			for b.Loop() {
				e.Pardon(e.now, p)
				e.save.pardons = e.save.pardons[:0]
			}
		})
	}
}

// Who lifts all bans of IPv6 lifts none of IPv4, also after a kill, though the keys of both are of
// one kind.
func TestPardonOfOneFamily(t *testing.T) {
	const six = "2001:db8:bad::1"
	for prefix, keeps := range map[string]string{
		"::/0": attacker, "::/1": attacker, "::/80": attacker, "0.0.0.0/0": six, "::ffff:0.0.0.0/96": six,
	} {
		l := newLab(t)
		o := l.e.opt
		l.feed(all(guesses(2, attacker), overStream)...)
		l.feed(all(guesses(2, six), overStream)...)
		var log saved
		log.all(l.e)
		l.take(l.e.Pardon(l.now, netip.MustParsePrefix(prefix)))
		log.all(l.e)
		held := l.e.Explain(hostAddr(keeps)).MoreUnknown
		l.killed(&log, o)
		if again := l.e.Explain(hostAddr(keeps)).MoreUnknown; held > 2 || again != held {
			t.Errorf(
				"%s is pardoned: %s would be banned after %d more attempts, %d after a kill",
				prefix,
				keeps,
				held,
				again,
			)
		}
		other := six
		if keeps == six {
			other = attacker
		}
		if again := l.e.Explain(hostAddr(other)).MoreUnknown; again < 4 && prefix != "::/80" {
			t.Errorf(
				"%s is pardoned: %s would be banned after %d more attempts",
				prefix,
				other,
				again,
			)
		}
	}
}
