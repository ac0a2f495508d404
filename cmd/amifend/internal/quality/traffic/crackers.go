package traffic

import (
	"fmt"
	"time"

	"github.com/amifend/amifend/ami"
)

// crackers find a password, unless they are stopped.
func crackers() []entry {
	var list []entry

	for _, t := range transports[:2] {
		// The later the right guess comes, the more time a tool has.
		for _, right := range []int{3, 6, 12, 40} {
			name := fmt.Sprintf("cracker, right at guess %d, %s", right, t)

			// This one raises the same events as a user with two typos.
			if right == 3 {
				name = Limit + name
			}
			list = append(list, guessOf(name, Goal{}, func(_ *scene, g *guess) {
				g.transport, g.right = t, right
			}))
		}

		// Slow guesses, and guesses of many accounts, look less like an attack.
		list = append(list,
			guessOf("cracker every 10m, right at guess 12, "+t.String(), Goal{},
				func(s *scene, g *guess) {
					g.transport, g.right, g.gap, g.n = t, 12, 10*time.Minute, 12
				}),
			guessOf("cracker of 50 accounts, right at guess 5, "+t.String(), Goal{},
				func(s *scene, g *guess) {
					g.transport, g.right, g.names = t, 5, s.known(s.pbxs.hosted, 50)
				}))
	}

	list = append(list,
		guessOf(Limit+"svcrack, right at guess 3", Goal{}, func(_ *scene, g *guess) {
			g.oneNonce, g.gap, g.right = true, 20*time.Millisecond, 3
		}),
		guessOf("svcrack, right at guess 6, chan_sip", Goal{}, func(s *scene, g *guess) {
			g.pbx, g.oneNonce, g.gap, g.right = s.pbxs.legacy, true, 20*time.Millisecond, 6
		}),
		guessOf(Limit+"two wrong names, then right at guess 2", Goal{}, func(s *scene, g *guess) {
			account := s.target(s.pbxs.hosted)
			g.right = 4
			g.names = func(a *Actor, i int) string {
				if i < 2 {
					return unknownAccount(a, i)
				}
				return account
			}
		}),
		spreadCrackers("spread crackers, one account, 1 h", time.Hour),
		spreadCrackers("spread crackers, one account, 24 h", 24*time.Hour),
	)
	return list
}

// spreadCrackers are campaigns of 200 hosts with two guesses each. One of all these guesses is
// right.
func spreadCrackers(name string, span time.Duration) entry {
	return entry{name, Attacker, Goal{}, func(s *scene) {
		for range s.Few {
			account := s.target(s.pbxs.hosted)
			since := min(s.sometime(6), s.Span-span)
			for i := range 200 {
				from := anyPort(s.Rand, stranger(s.Rand))
				s.start(s.party(), from, since, func(a *Actor) {
					a.guessTwice(s.pbxs.hosted, account, i, span)
				})
			}
		}
	}}
}

// guessTwice makes the two guesses of the i-th host of a campaign.
func (a *Actor) guessTwice(pbx *PBX, account string, i int, span time.Duration) {
	now := time.Duration(0)
	for j, at := range a.times(2, span) {
		if !a.sleep(at - now) {
			return
		}
		now = at

		r := guessRequest(account, fmt.Sprint("guess", i, j), a.newSession())
		r.transport = ami.TransportUDP
		if i == 150 && j == 1 {
			r.password = pbx.passwords[account]
		}
		if a.attempt(func() answer { return a.login(pbx, r) }) == accepted {
			a.use(pbx, r)
		}
	}
}
