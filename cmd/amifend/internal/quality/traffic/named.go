package traffic

import (
	"fmt"
	"net/netip"
	"time"

	"github.com/amifend/amifend/ami"
)

// bystander is a kind of victim: somebody who has nothing to do with the attack in whose name it
// goes on.
type bystander struct {
	name   string
	proved bool // its phones log in, before the attack and during it
	add    func(s *scene) netip.AddrPort
}

// phoneAt returns a kind of victim with one phone at a PBX.
func phoneAt(name string, pbx func(*pbxs) *PBX) bystander {
	return bystander{name, true, func(s *scene) netip.AddrPort {
		// The port that an attacker tries first.
		at := netip.AddrPortFrom(s.customer(s.Rand), 5060)
		l := s.newLine(pbx(s.pbxs), ami.TransportUDP)
		s.start(s.party(), at, 0, func(a *Actor) { a.phone(l) })
		return at
	}}
}

// silent returns a kind of victim that sends no request for which a PBX raises an event.
func silent(name string) bystander {
	return bystander{name, false, func(s *scene) netip.AddrPort {
		at := netip.AddrPortFrom(stranger(s.Rand), 5060)
		s.start(s.party(), at, 0, func(a *Actor) { a.sleep(s.Span) })
		return at
	}}
}

// officeAt returns a kind of victim with many phones, one of them stale, and users with typos.
func officeAt(name string, pbx func(*pbxs) *PBX) bystander {
	return bystander{name, true, func(s *scene) netip.AddrPort {
		return netip.AddrPortFrom(s.clumsyOffice(pbx(s.pbxs)).addr, 5060)
	}}
}

// clumsyOffice adds a party: an office of 20 phones, one of them stale from some hour on, and two
// users with typos.
func (s *scene) clumsyOffice(pbx *PBX) *office {
	since := s.sometime(6)
	party, o := s.newOffice(pbx, ami.TransportUDP, 20, func(i int, l *line) {
		if i == 0 {
			l.wrongFrom, l.wrongTo, l.retry = since, since+s.Stale, 20*time.Second
		}
	})

	party.Misconfigured = true

	for i := range 2 {
		l := s.newLine(pbx, ami.TransportUDP)
		at := anyPort(s.Rand, o.addr)
		s.start(party, at, s.sometime(6), func(a *Actor) { a.mistaken(l, 3+i, false) })
	}
	return o
}

func hosted(p *pbxs) *PBX { return p.hosted }
func legacy(p *pbxs) *PBX { return p.legacy }

// campaign is a way to attack in another's name.
type campaign struct {
	name    string
	role    Role
	masks   func(*pbxs) []mask
	longest time.Duration // that a ban of somebody named may last who never proved itself
	plans   []plan        // in the name of one victim
	turns   []plan        // in the names of many strangers, one after the other
}

// plan prepares what an attacker does in the name of victim(i), the i-th time.
type plan func(s *scene, p *Party, m mask, victim names) func(*Actor)

// names returns the address that the i-th login names.
type names func(a *Actor, i int) netip.AddrPort

// campaigns are the three facts of issue 9.
func campaigns() []campaign {
	// chan_sip believes the Via over every transport.
	chanSIP := func(p *pbxs) (out []mask) {
		for _, t := range transports {
			out = append(out, mask{pbx: p.legacy, transport: t})
		}
		return out
	}
	// A source can be forged over UDP only.
	udp := func(deaf bool) func(*pbxs) []mask {
		return func(p *pbxs) []mask {
			return []mask{{pbx: p.hosted, transport: ami.TransportUDP, deaf: deaf}}
		}
	}

	return []campaign{
		{
			"maddr at chan_sip", Attacker, chanSIP, 10 * time.Minute,
			append(blind(), accuseByOwn, accuseBriefly, accuseByOthers, crackOne),
			[]plan{guessOne, sprayAll, scanAll, crackOne, vouch, shelter, anything},
		},
		{
			"a spoofer", Forger, udp(true), 0,
			blind(),
			[]plan{guessOne, sprayAll, scanAll, anything},
		},
		{
			"a spoofer with an account", Forger, udp(false), 0,
			append(blind(), accuseByOwn, accuseBriefly, accuseByOthers, crackOne, shelter),
			[]plan{guessOne, sprayAll, scanAll, crackOne, vouch, shelter, anything},
		},
	}
}

// named are the classes of issue 9: for each campaign one of each kind of victim.
func named() []entry {
	victims := []bystander{
		phoneAt("phone, PJSIP", hosted), phoneAt("phone, chan_sip", legacy),
		officeAt("office, PJSIP", hosted), officeAt("office, chan_sip", legacy),
		silent("trunk"), silent("stranger"),
	}
	var list []entry

	for _, c := range campaigns() {
		for _, v := range victims {
			list = append(list, c.against(v))
		}
		list = append(list, c.inTurns(), c.network())
	}
	return list
}

// against returns the class of a kind of victim.
func (c campaign) against(v bystander) entry {
	goal := Goal{SIPOnly: !v.proved, Longest: c.longest}

	return entry{fmt.Sprintf("%s, named by %s", v.name, c.name), Victim, goal, func(s *scene) {
		for range max(1, s.Few/3) {
			for _, m := range c.masks(s.pbxs) {
				// Each plan has a victim of its own, so that none hides behind what another one
				// does.
				for _, plan := range c.plans {
					at := v.add(s)
					s.attack(c, m, plan, from(at.Addr()))
				}
			}
		}
	}}
}

// inTurns returns the class of strangers who are named one after the other.
func (c campaign) inTurns() entry {
	goal := Goal{SIPOnly: true, Longest: c.longest}

	return entry{"strangers in turn, named by " + c.name, Victim, goal, func(s *scene) {
		for _, m := range c.masks(s.pbxs) {
			for _, plan := range c.turns {
				var pool []netip.AddrPort
				for range s.Scan {
					pool = append(pool, silent("").add(s))
				}
				s.attack(c, m, plan, func(_ *Actor, i int) netip.AddrPort {
					return pool[i%len(pool)]
				})
			}
		}
	}}
}

// network returns the class of phones in a /24, every address of which the attacker names.
func (c campaign) network() entry {
	return entry{"phones of a network, named by " + c.name, Victim, Goal{}, func(s *scene) {
		for _, m := range c.masks(s.pbxs) {
			s.given = s.given&^0xff + 0x100
			net := netip.PrefixFrom(v4(customers4+s.given), 24)
			s.given += 0x100

			// A ban of the /24 would cut them off.
			for range 2 {
				s.home(s.newLine(m.pbx, ami.TransportUDP), inNet(s.Rand, net))
			}
			s.attack(c, m, sprayAll, func(a *Actor, _ int) netip.AddrPort {
				return anyPort(a.Rand, inNet(a.Rand, net))
			})
		}
	}}
}

// attack adds an attacker of the campaign. Its class goes along with those of the victims.
func (s *scene) attack(c campaign, m mask, make plan, victim names) {
	p := s.extra(c.name, c.role)
	p.Class.Part, p.Class.Goal = Naming, Goal{Attacks: true}

	// Proved victims have logged in for hours when it begins.
	script := make(s, p, m, victim)
	s.start(p, anyPort(s.Rand, stranger(s.Rand)), s.sometime(6), script)
}
