package traffic

import (
	"net/netip"
	"time"

	"github.com/amifend/amifend/ami"
)

// limits are the classes of that kind, but for the botnets that pause.
func limits() []entry {
	return []entry{
		guessOf(Limit+"cracker at a typist's pace, right at guess 3", Goal{},
			func(_ *scene, g *guess) { g.gap, g.right = 40*time.Second, 3 }),
		guessOf(Limit+"cracker, a guess a second, right at guess 3", Goal{},
			func(_ *scene, g *guess) { g.gap, g.right = time.Second, 3 }),
		guessOf(Limit+"cracker, another port each, right at guess 3", Goal{},
			func(_ *scene, g *guess) { g.onePort, g.right = false, 3 }),
		{Limit + "offices with a stale phone at the first start", Good, Goal{}, func(s *scene) {
			for _, t := range transports {
				for _, n := range []int{2, s.Crowd / 10, s.Crowd / 2} {
					s.newOffice(s.pbxs.hosted, t, n, func(i int, l *line) {
						if i == 0 {
							l.wrongFrom, l.wrongTo, l.retry = 1, s.Stale, 20*time.Second
						}
					})
				}
			}
		}},
		{Limit + "offices known by auth_username after a power cut", Good, Goal{}, func(s *scene) {
			for i, t := range transports[:2] {
				reboot, moved := s.sometime(6), netip.Addr{}
				if i == 0 {
					moved = s.customer(s.Rand)
				}

				s.newOffice(s.pbxs.byAuth, t, 40, func(_ int, l *line) {
					l.account, l.auth = "+4930"+l.account, l.account
					l.office.reboot, l.office.moved, l.office.within = reboot, moved, 10*time.Second
				})
			}
		}},
		{Limit + "owners who move while a botnet guesses", Good, Goal{}, func(s *scene) {
			for range s.Few {
				l := s.newLine(s.pbxs.hosted, ami.TransportUDP)
				l.moves = 24 * time.Hour
				s.home(l, s.customer(s.Rand))

				// The owner's first login at a new address looks like a guess that was right.
				h := hunt{pbx: l.pbx, transport: l.transport, names: always(l.account), n: 3}
				h.gap = s.Span / 4
				for range 100 {
					p := s.extra(Limit+"botnet that guesses those owners' accounts", Attacker)
					since := time.Duration(s.Int64N(int64(s.Span / 4)))
					from := anyPort(s.Rand, stranger(s.Rand))
					s.start(p, from, since, func(a *Actor) { a.guessAll(guess{hunt: h}) })
				}
			}
		}},
	}
}
