package traffic

import (
	"fmt"
	"net/netip"
	"time"

	"github.com/amifend/amifend/ami"
)

// guess describes how an attacker guesses passwords.
type guess struct {
	hunt
	oneNonce bool // svcrack: one challenge, then every guess under its nonce and Call-ID
	right    int  // which guess is the right password; 0: none
}

// guessAll guesses passwords of the accounts of h.names. After a success it uses the account for
// some hours.
func (a *Actor) guessAll(g guess) {
	session, nonce, answered := a.newSession(), false, true

	for i := range g.n {
		a.prepare(g.hunt, answered)
		if !g.oneNonce && !g.oneSession {
			session = a.newSession()
		}

		p := g.server(i)
		r := request{account: g.names(a, i), password: fmt.Sprint("guess", i), session: session}
		r.transport = g.over(i)
		if i+1 == g.right {
			r.password = p.passwords[r.account]
		}

		// svcrack goes on with the nonce of its first challenge, which every PBX takes while a
		// guess is wrong.
		ans := a.attempt(func() answer {
			if g.oneNonce && nonce {
				r.credentials, r.fresh = true, true
				return a.send(p, r)
			}
			return a.login(p, r)
		})
		answered = ans != dropped
		nonce = nonce || ans == refused

		// An attacker that has found a password stops guessing, and places calls.
		if ans == accepted {
			a.use(p, r)
			return
		}
		if !a.sleep(a.about(g.gap)) {
			return
		}
	}
}

// use places calls over a cracked account.
func (a *Actor) use(p *PBX, r request) {
	for range 12 {
		if !a.sleep(a.about(30 * time.Minute)) {
			return
		}
		r.session = a.newSession()
		a.login(p, r)
	}
}

// target adds an account that its owner uses at home.
func (s *scene) target(p *PBX) string {
	l := s.newLine(p, ami.TransportUDP)
	s.settled(s.extra("owners of the attacked accounts", Good), l, s.customer(s.Rand))
	return l.account
}

// guessOf is a class of guessers, each of one account.
func guessOf(name string, goal Goal, change func(s *scene, g *guess)) entry {
	return entry{name, Attacker, goal, func(s *scene) {
		for range s.Few {
			g := guess{hunt: hunt{
				pbx: s.pbxs.hosted, transport: ami.TransportUDP, n: s.Scan,
				gap: 100 * time.Millisecond, onePort: true,
			}}
			change(s, &g)
			if g.names == nil {
				g.names = always(s.target(g.pbx))
			}

			from := anyPort(s.Rand, stranger(s.Rand))
			s.start(s.party(), from, s.sometime(1), func(a *Actor) { a.guessAll(g) })
		}
	}}
}

// guessers guess passwords of accounts that exist.
func guessers() []entry {
	transport := func(t ami.Transport) func(*scene, *guess) {
		return func(_ *scene, g *guess) { g.transport = t }
	}
	spray := func(s *scene, g *guess) { g.names = s.known(s.pbxs.hosted, 50) }

	list := []entry{
		guessOf("password guesser, UDP", guessGoal, transport(ami.TransportUDP)),
		guessOf("password guesser, TCP", guessGoal, transport(ami.TransportTCP)),
		guessOf("password guesser, TLS", guessGoal, transport(ami.TransportTLS)),

		// svcrack asks for one challenge and sends all guesses under it.
		guessOf("svcrack, UDP", guessGoal, func(_ *scene, g *guess) {
			g.oneNonce, g.gap = true, 20*time.Millisecond
		}),
		guessOf("svcrack, chan_sip", guessGoal, func(s *scene, g *guess) {
			g.pbx, g.oneNonce, g.gap = s.pbxs.legacy, true, 20*time.Millisecond
		}),

		// To rotate ports, transports or servers must not hide an address.
		guessOf("password guesser, ports rotated", guessGoal, func(_ *scene, g *guess) {
			g.onePort = false
		}),
		guessOf("password guesser, transports rotated", guessGoal, func(_ *scene, g *guess) {
			g.rotate = true
		}),
		guessOf("password guesser, four servers", guessGoal, func(s *scene, g *guess) {
			// All four have an account of this name.
			for range 4 {
				p, _ := s.newSystem(1)
				g.pbxs = append(g.pbxs, p)
			}
			g.names = always("10000")
		}),

		// A sprayer tries few passwords on each of many accounts.
		guessOf("password sprayer, UDP", guessGoal, spray),
		guessOf("password sprayer, TCP", guessGoal, func(s *scene, g *guess) {
			spray(s, g)
			g.transport = ami.TransportTCP
		}),
		guessOf("password sprayer, every 10m", slowGoal, func(s *scene, g *guess) {
			spray(s, g)
			g.gap, g.n = 10*time.Minute, int(s.Span/(10*time.Minute))
		}),

		// These stop before the threshold, and come back when the score has decayed.
		pausing("pausing: 3 accounts, 2 h", 3, 2*time.Hour, true),
		pausing("pausing: 3 accounts, 6 h", 3, 6*time.Hour, true),
		pausing("pausing: 6 passwords, 2 h", 6, 2*time.Hour, false),
		pausing("pausing: 6 passwords, 6 h", 6, 6*time.Hour, false),
		{"recidivists: 100 accounts, 2 h, for days", Attacker, scanGoal, func(s *scene) {
			h := hunt{
				pbx: s.pbxs.hosted, transport: ami.TransportUDP, names: unknownAccount, n: 100,
				gap: time.Second, onePort: true,
			}
			s.hunters(func(a *Actor) {
				for ok := true; ok; ok = a.sleep(a.about(2 * time.Hour)) {
					a.scan(h)
				}
			})
		}},
	}

	for _, gap := range slowGaps {
		for _, t := range transports[:2] {
			name := "password guesser every " + short(gap) + ", " + t.String()
			list = append(list, guessOf(name, slowGoal, func(s *scene, g *guess) {
				g.transport, g.gap, g.n = t, gap, int(s.Span/gap)
			}))
		}
	}
	return list
}

// owner describes the guesses of an attacker that has an account of its own.
type owner struct {
	transport ami.Transport // of the guesses
	login     ami.Transport // of the logins to its own account
	first     bool          // it logs in before the first guess
	every     int           // guesses between logins
	accounts  int           // how many accounts it guesses
	gap       time.Duration
	right     int // which guess is, if any: then it guesses one account, whose owner works
}

// ownerOf is a class of guessers who own an account.
func ownerOf(name string, goal Goal, o owner) entry {
	return entry{name, Attacker, goal, func(s *scene) {
		for range s.Few {
			p, pbx := s.party(), s.pbxs.hosted
			own, password := s.newAccount(pbx)
			p.owns = map[string]bool{own: true}
			names := s.known(pbx, o.accounts)
			if o.right > 0 {
				names = always(s.target(pbx))
			}

			// A scene's numbers are drawn here: a script must not change what others plan.
			from, n := anyPort(s.Rand, stranger(s.Rand)), s.Scan
			mine := request{account: own, password: password, transport: o.login}
			s.start(p, from, s.sometime(1), func(a *Actor) {
				a.guessAsOwner(pbx, o, mine, names, n)
			})
		}
	}}
}

// guessAsOwner guesses n times and logs in to its own account meanwhile.
func (a *Actor) guessAsOwner(
	pbx *PBX, o owner, mine request, names func(*Actor, int) string, n int,
) {
	login := func() {
		mine.session = a.newSession()
		a.login(pbx, mine)
	}
	if o.first {
		login()
	}

	// The logins in between are what a tool may take for a sign of trust.
	for i := range n {
		r := request{account: names(a, i), password: "guess", session: a.newSession()}
		r.transport = o.transport
		if i+1 == o.right {
			r.password = pbx.passwords[r.account]
		}

		if a.attempt(func() answer { return a.login(pbx, r) }) == accepted {
			a.use(pbx, r)
			return
		}
		if i%o.every == 0 {
			login()
		}
		if !a.sleep(a.about(o.gap)) {
			return
		}
	}
}

// owners guess with an account of their own.
func owners() []entry {
	const udp, tcp, tls = ami.TransportUDP, ami.TransportTCP, ami.TransportTLS
	told := Goal{Told: true}
	const often, slowly = 5 * time.Second, 20 * time.Second

	return []entry{
		ownerOf("guesser with an account, TCP, login first", guessGoal,
			owner{tcp, tcp, true, 5, 50, often, 0}),
		ownerOf("guesser with an account, TCP, login later", guessGoal,
			owner{tcp, tcp, false, 5, 50, often, 0}),
		ownerOf("guesser with an account, TCP, login each time", guessGoal,
			owner{tcp, tcp, true, 1, 50, often, 0}),
		ownerOf("guesser with an account, TCP, login over UDP", guessGoal,
			owner{tcp, udp, true, 1, 50, often, 0}),

		// Somebody else could have sent a success over UDP and what came before it (issue 9), so
		// an alert reports such a source, and no ban follows.
		ownerOf("guesser with an account, UDP, login later", told,
			owner{udp, udp, false, 5, 50, often, 0}),
		ownerOf("guesser with an account, UDP, login each time", told,
			owner{udp, udp, false, 1, 50, often, 0}),
		ownerOf("guesser with an account, UDP, login first", told,
			owner{udp, udp, true, 5, 50, often, 0}),
		ownerOf("guesser with an account, UDP, login over TLS", told,
			owner{udp, tls, true, 5, 50, often, 0}),
		ownerOf("guesser with an account, one other account, TCP", told,
			owner{tcp, tcp, true, 5, 1, slowly, 0}),
		ownerOf("cracker with an account, right at guess 12, UDP", Goal{},
			owner{udp, udp, true, 5, 1, slowly, 12}),
		ownerOf("cracker with an account, right at guess 12, TCP", Goal{},
			owner{tcp, tcp, true, 5, 1, slowly, 12}),
	}
}

// pausing is a class of those who stop before they are banned and come back later.
func pausing(name string, n int, pause time.Duration, scan bool) entry {
	return entry{name, Attacker, slowGoal, func(s *scene) {
		for range s.Few {
			names := unknownAccount
			if !scan {
				names = always(s.target(s.pbxs.hosted))
			}

			from := anyPort(s.Rand, stranger(s.Rand))
			s.start(s.party(), from, s.sometime(1), func(a *Actor) {
				h := hunt{
					pbx: s.pbxs.hosted, transport: ami.TransportUDP, n: n, gap: 2 * time.Second,
					onePort: true,
				}
				// Each visit goes on where the last one ended.
				for i, ok := 0, true; ok; i, ok = i+n, a.sleep(a.about(pause)) {
					h.names = func(a *Actor, j int) string { return names(a, i+j) }
					if scan {
						a.scan(h)
					} else {
						a.guessAll(guess{hunt: h})
					}
				}
			})
		}
	}}
}

// rotating returns a function that chooses a new address of a prefix for each attempt.
func rotating(p netip.Prefix) func(*Actor, bool) netip.Addr {
	return func(a *Actor, _ bool) netip.Addr { return inNet(a.Rand, p) }
}

// evading returns a function that chooses a new address of a prefix when the last attempt got no
// answer.
func evading(p netip.Prefix) func(*Actor, bool) netip.Addr {
	return func(a *Actor, answered bool) netip.Addr {
		if answered && p.Contains(a.from.Addr()) {
			return a.from.Addr()
		}
		return inNet(a.Rand, p)
	}
}
