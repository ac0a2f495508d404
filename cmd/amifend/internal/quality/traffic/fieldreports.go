package traffic

import (
	"fmt"
	"time"

	"github.com/amifend/amifend/ami"
)

// fieldReports are the classes of issue 11: what people who protect Asterisk reported.
func fieldReports() []entry {
	const udp, tcp, ws = ami.TransportUDP, ami.TransportTCP, ami.TransportWSS

	// Of a source whose users speak UDP, TCP may be banned, for four hours at most.
	onlyTCP := Goal{SIPOnly: true, Longest: 4 * time.Hour}

	return []entry{
		// The PBX sees one address for users and strangers.
		sharedSource("40 users through a proxy for WSS", ws, ws, 40, Goal{}),
		sharedSource("40 users through a SIP proxy, TCP", tcp, tcp, 40, Goal{}),
		sharedSource("20 users behind a CGNAT, UDP; strangers over TCP", udp, tcp, 20, onlyTCP),
		sharedSource("office of 20, UDP; a hostile web page over WSS", udp, ws, 20, onlyTCP),
		{"typists: 4 typos, then right, at home", Good, Goal{}, func(s *scene) {
			for i := range s.Few * 10 {
				pbx, t := s.pbxs.hosted, transports[i%3]
				if i%4 == 3 { // chan_sip phones use UDP
					pbx, t = s.pbxs.legacy, ami.TransportUDP
				}
				l := s.newLine(pbx, t)
				at := anyPort(s.Rand, s.customer(s.Rand))
				s.start(s.party(), at, s.sometime(1), func(a *Actor) { a.mistaken(l, 4, false) })
			}
		}},
		{"typists: 4 typos, then right, in offices of 5", Good, Goal{}, func(s *scene) {
			for i := range s.Few * 10 {
				party, o := s.newOffice(s.pbxs.hosted, transports[i%3], 5, nil)
				l := s.newLine(s.pbxs.hosted, transports[i%3])
				at := anyPort(s.Rand, o.addr)
				s.start(party, at, s.sometime(6), func(a *Actor) { a.mistaken(l, 4, false) })
			}
		}},
		{"misconfigured phones, at home", Good, Goal{}, misconfiguredHomes},
		{"misconfigured phones, in offices of 5", Good, Goal{}, func(s *scene) {
			for i := range s.Few * 3 {
				since, retry := s.sometime(6), retries[i/3%len(retries)]
				party, _ := s.newOffice(s.pbxs.hosted, transports[i%3], 5, func(j int, l *line) {
					if j == 0 {
						l.wrongFrom, l.wrongTo, l.retry = since, since+s.Stale, retry
					}
				})
				party.Misconfigured = true
			}
		}},
	}
}

// retries are how soon phones with a wrong password try again.
var retries = []time.Duration{15 * time.Second, 30 * time.Second, time.Minute}

// misconfiguredHomes adds homes whose only phone worked for hours before its password was changed.
func misconfiguredHomes(s *scene) {
	for i := range s.Few * 3 {
		pbx, t := s.pbxs.hosted, transports[i%3]
		if i%4 == 3 { // chan_sip phones use UDP
			pbx, t = s.pbxs.legacy, ami.TransportUDP
		}

		l := s.newLine(pbx, t)
		l.wrongFrom, l.retry = s.sometime(6), retries[i/3%len(retries)]
		l.wrongTo = l.wrongFrom + s.Stale
		p := s.party()
		p.Misconfigured = true

		s.settled(p, l, s.customer(s.Rand))
	}
}

// sharedSource is a class of addresses through which many users and some strangers reach the PBX.
// Seven strangers try unknown accounts, as many as a list of common names has room for in a minute;
// one guesses a user's password. goal is that of the source.
func sharedSource(name string, users, strangers ami.Transport, n int, goal Goal) entry {
	return entry{name, Good, goal, func(s *scene) {
		for range s.Few {
			// The PBX sees one address for all of them.
			var accounts []string
			_, o := s.newOffice(s.pbxs.hosted, users, n, func(_ int, l *line) {
				accounts = append(accounts, l.account)
			})

			for i := range 8 {
				p := s.extra("strangers: "+name, Attacker)
				p.Class.Part = Field
				h := hunt{
					pbx: s.pbxs.hosted, transport: strangers, names: unknownAccount, n: 5,
					gap: 10 * time.Second, onePort: true,
				}
				// One of them knows whom it is after.
				if i == 7 {
					h.names, h.n = always(accounts[s.IntN(n)]), 30
				}
				at := anyPort(s.Rand, o.addr)
				s.start(p, at, s.sometime(6), func(a *Actor) { a.tryThrough(h) })
			}
		}
	}}
}

// tryThrough tries logins. It ends at the first one that gets no answer: a browser or a script that
// comes through somebody else's address has no other.
func (a *Actor) tryThrough(h hunt) {
	for i := range h.n {
		r := request{
			account: h.names(a, i), password: fmt.Sprint("guess", i), session: a.newSession(),
			transport: h.transport,
		}
		if a.attempt(func() answer { return a.login(h.pbx, r) }) == dropped {
			return
		}
		if !a.sleep(a.about(h.gap)) {
			return
		}
	}
}
