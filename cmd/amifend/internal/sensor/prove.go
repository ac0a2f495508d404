package sensor

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"github.com/amifend/amifend/cmd/amifend/internal/alerts"
	"github.com/amifend/amifend/cmd/amifend/internal/clock"
	"github.com/amifend/amifend/cmd/amifend/internal/stream"
	"github.com/amifend/amifend/cmd/amifend/internal/wording"
	"github.com/amifend/amifend/firewall"
	"github.com/amifend/amifend/policy"
	"github.com/amifend/amifend/policy/nonce"
)

const (
	// claimTime is how long after an event its nonce is looked up. The answer with the nonce left
	// before the event, but it may have been read a few milliseconds later, and so may the change of
	// a rule.
	claimTime = 50 * time.Millisecond

	// oldestClaim is the age from which an event is not looked up any more.
	oldestClaim = 5 * time.Second

	// mostStrays limits the destinations of answers led astray that have a condition of their own, and
	// strayQuiet is the silence after which one has not any more.
	mostStrays = 16
	strayQuiet = 15 * time.Minute
)

// challengeLog is the part of a [firewall.ChallengeLog] that prover needs.
type challengeLog interface {
	Drain(f func()) error
}

// prover looks up the nonces of events. The log of challenges calls it from one goroutine at a time.
type prover struct {
	*Sensor
	judge  *nonce.Judge
	nonces [8]nonce.Nonce // of the answer that is read
	wait   []claim        // the oldest first
	told   map[string]string
	strays *nonce.Strays
	found  map[strayOf]nonce.Stray // since they were told last
	toldOf map[strayOf]int64       // when they were
}

// strayOf names a condition: the answers of a server to a destination, whose senders forge addresses or
// do not.
type strayOf struct {
	server  uint16
	to      netip.Addr
	spoofed bool
}

func newProver(s *Sensor) *prover {
	return &prover{
		Sensor: s, judge: nonce.New(s.Seed), told: map[string]string{}, strays: nonce.NewStrays(s.Seed),
		found: map[strayOf]nonce.Stray{}, toldOf: map[strayOf]int64{},
	}
}

// wall is the time by the clock of the PBX, which is this machine.
func wall() int64 { return time.Now().UnixNano() }

// Challenge notes a refusal.
func (p *prover) Challenge(number uint32, c *firewall.Challenge) {
	at, ok := p.places.of(c.From.Addr())
	a := nonce.Answer{
		At: wall(), Server: at.number, Known: ok && at.local && !at.shared, Port: c.From.Port(),
		To: c.To.Addr(), Received: c.Received, Plain: c.Plain, Malformed: c.Odd, Cut: c.Cut,
	}
	a.Nonces = p.nonces[:0]
	for _, text := range c.Nonces() {
		n, ok := nonce.Parse(text)
		if !ok {
			a.Malformed = true
			continue
		}
		a.Nonces = append(a.Nonces, n)
	}
	if p.judge.Answer(number, &a) && a.Known {
		p.noteStray(&a)
	}
}

// noteStray notes an answer that went astray, to be told with the next look.
func (p *prover) noteStray(a *nonce.Answer) {
	found, ok := p.strays.Note(a)
	if !ok {
		return
	}
	k := strayOf{a.Server, found.To, found.Spoofed()}
	if _, known := p.found[k]; known || len(p.found) < mostStrays {
		p.found[k] = found
	}
}

// tellStrays raises the conditions of the answers that went astray since the last look.
func (p *prover) tellStrays() {
	now := p.Clock.Now()
	for k, at := range p.toldOf {
		if now-at > int64(strayQuiet) {
			delete(p.toldOf, k)
		}
	}

	for _, one := range p.Sessions() {
		for k, found := range p.found {
			if k.server != one.Number() {
				continue
			}

			// A sender chooses the destinations: beyond some, they share one condition.
			key := alerts.Key(alerts.AnswersLedAstray, one.Name())
			if _, known := p.toldOf[k]; known || len(p.toldOf) < mostStrays {
				p.toldOf[k] = now
				key = alerts.Key(alerts.AnswersLedAstray, one.Name(), k.to.String(),
					fmt.Sprint(k.spoofed))
			}
			p.Alerts.Raise(key, strayAlert(one.Name(), found), alerts.Span{})
		}
	}
	clear(p.found)
}

// strayAlert describes answers that went astray.
func strayAlert(server string, found nonce.Stray) alerts.Alert {
	answers := wording.Count(int(found.Answers), "refusal")
	a := alerts.Alert{
		Kind: alerts.AnswersLedAstray, Server: server, Source: found.Name.String(),
		Text: fmt.Sprintf("server %s sent %s within a minute to %s, and the requests came from %s: "+
			"their sender has them sent there (maddr in the Via), which no phone does", server,
			answers, found.To, found.Name),
		Do: "nothing at once: look at what sends from the address that the requests came from, " +
			"unless it is forged",
	}
	if found.Spoofed() {
		a.Source = found.To.String()
		a.Text = fmt.Sprintf("server %s sent %s within a minute to %s, and their requests came from "+
			"%d addresses or more, the last from %s: somebody forges these addresses, and likely "+
			"reads the answers there", server, answers, found.To, found.Names, found.Name)
		a.Do = "deny the address that reads the answers (amifend deny add), unless it is one of " +
			"yours; bans of the forged addresses do not reach the attacker"
	}
	return a
}

// Lost notes that answers were lost.
func (p *prover) Lost() { p.judge.Overrun(wall()) }

// Changed notes that the rules may have been away.
func (p *prover) Changed() { p.judge.Gap(wall()) }

// Drained notes that all answers until now were read.
func (p *prover) Drained() { p.judge.Drained() }

// prove proves events until ctx ends.
func (s *Sensor) prove(ctx context.Context) error {
	p := newProver(s)
	p.judge.Begin(wall())
	log, err := s.Table.OpenChallenges(p)
	if err != nil {
		s.change(func(st *Status) { st.Nonces, st.NonceProblem = false, err.Error() })
		s.Log.Warn("the kernel sensor reads no nonces: what comes over UDP may be forged", "err", err,
			"do", "choose another [sensor] nflog_group: nonces take the group after it")
		clock.Sleep(ctx, time.Minute)
		return err
	}
	defer log.Close()

	// Nobody is watched after the end.
	defer s.Witness.watched.Store(&map[uint16]bool{})
	defer s.change(func(st *Status) { st.Nonces = false })
	s.change(func(st *Status) { st.Nonces, st.NonceProblem = true, "" })

	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	done := make(chan error, 1)
	go func() {
		defer cancel()
		done <- log.Run(ctx)
	}()
	failed := p.decideAll(ctx, log)
	cancel() // Run may notice the same error only with the next refusal
	return errors.Join(failed, <-done)
}

// decideAll decides claims until ctx ends or the log fails.
func (p *prover) decideAll(ctx context.Context, log challengeLog) error {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	due := time.NewTimer(time.Hour)
	defer due.Stop()

	for {
		select {
		case <-ctx.Done():
			return nil
		case c := <-p.Witness.claims:
			if len(p.wait) == 0 {
				due.Reset(p.left(c))
			}
			if len(p.wait) < mostClaims {
				p.wait = append(p.wait, c)
			}
			continue
		case <-due.C:
			if err := p.decide(log); err != nil {
				return err
			}
		case <-tick.C:
			if err := log.Drain(p.publish); err != nil {
				return err
			}
		}

		if len(p.wait) > 0 {
			due.Reset(p.left(p.wait[0]))
		}
	}
}

// left returns how long a claim must wait yet.
func (p *prover) left(c claim) time.Duration {
	return max(0, time.Duration(c.seen.At-p.Clock.Now())+claimTime)
}

// decide decides the claims that waited long enough.
func (p *prover) decide(log challengeLog) error {
	now := p.Clock.Now()
	n := 0
	for n < len(p.wait) && now-p.wait[n].seen.At >= int64(claimTime) {
		n++
	}
	if n == 0 {
		return nil
	}

	// Whatever left before these events is read now.
	proven := 0
	err := log.Drain(func() {
		for _, c := range p.wait[:n] {
			if now-c.seen.At < int64(oldestClaim) && p.proves(&c) {
				p.tell(c.seen)
				proven++
			}
		}
	})
	p.wait = append(p.wait[:0], p.wait[n:]...)
	if proven > 0 {
		p.change(func(st *Status) { st.Proven += uint64(proven) })
	}
	return err
}

// proves reports whether the sender of an event is certain.
func (p *prover) proves(c *claim) bool {
	o := &c.seen
	if !p.Witness.Watches(o.Server) {
		return false
	}
	if o.Kind == policy.KindSuccessfulAuth {
		return p.judge.Trusted(o.Source.Addr(), wall())
	}
	return p.judge.Clean(c.nonce, o.Server, o.LocalPort, o.Source.Addr(), wall())
}

// tell hands an event to the engine that is proven now. It comes after the event itself, in the same
// queue.
func (p *prover) tell(o policy.Observation) {
	select {
	case p.Out <- stream.Sighting{Observation: o, Confirm: true}:
	default: // the engine must not wait, and neither must the kernel's answers
		p.change(func(st *Status) { st.Lost++ })
	}
}

// publish finds out of which servers events may be proven. The log calls it.
func (p *prover) publish() {
	watched := map[uint16]bool{}
	problems := map[string]string{}
	for _, one := range p.Sessions() {
		why := p.whyNot(one)
		if why == "" {
			watched[one.Number()] = true
		}
		problems[one.Name()] = why
		if before, known := p.told[one.Name()]; known && before != why || !known && why == "" {
			p.logProofs(one.Name(), why)
		}
	}
	p.told = problems
	p.Witness.watched.Store(&watched)
	p.tellStrays()

	stats := p.judge.Stats()
	p.change(func(st *Status) {
		st.Astray, st.Gaps, st.proofs = stats.Astray, stats.Gaps, problems
	})
}

// logProofs logs that events of a server can be proven, or that they cannot any more.
func (p *prover) logProofs(server, why string) {
	log := p.Log.With("server", server)
	if why == "" {
		log.Info("the kernel sensor proves senders over UDP by their nonces")
		return
	}
	log.Info("the kernel sensor proves no senders over UDP", "why", why)
}

// whyNot returns why events of a server cannot be proven; "": they can.
func (p *prover) whyNot(one *stream.Session) string {
	local, shared := false, false
	for _, at := range *p.places.byAddr.Load() {
		if at.session == one && at.local {
			local, shared = true, shared || at.shared
		}
	}
	switch {
	case !connected(one.Status()):
		return "the AMI session is down"
	case one.ChanSIP():
		return "chan_sip: its sender chooses the address"
	case !local:
		return "it is not on this machine"
	case shared:
		return "another PBX answers from the same address"
	case !p.judge.Works(one.Number()):
		return "too few nonces of the form of PJSIP have left yet"
	}
	return ""
}
