package traffic

import (
	"fmt"
	"net/netip"
	"time"

	"github.com/amifend/amifend/ami"
)

// forgery is a stream of forged packets.
type forgery struct {
	pbx      *PBX
	accounts func(a *Actor, i int) string
	victim   func(a *Actor, i int) netip.AddrPort
	bare     bool // without credentials
	inject   bool // with injected headers
	nonce    bool // the forger reads the nonce at an address of its own: chan_sip has one a dialog
	n        int
	gap      time.Duration
}

// forgeAll sends the stream.
func (a *Actor) forgeAll(f forgery) {
	for i := range f.n {
		a.forge(f.pbx, f.victim(a, i), request{
			account: f.accounts(a, i), credentials: !f.bare, fresh: f.nonce,
			session: a.newSession(), injection: f.inject,
		})

		if !a.sleep(f.gap) {
			return
		}
	}
}

// unknownAccount returns an account that no PBX has. Each actor has its own list.
func unknownAccount(a *Actor, i int) string { return fmt.Sprint(20_000_000 + 1000*a.id + i%1000) }

// common returns the i-th account of the list with which most scanners begin.
func common(_ *Actor, i int) string { return fmt.Sprint(100 + i%900) }

// canary returns an account that nobody legitimate uses.
func canary(_ *Actor, i int) string { return Canaries[i%len(Canaries)] }

// always returns a function that returns the same account each time.
func always(name string) func(*Actor, int) string {
	return func(*Actor, int) string { return name }
}

// from returns a function that names an address with any port.
func from(addr netip.Addr) func(*Actor, int) netip.AddrPort {
	return func(a *Actor, _ int) netip.AddrPort { return anyPort(a.Rand, addr) }
}

// pace is the speed and the length of a forger's stream.
type pace struct {
	n   int
	gap time.Duration
}

// of returns a forgery at this pace.
func (p pace) of(f forgery) forgery {
	f.n, f.gap = p.n, p.gap
	return f
}

// paces are a flood of ten minutes and a drizzle of days.
func (s *scene) paces() []pace {
	return []pace{
		{6000, 100 * time.Millisecond},
		{int(s.Span / time.Minute), time.Minute},
	}
}

// forgedHome adds a home phone in whose name packets are forged once it has proved itself.
func (s *scene) forgedHome(f func(l *line, victim netip.Addr) forgery) {
	for _, p := range s.paces() {
		for range max(1, s.Few/3) {
			l, addr := s.newLine(s.pbxs.hosted, ami.TransportUDP), s.customer(s.Rand)
			s.home(l, addr)

			forged := p.of(f(l, addr))
			s.forger(s.sometime(6), func(a *Actor) { a.forgeAll(forged) })
		}
	}
}

// forgedPhones are phones in whose names packets are forged.
func forgedPhones() []entry {
	return []entry{
		{"phone, forged with many accounts", Victim, Goal{}, func(s *scene) {
			s.forgedHome(func(l *line, v netip.Addr) forgery {
				return forgery{pbx: l.pbx, accounts: unknownAccount, victim: from(v)}
			})
		}},
		{"phone, forged without credentials", Victim, Goal{}, func(s *scene) {
			s.forgedHome(func(l *line, v netip.Addr) forgery {
				return forgery{pbx: l.pbx, accounts: unknownAccount, victim: from(v), bare: true}
			})
		}},
		{"phone, forged with another's account", Victim, Goal{}, func(s *scene) {
			other, _ := s.newAccount(s.pbxs.hosted)
			s.forgedHome(func(l *line, v netip.Addr) forgery {
				return forgery{pbx: l.pbx, accounts: always(other), victim: from(v)}
			})
		}},
		{"phone, forged with its own account", Victim, Goal{}, func(s *scene) {
			s.forgedHome(func(l *line, v netip.Addr) forgery {
				return forgery{pbx: l.pbx, accounts: always(l.account), victim: from(v)}
			})
		}},
		{"phone, forged with canary accounts", Victim, Goal{}, func(s *scene) {
			s.forgedHome(func(l *line, v netip.Addr) forgery {
				return forgery{pbx: l.pbx, accounts: canary, victim: from(v)}
			})
		}},
		{"TLS phone, forged over UDP", Victim, Goal{}, func(s *scene) {
			for _, p := range s.paces() {
				l, addr := s.newLine(s.pbxs.hosted, ami.TransportTLS), s.customer(s.Rand)
				s.home(l, addr)

				f := p.of(forgery{pbx: l.pbx, accounts: unknownAccount, victim: from(addr)})
				s.forger(s.sometime(6), func(a *Actor) { a.forgeAll(f) })
			}
		}},
		{"phone on port 5060, forged from 5060", Victim, Goal{}, func(s *scene) {
			for _, p := range s.paces() {
				l := s.newLine(s.pbxs.hosted, ami.TransportUDP)
				at := netip.AddrPortFrom(s.customer(s.Rand), 5060)
				s.start(s.party(), at, 0, func(a *Actor) { a.phone(l) })

				f := p.of(forgery{pbx: l.pbx, accounts: unknownAccount})
				// A forger who knows the phone's address may well guess its port.
				f.victim = func(*Actor, int) netip.AddrPort { return at }
				s.forger(s.sometime(6), func(a *Actor) { a.forgeAll(f) })
			}
		}},
		{"phone, forged with injections", Victim, Goal{}, func(s *scene) {
			s.forgedHome(func(l *line, v netip.Addr) forgery {
				return forgery{pbx: l.pbx, accounts: unknownAccount, victim: from(v), inject: true}
			})
		}},
		{"chan_sip phone, forged", Victim, Goal{}, func(s *scene) {
			for _, p := range s.paces() {
				for _, nonce := range []bool{false, true} {
					l, addr := s.newLine(s.pbxs.legacy, ami.TransportUDP), s.customer(s.Rand)
					s.home(l, addr)

					f := p.of(forgery{pbx: l.pbx, accounts: unknownAccount, victim: from(addr)})
					f.inject, f.nonce = !nonce, nonce
					s.forger(s.sometime(6), func(a *Actor) { a.forgeAll(f) })
				}
			}
		}},
	}
}

// forgedNetworks are offices, trunks and whole networks in whose names packets are forged.
func forgedNetworks() []entry {
	return []entry{
		{"office of 200, forged", Victim, Goal{}, func(s *scene) {
			for _, p := range s.paces() {
				var own []string
				_, o := s.newOffice(s.pbxs.hosted, ami.TransportUDP, s.Crowd, func(_ int, l *line) {
					own = append(own, l.account)
				})

				// Packets with the office's own accounts look like phones with a wrong password.
				theirs := func(a *Actor, _ int) string { return own[a.IntN(len(own))] }
				for _, accounts := range []func(*Actor, int) string{unknownAccount, theirs} {
					f := p.of(forgery{pbx: s.pbxs.hosted, accounts: accounts, victim: from(o.addr)})
					s.forger(s.sometime(6), func(a *Actor) { a.forgeAll(f) })
				}
			}
		}},
		{"trunk on the allowlist, forged", Victim, Goal{}, func(s *scene) {
			p := s.party()
			s.start(p, netip.AddrPortFrom(Trunk, 5060), 0, func(a *Actor) { a.sleep(s.Span) })

			for _, p := range s.paces() {
				f := p.of(forgery{pbx: s.pbxs.hosted, accounts: unknownAccount})
				f.victim = from(Trunk)
				s.forger(s.sometime(6), func(a *Actor) { a.forgeAll(f) })
			}
		}},
		{"phones whose whole network is forged", Victim, Goal{}, wholeNetworks},
		{"phones in a flood from random addresses", Victim, Goal{}, flooded},
	}
}

// flooded adds phones, and a forger that sends a flood in the names of random addresses for ten
// minutes: each tenth packet names one near the phones, or a phone.
func flooded(s *scene) {
	first := s.given
	for range s.Few * 5 {
		s.home(s.newLine(s.pbxs.hosted, ami.TransportUDP), s.customer(s.Rand))
	}
	last := s.given

	f := forgery{pbx: s.pbxs.hosted, accounts: unknownAccount, n: s.FloodRate * 600}
	f.gap = time.Second / time.Duration(s.FloodRate)
	f.victim = func(a *Actor, i int) netip.AddrPort {
		// A flood that is meant for these customers, too.
		if i%10 == 0 {
			return anyPort(a.Rand, v4(customers4+first+a.Uint32N(last-first+1)))
		}
		return anyPort(a.Rand, stranger(a.Rand))
	}

	s.forger(s.sometime(6), func(a *Actor) {
		a.world.flood, a.world.flooding = true, true
		a.forgeAll(f)
		a.world.flooding = false
	})
}

// wholeNetworks adds a /24 and a /64 with two phones each, and forgers that send packets in the
// name of every address there, the phones' too.
func wholeNetworks(s *scene) {
	// A /24 with no other customers, so that only these two phones are to be spared.
	s.given = s.given&^0xff + 0x100
	net4 := netip.PrefixFrom(v4(customers4+s.given), 24)
	s.given += 0x100
	net6 := netip.PrefixFrom(s.customer6(s.Rand), 64)

	for _, n := range []netip.Prefix{net4, net6} {
		var phones []netip.Addr
		for range 2 {
			phones = append(phones, inNet(s.Rand, n))
			s.home(s.newLine(s.pbxs.hosted, ami.TransportUDP), phones[len(phones)-1])
		}

		f := forgery{pbx: s.pbxs.hosted, accounts: unknownAccount, n: 5000, gap: time.Second}
		f.victim = func(a *Actor, i int) netip.AddrPort {
			if i%50 == 0 {
				return anyPort(a.Rand, phones[a.IntN(2)])
			}
			return anyPort(a.Rand, inNet(a.Rand, n))
		}
		s.forger(s.sometime(6), func(a *Actor) { a.forgeAll(f) })
	}
}
