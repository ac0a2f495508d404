package nonce

import (
	"net/netip"
	"testing"
	"time"
)

func TestStrays(t *testing.T) {
	s := NewStrays(1)
	at := int64(began) * int64(time.Second)
	note := func(name, to netip.Addr) (Stray, bool) {
		a := maddr(name, to)
		a.At = at
		return s.Note(&a)
	}

	// One name: its sender does not hide, and the destination is the victim.
	for i := range uint32(5) {
		got, ok := note(attacker, victim)
		if !ok || got.Spoofed() || got.Names != 1 || got.Name != attacker || got.To != victim || got.Answers != i+1 {
			t.Fatalf("%+v, %t", got, ok)
		}
	}

	// Three names: the destination reads what it asked for in the names of others.
	names := []netip.Addr{
		victim, other, other, netip.MustParseAddr("192.0.2.9"), netip.MustParseAddr("192.0.2.10"),
	}
	for i, name := range names {
		got, _ := note(name, attacker)
		if want := []int{1, 2, 2, 3, 3}[i]; got.Names != want || got.Spoofed() != (want == 3) {
			t.Errorf("%d: %+v", i, got)
		}
	}
	at += int64(strayTime)
	if got, _ := note(other, attacker); got.Names != 1 || got.Answers != 1 {
		t.Errorf("after a minute: %+v", got)
	}

	for name, a := range map[string]Answer{
		"where it came from": plain(victim),
		"unreadable":         maddr(netip.Addr{}, attacker),
		"cut":                {Received: victim, To: attacker, Cut: true},
	} {
		if got, ok := s.Note(&a); ok {
			t.Errorf("%s: %+v", name, got)
		}
	}
	for i := range 3 * mostStrays {
		note(victim, netip.AddrFrom4([4]byte{11, 0, byte(i >> 8), byte(i)}))
	}
	if n := s.strays.Len(); n > mostStrays {
		t.Errorf("%d are remembered", n)
	}
}
