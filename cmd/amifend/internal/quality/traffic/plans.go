package traffic

import (
	"fmt"
	"net/netip"
	"time"
)

// blind returns the plans that need no answers and no account.
func blind() []plan {
	return []plan{guessOne, sprayAll, scanAll, trapAll, probeAll, anything}
}

// guessAs guesses passwords in others' names, n of them; the one of number right is the right one.
// The attacker uses the account then, in the name that got in.
func (a *Actor) guessAs(m mask, victim names, account func(*Actor, int) string, n, right int) {
	for i := range n {
		at := victim(a, i)
		r := guessRequest(account(a, i), fmt.Sprint("guess", i), a.newSession())
		if i+1 == right {
			r.password = m.pbx.passwords[r.account]
		}

		// Who is deaf does not know that a guess was right, and goes on.
		ans := a.attempt(func() answer { return a.loginAs(m, at, r) })
		if ans == accepted && !m.deaf {
			for range 12 {
				if !a.sleep(a.about(30 * time.Minute)) {
					return
				}
				r.session = a.newSession()
				a.loginAs(m, at, r)
			}
			return
		}
		if !a.sleep(a.about(time.Second)) {
			return
		}
	}
}

// guessRequest returns a login under a Call-ID of its own.
func guessRequest(account, password string, session uint64) request {
	return request{account: account, password: password, session: session}
}

// guessOne guesses the password of one account.
func guessOne(s *scene, _ *Party, m mask, victim names) func(*Actor) {
	account, n := s.target(m.pbx), s.Scan
	return func(a *Actor) { a.guessAs(m, victim, always(account), n, 0) }
}

// sprayAll tries 50 accounts, one after the other.
func sprayAll(s *scene, _ *Party, m mask, victim names) func(*Actor) {
	accounts, n := s.known(m.pbx, 50), s.Scan
	return func(a *Actor) { a.guessAs(m, victim, accounts, n, 0) }
}

// crackOne guesses the password of one account and is right near the end.
func crackOne(s *scene, _ *Party, m mask, victim names) func(*Actor) {
	account, n := s.target(m.pbx), s.Scan
	return func(a *Actor) { a.guessAs(m, victim, always(account), n, n*4/5) }
}

// ownAccount gives an attacker an account. It returns the right login.
func (s *scene) ownAccount(p *Party, m mask) request {
	name, password := s.newAccount(m.pbx)
	p.owns = map[string]bool{name: true}
	return request{account: name, password: password}
}

// accuse makes a victim look like somebody who guessed right, hourly: n failures, and then a
// success of the attacker's own account, all from one port.
func (a *Actor) accuse(m mask, victim names, own request, failing func(*Actor, int) string, n int) {
	for round := 0; ; round++ {
		at := victim(a, round)
		for i := range n {
			r := guessRequest(failing(a, i), "wrong", a.newSession())
			a.attempt(func() answer { return a.loginAs(m, at, r) })
			a.sleep(time.Second)
		}

		// The success is what a ban of the victim would be based on.
		a.sleep(30 * time.Second)
		own.session = a.newSession()
		a.attempt(func() answer { return a.loginAs(m, at, own) })
		if !a.sleep(a.about(time.Hour)) {
			return
		}
	}
}

// accuseByOwn fails 60 times on the attacker's own account, as in the capture
// proof/synthetic-forged-success-in-a-phones-name.ami.
func accuseByOwn(s *scene, p *Party, m mask, victim names) func(*Actor) {
	own := s.ownAccount(p, m)
	return func(a *Actor) { a.accuse(m, victim, own, always(own.account), 60) }
}

// accuseBriefly fails on it a few times.
func accuseBriefly(s *scene, p *Party, m mask, victim names) func(*Actor) {
	own := s.ownAccount(p, m)
	return func(a *Actor) { a.accuse(m, victim, own, always(own.account), 6) }
}

// accuseByOthers fails on other accounts.
func accuseByOthers(s *scene, p *Party, m mask, victim names) func(*Actor) {
	own, others := s.ownAccount(p, m), s.known(m.pbx, 6)
	return func(a *Actor) { a.accuse(m, victim, own, others, 6) }
}

// vouch makes one address after the other look proved, by the attacker's own account.
func vouch(s *scene, p *Party, m mask, victim names) func(*Actor) {
	own, n := s.ownAccount(p, m), s.Scan

	return func(a *Actor) {
		for i := range n {
			own.session = a.newSession()
			a.attempt(func() answer { return a.loginAs(m, victim(a, i), own) })
			// Twelve new addresses an hour: issue 9 bounds what one account can prove to four.
			if !a.sleep(a.about(5 * time.Minute)) {
				return
			}
		}
	}
}

// shelter makes an address look proved, guesses in its name where no ban is to be feared, and goes
// on to the next one.
func shelter(s *scene, p *Party, m mask, victim names) func(*Actor) {
	own, account, n := s.ownAccount(p, m), s.target(m.pbx), s.Scan

	return func(a *Actor) {
		for i := range n {
			at := victim(a, i)
			own.session = a.newSession()
			a.attempt(func() answer { return a.loginAs(m, at, own) })

			// So few that no ban would follow even without the success.
			for j := range 3 {
				r := guessRequest(account, fmt.Sprint("guess", i, j), a.newSession())
				a.attempt(func() answer { return a.loginAs(m, at, r) })
				a.sleep(a.about(time.Second))
			}
			if !a.sleep(a.about(time.Minute)) {
				return
			}
		}
	}
}

// scanAll tries accounts that do not exist.
func scanAll(s *scene, _ *Party, m mask, victim names) func(*Actor) {
	n := s.Scan
	return func(a *Actor) { a.guessAs(m, victim, unknownAccount, n, 0) }
}

// trapAll names canary accounts, and injects headers: what gets a stranger banned at once.
func trapAll(s *scene, _ *Party, m mask, victim names) func(*Actor) {
	n := s.Scan

	return func(a *Actor) {
		for i := range n {
			r := guessRequest(canary(a, i), "x", a.newSession())
			if i%2 == 1 {
				r.account, r.injection = unknownAccount(a, i), true
			}
			a.attempt(func() answer { return a.loginAs(m, victim(a, i), r) })
			if !a.sleep(a.about(time.Minute)) {
				return
			}
		}
	}
}

// probeAll asks for challenges on existing accounts and answers none.
func probeAll(s *scene, _ *Party, m mask, victim names) func(*Actor) {
	accounts, n := s.known(m.pbx, 60), s.Scan

	return func(a *Actor) {
		for i := range n {
			r := request{account: accounts(a, i), session: a.newSession(), transport: m.transport}
			a.attempt(func() answer { return a.sendAs(m, victim(a, i), r) })
			if !a.sleep(a.about(time.Second)) {
				return
			}
		}
	}
}

// anything does what the other plans do, in random order, at random speed and from random ports: it
// looks for a sequence that nobody thought of.
func anything(s *scene, p *Party, m mask, victim names) func(*Actor) {
	own, others, n := s.ownAccount(p, m), s.known(m.pbx, 6), 2*s.Scan
	gaps := []time.Duration{50 * time.Millisecond, time.Second, 20 * time.Second, 5 * time.Minute}

	return func(a *Actor) {
		sticky, gap := uint16(1024+a.IntN(64000)), gaps[0]
		for i := range n {
			// A gap and a port last for some attempts, as they do in an attack with a plan.
			if a.IntN(10) == 0 {
				sticky, gap = uint16(1024+a.IntN(64000)), gaps[a.IntN(len(gaps))]
			}
			port := []uint16{sticky, sticky, 5060, uint16(1024 + a.IntN(64000))}[a.IntN(4)]
			at := netip.AddrPortFrom(victim(a, i).Addr(), port)

			r := a.anyRequest(own, others)
			r.transport = m.transport
			a.attempt(func() answer {
				if r.password == "" {
					return a.sendAs(m, at, r)
				}
				return a.loginAs(m, at, r)
			})
			if !a.sleep(a.about(gap)) {
				return
			}
		}
	}
}

// anyRequest returns a random request. Without a password it asks for a challenge only.
func (a *Actor) anyRequest(own request, others func(*Actor, int) string) request {
	r := guessRequest(own.account, "wrong", a.newSession())

	switch a.IntN(16) {
	case 0, 1:
		r.password = own.password
	case 2, 3, 4, 5:
		r.account = others(a, a.IntN(6))
	case 6, 7:
		r.account = unknownAccount(a, a.IntN(1000))
	case 8:
		r.account, r.password = others(a, a.IntN(6)), ""
	case 9:
		r.account = canary(a, a.IntN(2))
	case 10:
		r.injection = true
	}
	return r
}
