package policy

import (
	"net/netip"
	"testing"
)

// An address that a server named is spared from what that server reports, and from nothing else.
func TestLearnedAddresses(t *testing.T) {
	victim := netip.MustParseAddr("203.0.113.5")
	list := (*Protected)(nil).WithLearned([]Learned{
		{victim, 1, "LocalAddress"}, {victim, 3, "LocalAddress"}, {netip.Addr{}, 1, "nothing"},
	})
	for server, want := range map[uint16]bool{0: false, 1: true, 2: false, 3: true} {
		if _, ok := list.ContainsFrom(victim, server); ok != want {
			t.Errorf("from server %d: %t", server, ok)
		}
	}
	if _, ok := list.Contains(victim); ok {
		t.Error("it is protected from all")
	}
	if _, ok := list.Overlaps(netip.PrefixFrom(victim, 32)); ok {
		t.Error("an operator may not ban it")
	}
	if _, ok := list.Contains(netip.MustParseAddr("127.0.0.1")); !ok {
		t.Error("loopback is not protected")
	}
}

func TestBansOfLearnedAddresses(t *testing.T) {
	for name, tt := range map[string]struct {
		servers []uint16 // of the attempts, one after another
		lifted  bool
	}{
		"of that server":      {[]uint16{1, 1, 1, 1}, true},
		"of another one":      {[]uint16{0, 0, 0, 0}, false},
		"of both":             {[]uint16{1, 1, 1, 0}, false},
		"of both, that first": {[]uint16{0, 1, 1, 1}, false},
	} {
		t.Run(name, func(t *testing.T) {
			l := newLab(t)
			addr := netip.MustParseAddr(attacker)
			for i, o := range all(guesses(len(tt.servers), attacker), overStream) {
				o.Server = tt.servers[i]
				l.feed(o)
			}
			if _, ok := l.e.Ban(addr); !ok {
				t.Fatal("not banned")
			}

			l.e.Protect(l.now, (*Protected)(nil).WithLearned([]Learned{{addr, 1, "LocalAddress"}}))
			if _, ok := l.e.Ban(addr); ok == tt.lifted {
				t.Errorf("banned: %t", ok)
			}
		})
	}
}
