package policy

import (
	"fmt"
	"net/netip"
	"testing"
	"time"
)

// Forged packets over a month of evenings do not ban an address for longer and longer that owns
// accounts, not even while its proof has ended.
func TestForgedBansOfOwnersStayShort(t *testing.T) {
	l := newLab(t)
	for range 60 {
		for a := range 20 {
			l.feed(success(office, fmt.Sprint(1000+a)))
		}
		l.wait(12 * time.Hour)
	}
	l.wait(13 * time.Hour) // the line is down
	l.drop()
	packets := 0
	var longest time.Duration
	for range 12 {
		for i := 0; i < 30 && !l.isBanned(office); i++ {
			l.every(
				time.Second,
				event(
					KindInvalidAccountID,
					ServicePJSIP,
					office,
					fmt.Sprint("f", i),
					fmt.Sprint(i),
				),
			)
			packets++
		}
		for l.isBanned(office) && longest < 16*time.Hour {
			l.wait(time.Minute)
		}
		for _, v := range l.got {
			longest = max(longest, v.Duration)
		}
	}
	if longest > 10*time.Minute {
		t.Errorf(
			"an office that owned 20 accounts for a month, off for a day: %d forged packets ban it for %v",
			packets,
			longest,
		)
	}
}

// A prefix that forged packets ban is banned for BanTime at most, and counts as many bans in the
// budget.
func TestForgedPacketsBanNoPrefixForLong(t *testing.T) {
	l := newLab(t)
	var longest time.Duration
	packets := 0
	for round := range 8 {
		for i := 0; i < 40 && !l.isBanned("203.0.113.200"); i++ {
			l.every(10*time.Millisecond, forged(fmt.Sprintf("203.0.113.%d", 1+(round*40+i)%150)))
			packets++
		}
		for _, v := range l.got {
			if !v.Prefix.IsSingleIP() {
				longest = max(longest, v.Duration)
			}
		}
		if b, ok := l.e.Ban(netip.MustParseAddr("203.0.113.200")); ok {
			l.wait(time.Duration(b.Until-l.now) + time.Second)
		}
	}
	if longest > time.Hour {
		t.Errorf("%d forged packets ban a /24 for up to %v", packets, longest)
	}
}
