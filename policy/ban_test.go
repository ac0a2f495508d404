package policy

import (
	"fmt"
	"net/netip"
	"slices"
	"testing"
	"time"
)

func TestEachStrikeLengthensTheBan(t *testing.T) {
	l := newLab(t)
	for i, want := range []time.Duration{
		time.Hour, 4 * time.Hour, 16 * time.Hour, 64 * time.Hour, 256 * time.Hour, 720 * time.Hour,
		720 * time.Hour,
	} {
		l.scan(attacker)
		if len(l.got) != i+1 {
			t.Fatalf("strike %d: %d verdicts", i+1, len(l.got))
		}
		if v := l.got[i]; v.Duration != want || v.Strike != i+1 {
			t.Errorf("strike %d: got %v, strike %d, want %v", i+1, v.Duration, v.Strike, want)
		}
		l.wait(want)
		if b, ok := l.e.Ban(netip.MustParseAddr(attacker)); ok {
			t.Errorf("strike %d: still banned: %+v", i+1, b)
		}
	}
}

func TestABanThatRunsOutGivesNoVerdict(t *testing.T) {
	l := newLab(t)
	l.scan(attacker)
	l.wait(59 * time.Minute)
	if n := len(slices.Collect(l.e.Bans())); n != 1 {
		t.Errorf("bans: got %d, want 1", n)
	}
	l.wait(2 * time.Minute)
	l.banned()
	if n := len(slices.Collect(l.e.Bans())); n != 0 || l.e.Stats().Bans != 0 {
		t.Errorf("bans: got %d, want 0", n)
	}
}

// One strike fades every thirty days after the end of the latest ban, not before.
func TestStrikesFade(t *testing.T) {
	for _, tt := range []struct {
		days float64
		want int // of the next ban
	}{{0, 4}, {29.9, 4}, {30.1, 3}, {59.9, 3}, {60.1, 2}, {90.1, 1}, {400, 1}} {
		l := newLab(t)
		for _, d := range []time.Duration{time.Hour, 4 * time.Hour, 16 * time.Hour} {
			l.scan(attacker)
			l.wait(d)
		}
		l.drop()
		l.wait(time.Duration(tt.days * 24 * float64(time.Hour)))
		l.scan(attacker)
		if v := l.banned(); v.Strike != tt.want {
			t.Errorf("after %v days: strike %d, want %d", tt.days, v.Strike, tt.want)
		}
	}
}

// What arrives while a ban runs, from packets in flight or past a firewall that does not drop,
// counts nothing.
func TestEventsDuringABanOnlyCountAsSeen(t *testing.T) {
	l := newLab(t)
	l.scan(attacker)
	l.feed(repeat(100, event(KindInvalidPassword, ServiceAMI, attacker, "a", ""))...)
	v := l.banned()
	b, ok := l.e.Ban(netip.MustParseAddr(attacker))
	if !ok || b.Seen != 100 || b.LastSeen != l.now || b.From != v.At ||
		b.Until != v.At+int64(v.Duration) ||
		b.Rule != v.Rule || b.Attempts != 4 ||
		b.Strike != 1 ||
		b.Scope != ScopeAll ||
		b.Prefix != v.Prefix {
		t.Errorf("got %+v, %v", b, ok)
	}
	l.wait(2 * time.Hour)
	l.feed(event(KindInvalidAccountID, ServiceAMI, attacker, "a", ""))
	l.banned()
}

func TestMoreBansThanAllowedAreAlerted(t *testing.T) {
	l := newLab(t, func(o *Options) { o.MaxBans = 2 })
	for i := range 4 {
		l.scan(fmt.Sprintf("203.0.113.%d", i+1))
	}
	if len(l.got) != 3 || l.got[2].Action != ActionAlert || l.got[2].Rule != RuleBansFull ||
		l.got[2].Prefix.String() != "203.0.113.3/32" {
		t.Fatalf("got %v, want two bans and one alert", l.told())
	}
	if s := l.e.Stats(); s.Bans != 2 || s.BansRefused < 2 {
		t.Errorf("got %+v", s)
	}
	l.now += int64(time.Hour)
	l.scan("203.0.113.4")
	if v := l.got[len(l.got)-1]; v.Action != ActionBan || v.Strike != 1 {
		t.Errorf("once there is room: got %+v", v)
	}
}

// Whoever forges a flood from a million addresses must not use up the room for proven attackers.
func TestForgedBansLeaveRoomForProvenOnes(t *testing.T) {
	l := newLab(t, func(o *Options) { o.MaxBans = 8 })
	for i := range 20 {
		l.feed(repeat(4, forged(fmt.Sprintf("10.0.0.%d", i+1)))...)
	}
	if n := l.e.Stats().Bans; n != 4 {
		t.Errorf("bans on forged packets: got %d, want 4", n)
	}
	l.got = nil
	l.scan(attacker)
	l.banned()
	l.got = nil
	l.feed(repeat(4, overStream(forged("10.0.0.1")))...)
	if v := l.banned(); v.Scope != ScopeAll {
		t.Errorf("got %s", brief(v))
	}
	l.got = nil
	l.wait(time.Hour)
	l.feed(repeat(4, forged("10.0.0.20"))...)
	l.banned()
}

func TestProtectLiftsWhatItCovers(t *testing.T) {
	l := newLab(t)
	for _, a := range []string{"203.0.113.5", "203.0.113.6", "198.51.100.1"} {
		l.scan(a)
	}
	l.take(l.e.Adopt(l.now, netip.MustParsePrefix("203.0.113.0/24"), ScopeSIP, time.Hour))
	l.got = nil
	l.take(
		l.e.Protect(
			l.now,
			NewProtected(
				[]ProtectedEntry{{netip.MustParsePrefix("203.0.113.5/32"), "the trunk"}},
				nil,
			),
		),
	)
	var got []string
	for _, v := range l.got {
		got = append(got, fmt.Sprint(v.Action, " ", v.Prefix, " ", v.Scope, " ", v.Rule))
	}
	slices.Sort(got)
	want := []string{"unban 203.0.113.0/24 sip protected", "unban 203.0.113.5/32 all protected"}
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	l.got = nil
	l.scan("203.0.113.5")
	l.quiet()
	l.take(l.e.Protect(l.now, nil))
	l.scan("203.0.113.5")
	if v := l.banned(); v.Strike != 1 || v.Attempts != 4 {
		t.Errorf("what was lifted begins anew: got %+v", v)
	}
}

func TestAdopt(t *testing.T) {
	list := NewProtected([]ProtectedEntry{{netip.MustParsePrefix("192.0.2.10/32"), "PBX"}}, nil)
	for _, tt := range []struct {
		name, prefix string
		scope        Scope
		remaining    time.Duration
		want         string
		banned       bool
	}{
		{"a host", "203.0.113.5/32", ScopeAll, time.Hour, "[]", true},
		{"a prefix", "203.0.113.0/24", ScopeSIP, time.Hour, "[]", true},
		{"an IPv6 prefix", "2001:db8:bad::/64", ScopeSIP, time.Hour, "[]", true},
		{"host bits set", "203.0.113.9/24", ScopeSIP, time.Hour, "[]", true},
		{
			"longer than ban_max", "203.0.113.5/32", ScopeAll, 1000 * time.Hour,
			"[ban 203.0.113.5/32 720h0m0s adopted]", true,
		},
		{
			"without an end", "203.0.113.5/32", ScopeAll, 0, "[unban 203.0.113.5/32 0s adopted]",
			false,
		},
		{
			"protected", "192.0.2.10/32", ScopeAll, time.Hour, "[unban 192.0.2.10/32 0s protected]",
			false,
		},
		{
			"a prefix that holds something protected", "192.0.2.0/24", ScopeAll, time.Hour,
			"[unban 192.0.2.0/24 0s protected]", false,
		},
		{
			"loopback", "127.0.0.1/32", ScopeAll, time.Hour, "[unban 127.0.0.1/32 0s protected]",
			false,
		},
		{"everything", "0.0.0.0/0", ScopeAll, time.Hour, "[unban 0.0.0.0/0 0s protected]", false},
		{"all of IPv6", "::/0", ScopeAll, time.Hour, "[unban ::/0 0s protected]", false},
		{
			"a prefix of NAT64", "64:ff9b::cb00:0/112", ScopeAll, time.Hour,
			"[unban 64:ff9b::cb00:0/112 0s protected]", false,
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			l := newLab(t)
			l.e.Protect(l.now, list)
			prefix := netip.MustParsePrefix(tt.prefix)
			l.take(l.e.Adopt(l.now, prefix, tt.scope, tt.remaining))
			got := []string{}
			for _, v := range l.got {
				got = append(got, fmt.Sprint(v.Action, " ", v.Prefix, " ", v.Duration, " ", v.Rule))
			}
			if fmt.Sprint(got) != tt.want {
				t.Errorf("got %v, want %v", got, tt.want)
			}
			b, ok := l.e.Ban(prefix.Addr())
			if ok != tt.banned {
				t.Fatalf("banned: got %v, want %v", ok, tt.banned)
			}
			if ok &&
				(b.Prefix != prefix.Masked() || b.Scope != tt.scope || b.Rule != RuleAdopted ||
					b.Until != l.now+int64(min(tt.remaining, 720*time.Hour))) {
				t.Errorf("got %+v", b)
			}
		})
	}
}

func TestAdoptInvalidPrefix(t *testing.T) {
	l := newLab(t)
	l.take(l.e.Adopt(l.now, netip.Prefix{}, ScopeAll, time.Hour))
	if len(l.got) != 1 || l.got[0].Action != ActionUnban || l.e.Stats().Bans != 0 {
		t.Errorf("got %+v", l.got)
	}
}

// A ban over a restart is not decided again, does not end later, and counts as a strike.
func TestAdoptedBanIsABan(t *testing.T) {
	l := newLab(t)
	l.take(l.e.Adopt(l.now, netip.MustParsePrefix(attacker+"/32"), ScopeAll, 10*time.Minute))
	l.scan(attacker)
	l.take(l.e.Adopt(l.now, netip.MustParsePrefix(attacker+"/32"), ScopeSIP, 20*time.Minute))
	l.quiet()
	l.wait(10 * time.Minute)
	l.scan(attacker)
	if v := l.banned(); v.Strike != 2 || v.Duration != 4*time.Hour {
		t.Errorf("got %s", brief(v))
	}
}

func TestProtectedSourcesAreNotScored(t *testing.T) {
	l := newLab(t)
	l.e.Protect(
		l.now,
		NewProtected([]ProtectedEntry{{netip.MustParsePrefix("203.0.113.0/24"), "allow"}}, nil),
	)
	l.feed(repeat(9, event(KindInvalidAccountID, ServiceAMI, attacker, "a", ""))...)
	l.quiet()
	if s := l.e.Stats(); s.Protected != 9 || s.Sources != 0 {
		t.Errorf("got %+v", s)
	}
}
