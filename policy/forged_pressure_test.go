package policy

import (
	"fmt"
	"testing"
	"time"
)

// Forged packets from port 5060 before a phone's first proof, and after it, do not keep the phone
// off.
func TestFailuresFromTheSIPPortDoNotUndoProof(t *testing.T) {
	l := newLab(t)
	l.every(time.Second, guesses(2, phone)...)
	l.wait(time.Minute)
	l.every(time.Second, registered(phone))
	off := time.Duration(0)
	for range 24 * 60 {
		if l.isBanned(phone) {
			off += time.Minute
		} else {
			l.every(time.Millisecond, registered(phone))
			l.every(time.Millisecond, guesses(6, phone)...)
		}
		l.wait(time.Minute)
	}
	if off > 0 {
		t.Errorf(
			"a phone that proves itself whenever it can is off for %v of 24 h, by forged packets from port 5060",
			off,
		)
	}
}

// One account and a /64 do not fill the firewall with bans of single addresses.
func TestOneNetworkDoesNotFillTheFirewall(t *testing.T) {
	l := newLab(t, func(o *Options) { o.MaxSources, o.MaxBans = 20_000, 500 })
	l.feed(overStream(success("2001:db8:bad::1", "mine")))
	n := 0
	for i := range 600 {
		for a := range 4 {
			l.every(
				time.Millisecond,
				overStream(
					event(
						KindInvalidAccountID,
						ServicePJSIP,
						fmt.Sprintf("2001:db8:bad::%x", i+2),
						fmt.Sprint("u", a),
						"c",
					),
				),
			)
			n++
		}
	}
	l.drop()
	for i := range 4 {
		l.feed(
			overStream(
				event(KindInvalidAccountID, ServicePJSIP, attacker, fmt.Sprint("u", i), "c"),
			),
		)
	}
	if !l.isBanned(attacker) {
		t.Errorf(
			"500 bans have room, %d TCP requests from one /64 took it all: another attacker is not banned: %v",
			n,
			l.told(),
		)
	}
}

// 65,533 shielded and 4 excused failures are more than one failure.
func TestForgiveRequestSumDoesNotWrap(t *testing.T) {
	l := newLab(t)
	const from = attacker + ":40000"
	l.feed(success(from, "mine"))
	l.every(time.Millisecond, repeat(65_536, wrong(from, "1008"))...)
	l.drop()
	l.every(time.Millisecond, event(KindInvalidAccountID, ServicePJSIP, from, "1008", "key"))
	s := success(from, "mine")
	s.Session = hasher.Session([]byte("key"))
	l.every(time.Millisecond, s)
	l.every(time.Second, success(from, "1008"))
	if l.count(ActionAlert, RuleCompromised) == 0 {
		t.Errorf("a crack after 65,536 guesses is not told: %v", l.told())
	}
}
