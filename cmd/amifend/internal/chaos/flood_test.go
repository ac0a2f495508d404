//go:build chaos

package chaos

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"testing"
	"time"

	"github.com/amifend/amifend/ami/amitest"
	"github.com/amifend/amifend/firewall"
)

// forged returns the address that packet i of a flood is said to come from: no two are the same,
// and they are scattered over the whole space.
func forged(i int, ipv6 bool) netip.Addr {
	scattered := uint32(i) * 2654435761 // Knuth: a permutation of 32 bits
	if ipv6 {
		var a [16]byte
		copy(a[:], []byte{0x2a, 0x02})
		binary.BigEndian.PutUint32(a[2:], scattered)
		a[15] = 1
		return netip.AddrFrom16(a)
	}
	return netip.AddrFrom4([4]byte{
		byte(60 + scattered>>24%120), byte(scattered >> 16), byte(scattered >> 8), byte(scattered),
	})
}

// flood sends one forged attempt over UDP from each of n sources, as fast as amifend takes them.
func (s *site) flood(t testing.TB, from, n, each int, ipv6 bool, meanwhile func(i int)) {
	t.Helper()
	const batch = 2000
	before, err := s.status(t)
	if err != nil {
		t.Fatal(err)
	}
	sent := before.Engine.Observed
	for i := from; i < from+n; i++ {
		p := amitest.NewPeer(netip.AddrPortFrom(forged(i, ipv6), 5060).String())
		p.Transport = "UDP"
		for range each {
			events := p.GuessAccount("100")
			s.pbxs[0].Emit(events...)
			sent += uint64(len(events))
		}
		if i%batch != batch-1 {
			continue
		}

		// Asterisk ends a session that is 4 MB behind, and so does this PBX.
		within(t, soon, "amifend has read the flood", func() bool {
			st, err := s.status(t)
			return err == nil && st.Engine.Observed+2*batch >= sent
		})
		meanwhile(i)
	}
}

// A flood of forged sources: a phone that proved itself stays, an attacker is banned meanwhile.
func TestFloodOfSources(t *testing.T) {
	for _, family := range []string{"IPv4", "IPv6"} {
		t.Run(family, func(t *testing.T) {
			r := begin(t, "a flood of forged "+family+" sources, one packet each",
				"no phone that proved itself is banned, attackers over TCP "+
					"are, memory stays below 350 MB")
			s := newSite(t, 2)
			p, _ := s.start(t)
			phone := amitest.NewPeer("198.51.100.9:5060")
			phone.Transport = "TLS"
			s.pbxs[1].Emit(phone.Register("200")...)

			// The phone's address is forged, too, more often than bans a stranger.
			began := time.Now()
			n := times(50_000, 1_000_000)
			s.flood(t, 0, n, 1, family == "IPv6", func(i int) {
				liar := amitest.NewPeer("198.51.100.9:5060")
				s.pbxs[1].Emit(liar.GuessAccount("100")...)
				if i%20_000 == 19_999 {
					r.took("attack over TCP to ban", s.bansOne(t, s.pbxs[1], attacker(i/20_000)))
				}
			})
			r.n = n
			rate := float64(n) / time.Since(began).Seconds()

			if has := s.bans(t); has[netip.MustParsePrefix("198.51.100.9/32")] {
				t.Error("a phone that proved itself is banned")
			}
			if mb := p.memory(); mb > most {
				t.Errorf("it used %d MB", mb)
			}
			r.note = fmt.Sprintf("%.0f sources a second, at most %d MB", rate, p.memory())
			p.stop(t)
		})
	}
}

// A full set: bans on forgeable evidence find no room first, and push none out.
func TestFullSet(t *testing.T) {
	r := begin(t,
		"forged packets of many sources fill the room for bans",
		"a ban on proven evidence still finds room in the kernel, and none that is proven "+
			"gives way",
	)
	s := newSite(t, 1)
	const room = 1000
	s.lines = fmt.Sprintf("[firewall]\nmax_bans = %d\n[policy]\nforgeable_bans_per_minute = 100000\n", room)
	p, _ := s.start(t)

	// Proven ones before the flood, and after it.
	proven := 100
	for i := range proven {
		guess(s.pbxs[0], attacker(i), 4)
	}
	s.bansOne(t, s.pbxs[0], attacker(proven))
	s.flood(t, 0, 4000, 4, false, func(int) {})
	r.n = 4000

	table, err := firewall.Open(firewall.Options{Table: "amifend", NetNS: s.FD()})
	if err != nil {
		t.Fatal(err)
	}
	defer table.Close()
	list, err := table.Bans(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	scopes := map[firewall.Scope]int{}
	for _, e := range list {
		scopes[e.Scope]++
	}
	if n := scopes[firewall.ScopeSIP]; n == 0 || n > room/2 {
		t.Errorf("%d bans on forged packets, want up to half of %d", n, room)
	}
	if st, err := s.status(t); err != nil || st.Engine.Refused == 0 {
		t.Errorf("nothing was refused: the flood did not fill the room: %+v, %v", st.Engine, err)
	}

	for i := range times(50, 300) {
		r.took("attack over TCP to ban, at a full set", s.bansOne(t, s.pbxs[0], attacker(1000+i)))
	}
	for i := range proven {
		if !s.isBanned(t, attacker(i)) {
			t.Fatalf("the ban of %s gave way", attacker(i))
		}
	}
	r.note = fmt.Sprintf("%d forged bans of %d have room", scopes[firewall.ScopeSIP], room)
	p.stop(t)
}
