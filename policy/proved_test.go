package policy

import (
	"net/netip"
	"slices"
	"testing"
	"time"
)

// Only a success whose address nobody could have chosen counts, until the proof has ended.
func TestProvedByNobody(t *testing.T) {
	l := newLab(t)
	l.feed(overStream(registered("198.51.100.1")), registered("198.51.100.2"),
		overStream(wrong("198.51.100.3", "1007")), overStream(registered("2001:db8::1")))

	// A success that may be forged takes nothing away.
	l.feed(registered("198.51.100.1"))
	firm := func() (out []netip.Addr) {
		for next := 0; ; {
			var addrs []netip.Addr
			addrs, next = l.e.ProvedByNobody(next, 1)
			out = append(out, addrs...)
			if next == 0 {
				slices.SortFunc(out, netip.Addr.Compare)
				return out
			}
		}
	}

	want := []netip.Addr{hostAddr("198.51.100.1"), hostAddr("2001:db8::1")}
	if got := firm(); !slices.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
	if got, next := l.e.ProvedByNobody(0, 1000); len(got) != 2 || next != 0 {
		t.Errorf("at once: %v, then %d", got, next)
	}

	// A proof that has ended does not come back by a success that may be forged.
	l.wait(l.e.opt.ProofWindow + time.Hour)
	l.feed(registered("198.51.100.1"))
	if got := firm(); len(got) != 0 {
		t.Errorf("%v after the proof window, want none", got)
	}
}

// Every success proves its source, whoever could have chosen the address, until the proof has ended.
func TestProved(t *testing.T) {
	l := newLab(t)
	l.feed(overStream(registered("198.51.100.1")), registered("198.51.100.2"),
		overStream(wrong("198.51.100.3", "1007")), overStream(registered("2001:db8::1")))

	var all []Proof
	for next, end := 0, false; !end; end = next == 0 {
		var part []Proof
		part, next = l.e.Proved(next, 1)
		all = append(all, part...)
	}
	slices.SortFunc(all, func(a, b Proof) int { return a.Addr.Compare(b.Addr) })
	want := []netip.Addr{hostAddr("198.51.100.1"), hostAddr("198.51.100.2"), hostAddr("2001:db8::1")}
	for i, a := range want {
		if len(all) != len(want) || all[i].Addr != a || l.now-all[i].At > int64(time.Second) {
			t.Fatalf("%v at %d, want %v", all, l.now, want)
		}
	}

	l.wait(l.e.opt.ProofWindow + time.Hour)
	if got, next := l.e.Proved(0, 1000); len(got) != 0 || next != 0 {
		t.Errorf("%v after the proof window, then %d", got, next)
	}
}
