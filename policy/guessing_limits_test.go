package policy

import (
	"fmt"
	"testing"
	"time"
)

// Accounts beyond the 64 that are remembered of a source are no misconfigured endpoint: guesses on
// them over TCP count.
func TestSpareRecordExcusesNothing(t *testing.T) {
	l := newLab(t)
	l.feed(success(attacker, "mine"))
	l.every(time.Millisecond, guesses(70, attacker)...)
	l.drop()
	n := l.attemptsUntil(
		10_000,
		10*time.Millisecond,
		func(int) Observation { return overStream(wrong(attacker, "1008")) },
	)
	if n == 0 {
		t.Errorf("10,000 wrong passwords for 1008 over TCP in 100 s, no ban; told: %v", l.told())
	}
	l.drop()
	l.feed(overStream(success(attacker, "1008")))
	if l.count(ActionAlert, RuleCompromised) == 0 {
		t.Error("the crack is not told")
	}
}

// A home with one good phone and a stale one, over TLS, is not banned because forged packets over
// UDP name the stale account.
func TestForgedStrangersDoNotBanAHomeOverTLS(t *testing.T) {
	for _, forgers := range []int{0, 5} {
		l := newLab(t)
		for range 20 {
			l.feed(overStream(registered(phone)))
			l.wait(12 * time.Hour)
		}
		for i := range forgers {
			l.feed(
				event(
					KindInvalidAccountID,
					ServicePJSIP,
					fmt.Sprintf("%d.0.113.5", 20+i),
					"1005",
					"f",
				),
			)
		}
		for range 30 {
			l.every(
				30*time.Second,
				overStream(event(KindInvalidAccountID, ServicePJSIP, phone, "1005", "stale")),
				overStream(registered(phone)),
			)
		}
		for _, v := range l.got {
			if v.Action == ActionBan {
				t.Errorf("%d forged packets: %s", forgers, brief(v))
				break
			}
		}
	}
}

// The owner of one account and a /64 who makes few guesses on each of many accounts is banned or
// alerted.
func TestOwnerOfASixtyFourSprays(t *testing.T) {
	for _, stream := range []bool{false, true} {
		l := newLab(t)
		n, host := 0, 0
		for account := range 300 {
			for range 2 {
				host++
				addr := fmt.Sprintf("2001:db8:bad::%x", host)
				guess := wrong(addr, fmt.Sprint(1000+account))
				for _, o := range append([]Observation{success(addr, "mine")}, repeat(3, guess)...) {
					o.Stream = stream
					l.every(50*time.Millisecond, o)
				}
				n += 3
			}
		}
		if len(l.got) == 0 {
			t.Errorf(
				"stream %v: %d wrong passwords on 300 accounts within 2 minutes from one /64: no ban, no alert",
				stream,
				n,
			)
		}
	}
}
