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
