package traffic

import (
	"fmt"
	"time"

	"github.com/amifend/amifend/ami"
)

// users make mistakes when they set up a phone.
func users() []entry {
	return []entry{
		{"users with 2 to 4 typos, at home", Good, Goal{}, func(s *scene) {
			for i := range s.Few * 3 {
				// chan_sip phones use UDP.
				pbx := []*PBX{s.pbxs.hosted, s.pbxs.legacy}[i/3%2]
				l := s.newLine(pbx, ami.TransportUDP)
				if pbx == s.pbxs.hosted {
					l.transport = transports[i%3]
				}

				p, at := s.party(), anyPort(s.Rand, s.customer(s.Rand))
				s.start(p, at, s.sometime(1), func(a *Actor) { a.mistaken(l, 2+i%3, false) })
			}
		}},
		{"users with 2 to 4 typos, in offices", Good, Goal{}, func(s *scene) {
			for i := range s.Few * 3 {
				t := transports[i%3]
				party, o := s.newOffice(s.pbxs.hosted, t, 5, nil)
				l := s.newLine(s.pbxs.hosted, t)
				at := anyPort(s.Rand, o.addr)
				s.start(party, at, s.sometime(6), func(a *Actor) { a.mistaken(l, 2+i%3, false) })
			}
		}},
		{"users with 2 typos, each tried twice by the phone", Good, Goal{}, func(s *scene) {
			for i := range s.Few * 3 {
				l := s.newLine(s.pbxs.hosted, transports[i%3])
				p, at := s.party(), anyPort(s.Rand, s.customer(s.Rand))
				s.start(p, at, s.sometime(1), func(a *Actor) { a.mistakenTwice(l) })
			}
		}},
		{"users with a typo in the name", Good, Goal{}, func(s *scene) {
			for i := range s.Few {
				l := s.newLine(s.pbxs.hosted, transports[i%3])
				p, at := s.party(), anyPort(s.Rand, s.customer(s.Rand))
				s.start(p, at, s.sometime(1), func(a *Actor) { a.mistaken(l, 1+i%2, true) })
			}
		}},
	}
}

// mistaken plays a user who sets up a phone: some typos, at human pace, then the right password.
func (a *Actor) mistaken(l *line, typos int, name bool) {
	for range typos {
		r := l.request(a.newSession())
		r.password = "typo"
		if name {
			r.account = fmt.Sprint(r.account, a.IntN(10))
		}
		a.login(l.pbx, r)
		a.sleep(a.about(40 * time.Second))
	}

	a.phone(l)
}

// mistakenTwice plays a user with two typos, whose phone tries each password twice.
func (a *Actor) mistakenTwice(l *line) {
	for range 2 {
		for range 2 {
			r := l.request(a.newSession())
			r.password = "typo"
			a.login(l.pbx, r)
			a.sleep(a.about(200 * time.Millisecond))
		}
		a.sleep(a.about(40 * time.Second))
	}

	a.phone(l)
}
