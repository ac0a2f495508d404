package policy

import (
	"fmt"
	"net/netip"
	"testing"
	"time"
)

// Whoever owns one account and a /64, logs in at a fresh address, guesses three times and moves on,
// is banned or alerted.
func TestOwnerOfASixtyFourRotatesSeen(t *testing.T) {
	for _, stream := range []bool{false, true} {
		l := newLab(t)
		send := func(o Observation) {
			o.Stream = stream
			l.every(10*time.Millisecond, o)
		}
		n := 0
		for i := range 1000 {
			addr := fmt.Sprintf("2001:db8:bad::%x", i+1)
			send(success(addr, "mine"))
			for range 3 {
				send(wrong(addr, "1008"))
				n++
			}
		}
		if len(l.got) == 0 {
			t.Errorf(
				"stream %v: %d wrong passwords for one account in 40 s from one /64: no ban, no alert",
				stream,
				n,
			)
		}
		l.drop()
		addr := "2001:db8:bad::ffff:1"
		send(success(addr, "mine"))
		send(wrong(addr, "1008"))
		send(success(addr, "1008"))
		if l.count(ActionAlert, RuleCompromised)+l.count(ActionAlert, RuleSuspectLogin) == 0 {
			t.Errorf("stream %v: the crack after %d guesses is not told", stream, n)
		}
	}
}

// The same with 250 hosts that share one account, each in a /24 of its own.
func TestBotnetThatSharesAnAccount(t *testing.T) {
	l := newLab(t)
	n := 0
	for minute := range 10 {
		for i := range 250 {
			addr := fmt.Sprintf("%d.%d.113.5", 20+i/100, i%100)
			if minute == 0 {
				l.every(time.Millisecond, overStream(success(addr, "mine")))
			}
			for range 4 {
				if _, banned := l.e.Ban(netip.MustParseAddr(addr)); !banned {
					n++
					l.every(time.Millisecond, overStream(wrong(addr, "1008")))
				}
			}
		}
		l.wait(time.Minute)
	}
	bans := 0
	for _, v := range l.got {
		if v.Action == ActionBan {
			bans++
		}
	}
	if n > 250*6 {
		t.Errorf(
			"250 hosts: %d guesses on one account within ten minutes, %d bans, %d alerts",
			n,
			bans,
			len(l.got)-bans,
		)
	}
}
