package policy

import (
	"fmt"
	"net/netip"
	"slices"
	"testing"
	"time"
)

// quick counts what spreads over a prefix, without what hastens the bans of its hosts.
func quick(o *Options) {
	off(
		RuleAccountUnderAttack,
		RuleServerUnderAttack,
		RuleEnumeration,
		RuleLongMemory,
		RuleSecondOffender,
	)(
		o,
	)
}

// When a prefix is banned: so many parts, and attempts that add up above so many times the
// threshold.
func TestSpreadScore(t *testing.T) {
	host24 := func(part, _ int) string { return fmt.Sprintf("203.0.113.%d", part+1) }
	host64 := func(part, _ int) string { return fmt.Sprintf("2001:db8:bad::%x", part+1) }
	host56 := func(part, n int) string { return fmt.Sprintf("2001:db8:bad:%x::%x", part, n+1) }
	host48 := func(part, n int) string { return fmt.Sprintf("2001:db8:bad:%x::%x", part<<8, n+1) }
	for _, tt := range []struct {
		name   string
		host   func(part, n int) string
		parts  int
		each   int
		banned string // prefix, "" for none
	}{
		{"/24: five addresses, ten attempts", host24, 5, 2, "203.0.113.0/24"},
		{"/24: four addresses, twelve attempts", host24, 4, 3, ""},
		{"/24: nine addresses, nine attempts", host24, 9, 1, ""},
		{"/24: ten addresses, ten attempts", host24, 10, 1, "203.0.113.0/24"},
		{"/64: two addresses, four attempts", host64, 2, 2, "2001:db8:bad::/64"},
		{"/64: one address, three attempts", host64, 1, 3, ""},
		{"/64: three addresses, three attempts", host64, 3, 1, ""},
		{"/64: four addresses, four attempts", host64, 4, 1, "2001:db8:bad::/64"},
		{"/56: two /64s, four attempts", host56, 2, 2, ""},
		{"/56: four /64s, four attempts", host56, 4, 1, ""},
		{"/56: five /64s, five attempts", host56, 5, 1, "2001:db8:bad::/56"},
		{"/48: three /64s, six attempts", host48, 3, 2, ""},
		{"/48: seven /64s, seven attempts", host48, 7, 1, ""},
		{"/48: eight /64s, eight attempts", host48, 8, 1, "2001:db8:bad::/48"},
	} {
		for _, stream := range []bool{false, true} {
			l := newLab(t, quick)
			for n := range tt.each {
				for part := range tt.parts {
					o := event(
						KindInvalidAccountID,
						ServicePJSIP,
						tt.host(part, n),
						fmt.Sprint(part),
						fmt.Sprint(n, part),
					)
					o.Stream = stream
					l.feed(o)
				}
			}
			got := ""
			for _, v := range l.got {
				got += v.Prefix.String()
				want := map[bool]Scope{true: ScopeAll, false: ScopeSIP}[stream]
				if v.Action != ActionBan || v.Rule != RuleSpreadScore || v.Scope != want ||
					v.Attempts != tt.parts*tt.each && tt.each == 1 {
					t.Errorf("%s: got %s", tt.name, brief(v))
				}
			}
			if got != tt.banned {
				t.Errorf("%s, stream %v: got %q, want %q", tt.name, stream, got, tt.banned)
			}
		}
	}
}

// Attempts of a prefix add up over hours: they have halved after four.
func TestSpreadScoreHalvesInFourHours(t *testing.T) {
	for gap, banned := range map[time.Duration]bool{30 * time.Minute: true, 45 * time.Minute: false} {
		l := newLab(t, quick)
		for i := range 25 {
			l.every(gap, forged(fmt.Sprintf("203.0.113.%d", i+1)))
		}
		if got := len(l.got) > 0; got != banned {
			t.Errorf("an address each %v: banned %v, want %v", gap, got, banned)
		}
	}
	l := newLab(t, quick)
	l.feed(forged(host6(0)), forged(host6(1)))
	l.wait(4 * time.Hour)
	if p := l.e.Explain(hostAddr(host6(0))).Prefixes[0]; p.Prefix.Bits() != 64 ||
		p.Forgeable < 0.999 ||
		p.Forgeable > 1 ||
		p.Limit != 3 {
		t.Errorf("got %+v, want 1 of 3", p)
	}
}

// Two that take turns are two, whatever they do: neither suspects nor offenders of more than two
// addresses.
func TestTakingTurnsMakesNoCrowd(t *testing.T) {
	prefixes := func(l *lab) {
		t.Helper()
		for _, v := range l.got {
			if !v.Prefix.IsSingleIP() {
				t.Errorf("got %s", brief(v))
			}
		}
	}
	for _, n := range []int{2, 3, 4} {
		l := newLab(t, off(RuleSecondOffender))
		for i := range 30 {
			l.every(20*time.Minute, forged(fmt.Sprintf("203.0.113.%d", 5+i%n)))
		}
		prefixes(l)
	}
	l := newLab(t)
	for range 3 {
		for _, a := range []string{"203.0.113.5", "203.0.113.9", "203.0.113.12"} {
			if !l.isBanned(a) {
				l.scan(a)
			}
		}
		l.wait(30 * time.Hour)
	}
	prefixes(l)
}

// A prefix in which several were banned is banned with the next one's ban, for 90 days.
func TestSecondOffender(t *testing.T) {
	for _, tt := range []struct {
		name   string
		hosts  []string
		prefix string // banned with the last of them
	}{
		{
			"/24: four addresses",
			[]string{"203.0.113.1", "203.0.113.2", "203.0.113.3", "203.0.113.4"},
			"203.0.113.0/24",
		},
		{"/64: two addresses", []string{host6(0), host6(1)}, "2001:db8:bad::/64"},
		{"/56: two /64s", []string{"2001:db8:bad:1::1", "2001:db8:bad:2::1"}, "2001:db8:bad::/56"},
		{
			"/48: three /64s",
			[]string{"2001:db8:bad:100::1", "2001:db8:bad:200::1", "2001:db8:bad:300::1"},
			"2001:db8:bad::/48",
		},
	} {
		for _, gap := range []time.Duration{30 * time.Hour, 85 * 24 * time.Hour} {
			l := newLab(t, off(RuleSpreadScore))
			for i, host := range tt.hosts {
				l.drop()
				l.scan(host)
				v := l.banned()
				if last := i == len(tt.hosts)-1; last != (v.Rule == RuleSecondOffender) ||
					last && v.Prefix.String() != tt.prefix ||
					v.Scope != ScopeAll {
					t.Errorf("%s, %v apart, offender %d: got %s", tt.name, gap, i+1, brief(v))
				}
				l.wait(gap)
			}
		}
		l := newLab(t, off(RuleSpreadScore))
		for i, host := range tt.hosts {
			if i == len(tt.hosts)-1 {
				l.wait(91 * 24 * time.Hour)
			}
			l.scan(host)
		}
		if n := l.count(ActionBan, RuleSecondOffender); n != 0 {
			t.Errorf("%s, after 91 days: got %v", tt.name, l.told())
		}
	}
}

// Where a prefix may not be banned, its hosts are, each alone.
func TestPrefixesThatAreNeverBanned(t *testing.T) {
	protect := func(entries []ProtectedEntry, onLink ...string) func(l *lab) {
		return func(l *lab) {
			var links []netip.Prefix
			for _, s := range onLink {
				links = append(links, netip.MustParsePrefix(s))
			}
			l.e.Protect(l.now, NewProtected(entries, links))
		}
	}
	trunk := func(s string) []ProtectedEntry { return []ProtectedEntry{{netip.MustParsePrefix(s), "trunk"}} }
	for _, tt := range []struct {
		name    string
		prepare func(l *lab)
		host    func(i int) string
	}{
		{
			"/24 with a protected address", protect(trunk("203.0.113.200/32")),
			func(i int) string { return fmt.Sprintf("203.0.113.%d", i+1) },
		},
		{
			"/24 that is on-link", protect(nil, "203.0.113.0/25"),
			func(i int) string { return fmt.Sprintf("203.0.113.%d", i+1) },
		},
		{
			"/24 in a LAN", protect(nil, "203.0.0.0/16"),
			func(i int) string { return fmt.Sprintf("203.0.113.%d", i+1) },
		},
		{
			"/24 with a phone", func(l *lab) { l.feed(registered("203.0.113.200")) },
			func(i int) string { return fmt.Sprintf("203.0.113.%d", i+1) },
		},
		{
			"/48 with a protected address", protect(trunk("2001:db8:bad:ffff::1/128")),
			func(i int) string { return fmt.Sprintf("2001:db8:bad:%x::1", i<<8) },
		},
		{
			"/56 with a phone", func(l *lab) { l.feed(registered("2001:db8:bad:ff::1")) },
			func(i int) string { return fmt.Sprintf("2001:db8:bad:%x::1", i) },
		},
	} {
		l := newLab(t)
		tt.prepare(l)
		for i := range 20 {
			for j := range 4 {
				l.feed(
					event(
						KindInvalidAccountID,
						ServicePJSIP,
						tt.host(i),
						fmt.Sprint(i, j),
						fmt.Sprint(i, j),
					),
				)
			}
		}
		hosts := 0
		for _, v := range l.got {
			if v.Action == ActionBan && !v.Prefix.IsSingleIP() {
				t.Errorf("%s: got %s", tt.name, brief(v))
			}
			if v.Action == ActionBan {
				hosts++
			}
		}
		if hosts != 20 {
			t.Errorf("%s: %d hosts banned, want 20", tt.name, hosts)
		}
	}
}

// The proof of a phone saves its neighbours from the ban of their prefix as long as it lasts, and
// not longer.
func TestProofInAPrefixEnds(t *testing.T) {
	l := newLab(t, quick)
	l.feed(registered("203.0.113.200"))
	ten := func() {
		for i := range 10 {
			l.feed(forged(fmt.Sprintf("203.0.113.%d", i+1)))
		}
	}
	ten()
	l.quiet()
	l.wait(24 * time.Hour)
	ten()
	if v := l.banned(); v.Prefix.Bits() != 24 {
		t.Errorf("got %s", brief(v))
	}
}

// When a host is banned, its share is taken from its prefixes: a neighbour's single attempt bans
// nobody else.
func TestNeighboursDoNotAnswerForAHost(t *testing.T) {
	l := newLab(t, quick)
	for i := range 4 {
		l.feed(all(guesses(4, fmt.Sprintf("203.0.113.%d", i+1)), overStream)...)
	}
	l.feed(overStream(forged("203.0.113.9")))
	for _, v := range l.got {
		if !v.Prefix.IsSingleIP() {
			t.Errorf("got %s", brief(v))
		}
	}
	if p := l.e.Explain(hostAddr("203.0.113.9")).Prefixes[0]; p.Proven > 1 {
		t.Errorf("got %+v, want a score of 1", p)
	}
}

// A decoy, banned at its only packet, takes no more from the score of its prefix than it gave.
func TestDecoysWashNoPrefix(t *testing.T) {
	l := newLab(t, quick, canaries)
	for i := range 8 {
		l.feed(overStream(forged(fmt.Sprintf("203.0.113.%d", i+1))))
	}
	for i := range 3 {
		l.feed(overStream(wrong(fmt.Sprintf("203.0.113.%d", i+101), "canary")))
	}
	if p := l.explain("203.0.113.1").Prefixes[0]; p.Proven < 7.99 {
		t.Errorf("score: got %v, want 8", p.Proven)
	}
}

// What was lifted begins anew, for its prefixes too.
func TestLiftedOffenderIsNone(t *testing.T) {
	l := newLab(t)
	l.scan(host6(0))
	l.take(
		l.e.Protect(
			l.now,
			NewProtected(
				[]ProtectedEntry{{netip.MustParsePrefix(host6(0) + "/128"), "allow"}},
				nil,
			),
		),
	)
	l.take(l.e.Protect(l.now, nil))
	l.drop()
	l.scan(host6(1))
	l.wants("ban 2001:db8:bad::2/128 all proven_score")
}

// More prefixes may be found in the kernel than there is room for their records: that crashes
// nothing, and all stay banned.
func TestMoreAdoptedPrefixesThanNetworksCrashNothing(t *testing.T) {
	l := newLab(t, func(o *Options) { o.MaxSources, o.MaxBans = 640, 320 })
	prefix := func(i int) netip.Prefix { return netip.MustParsePrefix(fmt.Sprintf("10.0.%d.0/24", i)) }
	for i := range 150 {
		l.take(l.e.Adopt(l.now, prefix(i), ScopeSIP, time.Hour))
	}
	for i := range 150 {
		l.feed(
			overStream(forged(fmt.Sprintf("10.0.%d.1", i))),
			success(fmt.Sprintf("10.0.%d.2", i), "a"),
		)
	}
	if n := l.e.networks.Len(); n > l.e.networks.Max() {
		t.Errorf("prefixes: %d, more than %d", n, l.e.networks.Max())
	}
	var lifted []netip.Prefix
	for _, v := range l.got {
		if v.Action == ActionUnban && v.Rule == RuleProved {
			lifted = append(lifted, v.Prefix)
		}
	}
	for i := range 150 {
		_, banned := l.e.Ban(prefix(i).Addr())
		if banned == slices.Contains(lifted, prefix(i)) {
			t.Errorf("%v: banned %v, and lifted %v", prefix(i), banned, !banned)
		}
	}
	sound(t, l.e)
}
