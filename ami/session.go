package ami

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// Session is a lasting login to one server. Run keeps it up, Status returns its state.
type Session struct {
	config  Config
	tls     *tls.Config // nil is plain TCP
	running atomic.Bool
	meter   meter

	mu     sync.Mutex // guards status and lostAt
	status Status
	lostAt time.Time // start of the gap; zero if the stream is up, or never was

	reported Problem // the last one that OnChange got; Run's goroutine only
}

// NewSession checks c, reads the files that c names, and prepares a session. It opens no
// connection.
func NewSession(c Config) (*Session, error) {
	if c.Name == "" {
		c.Name = c.Address
	}
	if err := c.validate(); err != nil {
		return nil, fmt.Errorf("session %s: %w", c.Name, err)
	}

	// The caller's Config stays as it is: the defaults go into the copy.
	s := &Session{config: c}
	s.config.Timeouts = c.Timeouts.withDefaults()
	if c.Dial == nil {
		s.config.Dial = (&net.Dialer{}).DialContext
	}
	if c.OnChange == nil {
		s.config.OnChange = logChange
	}

	// A wrong CA file or pin is a mistake in the configuration: report it now, not at each attempt.
	if c.TLS != nil {
		host, _, _ := net.SplitHostPort(c.Address)
		var err error
		if s.tls, err = c.TLS.clientConfig(host); err != nil {
			return nil, fmt.Errorf("session %s: tls: %w", c.Name, err)
		}
	}

	s.status = Status{Name: c.Name, Address: c.Address, Warnings: s.config.Warnings()}
	return s, nil
}

// Run connects, logs in and calls emit for every security event, until ctx ends. It tries again for
// ever after any failure, a wrong secret included: see Config.OnChange. It returns nil once ctx
// ended and emit has returned, and an error only if it runs already.
//
// Run calls emit from one goroutine at a time, never after it returned. The fields of an event are
// borrowed: they are valid during the call only. emit may block: then nothing is read, and the
// stall is counted. Asterisk ends a session that is about 4 MB behind. emit must not block beyond
// the end of ctx.
func (s *Session) Run(ctx context.Context, emit func(Event)) error {
	if !s.running.CompareAndSwap(false, true) {
		return errors.New("run session: it runs already")
	}
	defer s.running.Store(false)
	defer s.setPhase(PhaseStopped)

	retry := newRetry()
	for ctx.Err() == nil {
		started := time.Now()
		connected, err := s.attempt(ctx, emit)
		if ctx.Err() != nil {
			break // the end of ctx closed the connection: not a problem of the PBX
		}

		// After a session that worked, the delays start small again: the PBX probably restarted.
		if connected {
			retry.reset()
		}

		wait := retry.next(ProblemOf(err), time.Since(started))
		s.failed(err, connected, wait)
		select {
		case <-ctx.Done():
		case <-time.After(wait):
		}
	}

	return nil
}

// attempt makes one connection and keeps it until it is lost. It reports whether the session was
// connected in between, and returns why it ended.
func (s *Session) attempt(ctx context.Context, emit func(Event)) (connected bool, err error) {
	s.setPhase(PhaseConnecting)
	l, auth, err := s.join(ctx, emit)
	if err != nil {
		return false, err
	}
	defer l.close()
	s.connected(l, auth)
	return true, l.keepAlive(ctx)
}

// join connects, logs in and waits until security events arrive. The caller closes the link.
func (s *Session) join(ctx context.Context, emit func(Event)) (*link, AuthMethod, error) {
	l, err := open(ctx, &s.config, s.tls, &s.meter)
	if err != nil {
		return nil, "", err
	}
	s.reached(l)
	l.start(emit)

	auth, err := l.login(ctx)
	if err == nil {
		err = l.verify(ctx)
	}
	if err != nil {
		l.close()
		return nil, "", err
	}

	return l, auth, nil
}
