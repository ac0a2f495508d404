package policy

import (
	"fmt"
	"net/netip"
	"testing"
	"time"
)

// R13: README: "By forging: bans of 10 minutes on the SIP ports for addresses that never proved themselves". Twenty-eight forged
// packets in a month of evenings cut an address off for 30 days; that includes an office that owns 20 accounts and was proved
// for a year, whose line is down for a day (proof ends in 24 h).
func TestRedForgedBansOfOwnersStayShort(t *testing.T) {
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
			l.every(time.Second, event(KindInvalidAccountID, ServicePJSIP, office, fmt.Sprint("f", i), fmt.Sprint(i)))
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
		t.Errorf("an office that owned 20 accounts for a month, off for a day: %d forged packets ban it for %v", packets, longest)
	}
}

// R13b: ten forged packets ban a whole /24 of unproved addresses, and the budget counts it as one: "a thousand a minute" is
// 256,000 addresses a minute, for 720 h after some repetitions.
func TestRedForgedPacketsBanNoPrefixForLong(t *testing.T) {
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
