package traffic

import (
	"net/netip"
	"time"

	"github.com/amifend/amifend/ami"
	"github.com/amifend/amifend/policy"
)

// hunt describes how an attacker makes its attempts.
type hunt struct {
	pbx         *PBX
	pbxs        []*PBX // if set, another one for each attempt
	transport   ami.Transport
	rotate      bool // another transport for each attempt
	names       func(a *Actor, i int) string
	n           int
	gap         time.Duration
	credentials bool // with a password and a made-up nonce at once, as flooding scanners do
	oneSession  bool // every request under one Call-ID
	silent      bool // never answers a challenge
	onePort     bool // every request from one port

	// address chooses from where the next attempt comes, if it is set; answered reports whether the
	// last one was.
	address func(a *Actor, answered bool) netip.Addr
}

// server returns the PBX of the i-th attempt.
func (h *hunt) server(i int) *PBX {
	if len(h.pbxs) > 0 {
		return h.pbxs[i%len(h.pbxs)]
	}
	return h.pbx
}

// over returns the transport of the i-th attempt.
func (h *hunt) over(i int) ami.Transport {
	if h.rotate {
		return transports[i%3]
	}
	return h.transport
}

// prepare chooses the address and port of the next attempt.
func (a *Actor) prepare(h hunt, answered bool) {
	if h.address != nil {
		a.settle(anyPort(a.Rand, h.address(a, answered)))
	}
	if !h.onePort {
		a.newPort()
	}
}

// attempt makes one guess by a function that sends it.
func (a *Actor) attempt(send func() answer) answer {
	if a.ended {
		return dropped
	}

	ans := dropped
	a.party.attempt(a.world.flooding, func() bool {
		ans = send()
		return ans != dropped
	})
	return ans
}

// scan looks for accounts. It goes on when nobody answers, as the tools do.
func (a *Actor) scan(h hunt) {
	session, answered := a.newSession(), true

	for i := range h.n {
		a.prepare(h, answered)
		if !h.oneSession {
			session = a.newSession()
		}

		// The password is wrong in any case, since the account does not exist.
		r := guessRequest(h.names(a, i), "x", session)
		r.credentials, r.transport = h.credentials, h.over(i)
		p := h.server(i)
		answered = a.attempt(func() answer {
			// At chan_sip only an answer to its challenge shows whether an account exists.
			if p.service == policy.ServiceSIP && !h.silent {
				return a.login(p, r)
			}
			return a.send(p, r)
		}) != dropped

		if !a.sleep(a.about(h.gap)) {
			return
		}
	}
}

// hunters adds several attackers of random addresses.
func (s *scene) hunters(script func(a *Actor)) {
	for range s.Few {
		s.start(s.party(), anyPort(s.Rand, stranger(s.Rand)), s.sometime(0), script)
	}
}

// scanOf is a class of scanners of accounts that do not exist.
func scanOf(name string, goal Goal, change func(s *scene, h *hunt)) entry {
	return entry{name, Attacker, goal, func(s *scene) {
		h := hunt{
			pbx: s.pbxs.hosted, transport: ami.TransportUDP, names: unknownAccount, n: s.Scan,
			gap: 100 * time.Millisecond, onePort: true,
		}
		change(s, &h)
		s.hunters(func(a *Actor) { a.scan(h) })
	}}
}

// The goals of issue 3.
var (
	scanGoal   = Goal{First: 4, Banned: true}
	guessGoal  = Goal{First: 7, Banned: true}
	slowGoal   = Goal{First: 20, Banned: true}
	canaryGoal = Goal{First: 1, Banned: true}
)

// slowGaps are the pauses of attackers who hope that nobody counts for so long.
var slowGaps = []time.Duration{3 * time.Minute, 10 * time.Minute, time.Hour}

// known adds n accounts and returns a function that names them one after the other.
func (s *scene) known(p *PBX, n int) func(*Actor, int) string {
	var names []string
	for range n {
		name, _ := s.newAccount(p)
		names = append(names, name)
	}

	return func(_ *Actor, i int) string { return names[i%n] }
}

// scanners look for accounts.
func scanners() []entry {
	list := []entry{
		scanOf("account scan, UDP", scanGoal, func(*scene, *hunt) {}),
		scanOf("account scan from 100 on, UDP", scanGoal, func(_ *scene, h *hunt) {
			h.names = common
		}),
		scanOf("account scan, TCP", scanGoal, func(_ *scene, h *hunt) {
			h.transport = ami.TransportTCP
		}),
		scanOf("account scan, TLS", scanGoal, func(_ *scene, h *hunt) {
			h.transport = ami.TransportTLS
		}),

		// These raise other events for each request than a plain scan.
		scanOf("account scan with credentials", scanGoal, func(_ *scene, h *hunt) {
			h.credentials = true
		}),
		scanOf("account scan, one Call-ID", scanGoal, func(_ *scene, h *hunt) {
			h.oneSession = true
		}),
		scanOf("account scan, one Call-ID, credentials", scanGoal, func(_ *scene, h *hunt) {
			h.oneSession, h.credentials = true, true
		}),
		scanOf("account scan, chan_sip", guessGoal, func(s *scene, h *hunt) {
			h.pbx = s.pbxs.legacy
		}),
		scanOf("account scan, pipelined", scanGoal, func(_ *scene, h *hunt) {
			h.gap = time.Millisecond
		}),
		scanOf("account scan, phones known by auth_username", Goal{}, func(s *scene, h *hunt) {
			h.pbx = s.pbxs.byAuth
		}),

		// Existing accounts, whose challenges are never answered: no failure is raised.
		scanOf("extension scan, challenges only", Goal{Banned: true}, func(s *scene, h *hunt) {
			h.names = s.known(s.pbxs.hosted, 60)
		}),
		scanOf("extension scan, challenges only, chan_sip", Goal{Banned: true},
			func(s *scene, h *hunt) {
				h.pbx, h.silent = s.pbxs.legacy, true
			}),
		scanOf("extension scan, slow", Goal{Banned: true}, func(s *scene, h *hunt) {
			h.names, h.n, h.gap = s.known(s.pbxs.hosted, 60), 60, 5*time.Minute
		}),

		// One attempt is enough for a ban.
		scanOf("canary accounts", canaryGoal, func(_ *scene, h *hunt) {
			h.names = canary
		}),
		scanOf("canary accounts, TCP", canaryGoal, func(_ *scene, h *hunt) {
			h.names, h.transport = canary, ami.TransportTCP
		}),
		{"AMI brute force", Attacker, guessGoal, func(s *scene) {
			// The first user does not exist, the second does.
			h := hunt{pbx: s.pbxs.ami, transport: ami.TransportTCP, n: s.Scan}
			h.gap = 200 * time.Millisecond
			h.names = func(_ *Actor, i int) string { return []string{"admin", "freepbx"}[i/10%2] }
			s.hunters(func(a *Actor) { a.scan(h) })
		}},
		{"injections", Attacker, scanGoal, func(s *scene) {
			s.hunters(func(a *Actor) { a.inject(s.pbxs.hosted) })
		}},
	}

	for _, gap := range slowGaps {
		name := "account scan every " + short(gap)
		list = append(list, scanOf(name, slowGoal, func(s *scene, h *hunt) {
			h.gap, h.n = gap, int(s.Span/gap)
		}))
	}
	return list
}

// inject sends requests with injected headers in their names.
func (a *Actor) inject(p *PBX) {
	for i := range 50 {
		r := request{account: unknownAccount(a, i), session: a.newSession(), injection: true}
		r.transport = ami.TransportUDP
		a.attempt(func() answer { return a.send(p, r) })

		if !a.sleep(a.about(time.Second)) {
			return
		}
	}
}

// short prints a duration without its zeros: "10m", "1h".
func short(d time.Duration) string {
	if d%time.Hour == 0 {
		return d.Truncate(time.Hour).String()[:len(d.String())-4]
	}
	return d.String()[:len(d.String())-2]
}
