package policy

import (
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
		want := min(tt.d, DefaultOptions().BanMax)
		if v := vs[0]; v.Action != ActionBan || v.Rule != RuleOperator || v.Duration != want || v.Scope != tt.scope || v.Strike != 0 {
			t.Errorf("%s for %v: got %+v", tt.prefix, tt.d, v)
		}
		if b, ok := l.e.Ban(netip.MustParsePrefix(tt.prefix).Addr()); !ok || b.Until != l.now+int64(want) {
			t.Errorf("%s for %v: ban %+v", tt.prefix, tt.d, b)
		}
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
		if len(l.got) != 1 || l.got[0].Action != ActionUnban || l.got[0].Rule != RuleOperator || l.got[0].Prefix.String() != attacker+"/32" {
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

// The phone with an old password: banned, pardoned, corrected. Its first success is no find of a guesser.
func TestPardonedPhoneIsCorrected(t *testing.T) {
	for _, prefix := range []string{phone + "/32", "10.20.0.0/24"} {
		for name, via := range map[string]func(Observation) Observation{"UDP": func(o Observation) Observation { return o }, "TCP": overStream} {
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
