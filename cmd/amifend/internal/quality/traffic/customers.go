package traffic

import (
	"net/netip"
	"time"

	"github.com/amifend/amifend/ami"
)

// line is the account of a phone, and how the phone behaves.
type line struct {
	pbx               *PBX
	account, password string
	auth              string // auth_username, if it is not the account
	transport         ami.Transport
	expiry            time.Duration           // between registrations
	moves             time.Duration           // if not 0, the mean time between changes of address
	roam              func(*Actor) netip.Addr // where to; nil: to another address of the provider
	office            *office

	wrongFrom, wrongTo time.Duration // while the phone is at fault; 0: never, and for ever
	fault              fault         // its fault then
	retry              time.Duration // after a failure
}

// fault is a kind of mistake in the setup of a phone.
type fault uint8

const (
	wrongPassword fault = iota // it was changed at the PBX
	deleted                    // the extension was
	wrongName                  // it never was an account
)

// office is where phones share an address.
type office struct {
	addr   netip.Addr
	reboot time.Duration // when the power came back; 0: never
	within time.Duration // in which time all phones come back
	moved  netip.Addr    // the address since then, if valid
}

// request returns the request of the phone when nothing is wrong.
func (l *line) request(session uint64) request {
	return request{
		account: l.account, authUser: l.auth, password: l.password, session: session,
		transport: l.transport,
	}
}

// current is the request that the phone makes at a time.
func (l *line) current(now time.Duration, session uint64) request {
	r := l.request(session)
	if l.wrongFrom == 0 || now < l.wrongFrom || l.wrongTo > 0 && now >= l.wrongTo {
		return r
	}

	switch l.fault {
	case wrongPassword:
		r.password = "old"
	case deleted:
		r.deleted = true
	case wrongName:
		r.account = "9" + l.account
	}
	return r
}

// newLine adds an account with a phone that registers as most do: hourly, some often to keep a NAT
// open.
func (s *scene) newLine(p *PBX, t ami.Transport) *line {
	l := &line{pbx: p, transport: t, expiry: 55 * time.Minute, retry: time.Minute}
	l.account, l.password = s.newAccount(p)

	// A few phones keep a NAT's mapping open.
	if s.IntN(25) == 0 {
		l.expiry = 4 * time.Minute
	}
	return l
}

// home adds a party of the class with one phone.
func (s *scene) home(l *line, from netip.Addr) { s.settled(s.party(), l, from) }

// settled gives a party its phone.
func (s *scene) settled(p *Party, l *line, from netip.Addr) {
	at := anyPort(s.Rand, from)
	s.start(p, at, time.Duration(s.Int64N(int64(l.expiry))), func(a *Actor) { a.phone(l) })
}

// phone plays a phone that was in use before.
func (a *Actor) phone(l *line) {
	session, rebooted, moves := a.newSession(), false, time.Duration(0)
	if l.moves > 0 {
		moves = a.elapsed() + a.about(l.moves)
	}

	for unanswered := 0; ; {
		// The address changes between two registrations, as at a provider's daily disconnect.
		if l.moves > 0 && a.elapsed() >= moves {
			moves = a.elapsed() + a.about(l.moves)
			a.move(l)
		}

		// Between registrations nothing happens, unless the power goes out.
		wait := a.register(l, session, &unanswered)
		o := l.office
		if o == nil || o.reboot == 0 || rebooted || a.elapsed()+wait < o.reboot {
			if !a.sleep(wait) {
				return
			}
			continue
		}

		// The power comes back before the phone's next registration: it starts anew.
		rebooted, session = true, a.newSession()
		if !a.sleep(o.reboot - a.elapsed() + time.Duration(a.Int64N(int64(o.within)))) {
			return
		}
		if o.moved.IsValid() {
			a.settle(netip.AddrPortFrom(o.moved, 0))
		}
		a.newPort()
	}
}

// register lets a phone register, and now and then place a call. It returns how long the phone
// waits before it registers again, and counts in unanswered how often nobody answered.
func (a *Actor) register(l *line, session uint64, unanswered *int) time.Duration {
	wait := l.expiry - time.Duration(a.Int64N(int64(l.expiry/10)))

	switch a.login(l.pbx, l.current(a.elapsed(), session)) {
	case dropped:
		// The transaction times out, then a pause follows that grows (RFC 5626, section 4.5).
		wait = 32*time.Second + a.about(min(30*time.Minute, 30*time.Second<<min(*unanswered, 8)))
		*unanswered++
	case refused:
		// A phone does not know that its password is wrong: it tries again and again.
		wait = l.retry + time.Duration(a.Int64N(int64(l.retry/10)))
	case challenged:
		// Only a registrar that lost the nonce challenges again, and none does here.
	case accepted:
		*unanswered = 0

		// Now and then a call follows, with a Call-ID of its own.
		if a.IntN(8) == 0 {
			a.sleep(a.about(10 * time.Minute))
			a.login(l.pbx, l.current(a.elapsed(), a.newSession()))
		}
	}
	return wait
}

// move gives the phone another address. Its former one may become another customer's.
func (a *Actor) move(l *line) {
	if l.roam != nil {
		a.settle(anyPort(a.Rand, l.roam(a)))
		return
	}

	// The provider gives the old address to another customer, who must not suffer from its past.
	before := a.from.Addr()
	a.settle(anyPort(a.Rand, a.world.customer(a.Rand)))
	a.world.free = append(a.world.free, before)
}

// newOffice adds a party of n phones behind one address; each may be changed before it starts.
func (s *scene) newOffice(
	p *PBX, t ami.Transport, n int, change func(i int, l *line),
) (*Party, *office) {
	o, party := &office{addr: s.customer(s.Rand)}, s.party()
	party.shared = true

	// All phones are one party, so a ban of one of them is a ban of all.
	for i := range n {
		l := s.newLine(p, t)
		l.office = o
		if change != nil {
			change(i, l)
		}
		s.settled(party, l, o.addr)
	}
	return party, o
}

// transports are those of phones.
var transports = []ami.Transport{ami.TransportUDP, ami.TransportTCP, ami.TransportTLS}

// homes are phones of one user each.
func homes() []entry {
	return []entry{
		{"homes of a provider, UDP", Good, Goal{}, func(s *scene) {
			for range s.Homes {
				l := s.newLine(s.pbxs.hosted, ami.TransportUDP)

				// A third of the lines get another address each day.
				if s.IntN(3) == 0 {
					l.moves = 24 * time.Hour
				}
				s.home(l, s.customer(s.Rand))
			}
		}},
		{"homes, TLS", Good, Goal{}, func(s *scene) {
			for range s.Homes / 10 {
				s.home(s.newLine(s.pbxs.hosted, ami.TransportTLS), s.customer(s.Rand))
			}
		}},
		{"homes, IPv6 privacy addresses", Good, Goal{}, func(s *scene) {
			for range s.Homes / 20 {
				l, from := s.newLine(s.pbxs.hosted, ami.TransportUDP), s.customer6(s.Rand)

				// RFC 8981: another address of the same /64 each day.
				l.moves = 24 * time.Hour
				net := netip.PrefixFrom(from, 64)
				l.roam = func(a *Actor) netip.Addr { return inNet(a.Rand, net) }
				s.home(l, from)
			}
		}},
		{"homes, chan_sip", Good, Goal{}, func(s *scene) {
			for range s.Homes / 20 {
				s.home(s.newLine(s.pbxs.legacy, ami.TransportUDP), s.customer(s.Rand))
			}
		}},
		{"roaming users behind shared addresses", Good, Goal{}, func(s *scene) {
			for i := range s.Few * 5 {
				t := []ami.Transport{ami.TransportUDP, ami.TransportTLS}[i%2]
				l := s.newLine(s.pbxs.hosted, t)
				l.moves, l.roam = 2*time.Hour, func(a *Actor) netip.Addr { return mobile(a.Rand) }
				s.home(l, mobile(s.Rand))
			}
		}},
	}
}

// offices are phones that share an address.
func offices() []entry {
	return []entry{
		{"users who share an address with a scanner, UDP", Good, Goal{}, besideScanners},
		{"phones known by auth_username", Good, Goal{}, knownByAuthName},
		{"offices of 5, 20 and 200 phones", Good, Goal{}, func(s *scene) {
			for _, t := range transports {
				for _, n := range []int{5, s.Crowd / 10, s.Crowd} {
					s.newOffice(s.pbxs.hosted, t, n, nil)
				}
			}

			// chan_sip phones use UDP.
			s.newOffice(s.pbxs.legacy, ami.TransportUDP, 20, nil)
		}},
		{"reboot storms of 200 phones", Good, Goal{}, func(s *scene) {
			for i := range 4 {
				reboot, moved := s.sometime(6), netip.Addr{}

				// Half of the offices come back with another address.
				if i == 1 || i == 2 {
					moved = s.customer(s.Rand)
				}

				within := []time.Duration{time.Minute, 2 * time.Second}[i%2]
				s.newOffice(s.pbxs.hosted, transports[i/2], 200, func(_ int, l *line) {
					l.office.reboot, l.office.moved, l.office.within = reboot, moved, within
				})
			}
		}},
		{"office on chan_sip with a stale phone and typos", Good, Goal{}, func(s *scene) {
			for range s.Few {
				s.clumsyOffice(s.pbxs.legacy)
			}
		}},
		{"offices with one stale phone", Good, Goal{}, stalePhones},
		{"homes with a stale phone", Good, Goal{}, staleHomes},
		{"offices whose passwords were all changed", Good, Goal{}, func(s *scene) {
			for _, t := range transports {
				changed := s.sometime(6)

				// Somebody then corrects one phone after the other.
				party, _ := s.newOffice(s.pbxs.hosted, t, 20, func(i int, l *line) {
					l.wrongFrom = changed
					l.wrongTo = changed + time.Hour + time.Duration(i)*6*time.Minute
				})
				party.Misconfigured = true
			}
		}},
	}
}

// besideScanners adds users, five behind each address, and a scanner behind the same address.
func besideScanners(s *scene) {
	for range s.Few {
		addr, p := s.customer(s.Rand), s.party()
		p.shared = true
		for range 5 {
			s.settled(p, s.newLine(s.pbxs.hosted, ami.TransportUDP), addr)
		}

		h := hunt{
			pbx: s.pbxs.hosted, transport: ami.TransportUDP, names: unknownAccount, n: s.Scan,
			gap: time.Second, onePort: true,
		}
		scanner := s.extra("scanners who share an address with users", Attacker)
		s.start(scanner, anyPort(s.Rand, addr), s.sometime(6), func(a *Actor) { a.scan(h) })
	}
}

// knownByAuthName adds phones at a PBX that knows them by auth_username: homes, an office, and an
// office after a power cut.
func knownByAuthName(s *scene) {
	named := func(_ int, l *line) { l.account, l.auth = "+4930"+l.account, l.account }
	for range s.Few {
		l := s.newLine(s.pbxs.byAuth, ami.TransportUDP)
		named(0, l)
		s.home(l, s.customer(s.Rand))
	}
	s.newOffice(s.pbxs.byAuth, ami.TransportUDP, 20, named)

	// Its first requests name no account that the PBX knows, and come in one burst.
	reboot := s.sometime(6)
	s.newOffice(s.pbxs.byAuth, ami.TransportUDP, 40, func(i int, l *line) {
		named(i, l)
		l.office.reboot, l.office.within = reboot, 10*time.Second
	})
}

// stalePhones adds offices of which one phone is at fault from some day on, until somebody mends
// it.
func stalePhones(s *scene) {
	for _, t := range transports {
		for _, n := range []int{2, s.Crowd / 10, s.Crowd / 2} {
			for _, retry := range []time.Duration{20 * time.Second, time.Minute} {
				for f := wrongPassword; f <= wrongName; f++ {
					since := s.sometime(6)

					party, _ := s.newOffice(s.pbxs.hosted, t, n, func(i int, l *line) {
						if i == 0 {
							l.wrongFrom, l.wrongTo = since, since+s.Stale
							l.retry, l.fault = retry, f
						}
					})
					party.Misconfigured = true
				}
			}
		}
	}
}

// staleHomes adds homes whose only phone has an old password, or an extension that was deleted,
// after it worked for hours.
func staleHomes(s *scene) {
	for _, t := range transports {
		for _, retry := range []time.Duration{20 * time.Second, time.Minute} {
			for f := wrongPassword; f <= deleted; f++ {
				l := s.newLine(s.pbxs.hosted, t)
				l.wrongFrom, l.retry, l.fault = s.sometime(6), retry, f
				l.wrongTo = l.wrongFrom + s.Stale

				p := s.party()
				p.Misconfigured = true
				s.settled(p, l, s.customer(s.Rand))
			}
		}
	}
}
