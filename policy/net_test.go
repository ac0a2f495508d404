package policy

import (
	"fmt"
	"net/netip"
	"testing"
	"time"
)

func host6(i int) string { return fmt.Sprintf("2001:db8:bad::%x", i+1) }

func TestFirstOffenderOfA64IsBannedAlone(t *testing.T) {
	l := newLab(t)
	l.scan(host6(0))
	l.wants("ban 2001:db8:bad::1/128 all proven_score")
}

func TestSecondOffenderBansThe64(t *testing.T) {
	l := newLab(t)
	l.scan(host6(0))
	l.wait(8 * 4 * time.Hour) // the score of the /64 is gone
	l.feed(repeat(3, event(KindInvalidAccountID, ServiceAMI, host6(1), "a", ""))...)
	l.wants("ban 2001:db8:bad::1/128 all proven_score")
	l.feed(event(KindInvalidAccountID, ServiceAMI, host6(1), "a", ""))
	l.wants("ban 2001:db8:bad::1/128 all proven_score", "ban 2001:db8:bad::/64 all second_offender")
	l.scan(host6(2))
	if len(l.got) != 2 {
		t.Errorf("the /64 is banned, and yet: %v", l.told()[2:])
	}
}

func TestRotationInA64IsBannedLikeOneAddress(t *testing.T) {
	l := newLab(t)
	for i := range 4 {
		l.quiet()
		l.feed(forged(host6(i)))
	}
	l.wants("ban 2001:db8:bad::/64 sip spread_score")
	if v := l.got[0]; v.Attempts != 4 || len(v.Evidence) != 4 {
		t.Errorf("got %s", brief(v))
	}
}

func TestHostsWhereA64MayNotBeBanned(t *testing.T) {
	net64 := netip.MustParsePrefix("2001:db8:bad::/64")
	protected := NewProtected(
		[]ProtectedEntry{{netip.MustParsePrefix("2001:db8:bad::ffff/128"), "trunk"}},
		nil,
	)
	for name, prepare := range map[string]func(l *lab){
		"a protected address": func(l *lab) { l.e.Protect(l.now, protected) },
		"on-link":             func(l *lab) { l.e.Protect(l.now, NewProtected(nil, []netip.Prefix{net64})) },
		"on-link, longer": func(l *lab) {
			l.e.Protect(l.now, NewProtected(nil, []netip.Prefix{netip.MustParsePrefix("2001:db8:bad::/80")}))
		},
		"on-link, shorter": func(l *lab) {
			l.e.Protect(l.now, NewProtected(nil, []netip.Prefix{netip.MustParsePrefix("2001:db8::/32")}))
		},
		"a proved address": func(l *lab) { l.feed(registered("2001:db8:bad::ffff")) },
	} {
		t.Run(name, func(t *testing.T) {
			l := newLab(t)
			prepare(l)
			for i := range 3 {
				l.scan(host6(i))
			}
			l.wants(
				"ban 2001:db8:bad::1/128 all proven_score",
				"ban 2001:db8:bad::2/128 all proven_score",
				"ban 2001:db8:bad::3/128 all proven_score",
			)
		})
	}
}

// Ranges whose /64 holds unrelated hosts.
func TestHostOnlyRanges(t *testing.T) {
	for _, base := range []string{"fe80::", "64:ff9b::cb00:71", "64:ff9b:1::", "2001:0:c000:201::"} {
		l := newLab(t)
		for i := range 8 {
			l.feed(
				event(
					KindInvalidAccountID,
					ServiceAMI,
					fmt.Sprintf("%s%02x", base, i),
					fmt.Sprint(i),
					"",
				),
			)
		}
		l.quiet()
		l.scan(base + "01")
		l.scan(base + "02")
		for _, v := range l.got {
			if v.Prefix.Bits() != 128 {
				t.Errorf("%s: got %v", base, v.Prefix)
			}
		}
		if len(l.got) != 2 {
			t.Errorf("%s: got %d bans, want 2", base, len(l.got))
		}
	}
}

// A phone that proves itself behind a /64 that was banned for its neighbours gets out; one that
// failed itself does not.
func TestProofLiftsTheBanOfA64ForTheInnocent(t *testing.T) {
	l := newLab(t)
	for i := range 4 {
		l.feed(forged(host6(i)))
	}
	l.feed(registered(host6(0)))
	l.wants("ban 2001:db8:bad::/64 sip spread_score")
	l.feed(registered("2001:db8:bad::ffff"))
	l.wants("ban 2001:db8:bad::/64 sip spread_score", "unban 2001:db8:bad::/64 sip proved")
	l.feed(repeat(100, forged(host6(9)))...)
	l.wants(
		"ban 2001:db8:bad::/64 sip spread_score",
		"unban 2001:db8:bad::/64 sip proved",
		"ban 2001:db8:bad::a/128 sip score",
	)
}

func TestA64BanBecomesLarger(t *testing.T) {
	l := newLab(t)
	for i := range 4 {
		l.feed(forged(host6(i)))
	}
	for i := range 4 {
		l.feed(overStream(forged(host6(i))))
	}
	l.wants("ban 2001:db8:bad::/64 sip spread_score", "ban 2001:db8:bad::/64 all spread_score")
	if v := l.got[1]; v.Strike != 1 {
		t.Errorf("got %s", brief(v))
	}
}

// A /64 that was banned as one has its offender: the next other one bans it again.
func TestA64IsBannedAgain(t *testing.T) {
	l := newLab(t)
	for i := range 4 {
		l.feed(overStream(forged(host6(i))))
	}
	l.wait(48 * time.Hour)
	l.scan(host6(9))
	l.wants("ban 2001:db8:bad::/64 all spread_score", "ban 2001:db8:bad::/64 all second_offender")
	if v := l.got[1]; v.Strike != 2 {
		t.Errorf("got %s", brief(v))
	}
}

// A first ban that rests on forged packets is no reason to ban the /64 from everything.
func TestA64IsBannedAgainFromWhatIsCertain(t *testing.T) {
	l := newLab(t)
	for i := range 4 {
		l.feed(forged(host6(i)))
	}
	l.wait(48 * time.Hour)
	l.scan(host6(9))
	l.wants("ban 2001:db8:bad::/64 sip spread_score", "ban 2001:db8:bad::/64 sip second_offender",
		"ban 2001:db8:bad::a/128 all proven_score")
}

// An address that offends again is still one address.
func TestSameOffenderTwiceIsBannedAlone(t *testing.T) {
	l := newLab(t)
	l.scan(host6(0))
	l.wait(time.Hour)
	l.scan(host6(0))
	l.wants("ban 2001:db8:bad::1/128 all proven_score", "ban 2001:db8:bad::1/128 all proven_score")
	if v := l.got[1]; v.Strike != 2 {
		t.Errorf("got %s", brief(v))
	}
}

// An offender that is forgotten, or was lifted, makes no second one of the next.
func TestForgottenOffenderIsNone(t *testing.T) {
	for name, forget := range map[string]func(l *lab){
		"by time": func(l *lab) { l.now += int64(3*strikeFade + 2*time.Hour) },
	} {
		t.Run(name, func(t *testing.T) {
			l := newLab(t)
			l.scan(host6(0))
			forget(l)
			l.got = nil
			l.scan(host6(1))
			l.wants("ban 2001:db8:bad::2/128 all proven_score")
		})
	}
}
