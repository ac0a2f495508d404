package ami

import (
	"context"
	"time"
)

// Report is the result of a Probe of one server.
type Report struct {
	Status               // after the login; its Problem is that of Probe's error
	Took   time.Duration // from the start until the first security event
}

// Probe connects once, logs in, waits until security events arrive, and sends a Ping. Then it
// listens for wait; 0 is enough to know that all is well. Events go to emit as in Run; a nil emit
// drops them. The command `amifend check` uses it.
//
// The error is an *Error, whose Problem has advice. The report is valid up to the step that failed.
// An invalid configuration is an error of another type.
func Probe(ctx context.Context, c Config, wait time.Duration, emit func(Event)) (Report, error) {
	if c.OnChange == nil {
		c.OnChange = func(Change) {} // the report and the error hold everything
	}
	s, err := NewSession(c)
	if err != nil {
		return Report{}, err
	}
	if emit == nil {
		emit = func(Event) {}
	}

	took, err := s.probe(ctx, wait, emit)
	if err != nil {
		s.failed(err, false, 0)
	}
	return Report{Status: s.Status(), Took: took}, err
}

func (s *Session) probe(
	ctx context.Context, wait time.Duration, emit func(Event),
) (time.Duration, error) {
	started := time.Now()
	s.setPhase(PhaseConnecting)
	l, auth, err := s.join(ctx, emit)
	if err != nil {
		return 0, err
	}
	defer l.close()

	took := time.Since(started)
	s.connected(l, auth)

	// A Ping shows that the PBX also answers, and how fast.
	if err := l.ping(ctx); err != nil || wait <= 0 {
		return took, err
	}

	// The link goes on reading while this waits.
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
		return took, nil
	case <-l.done:
		return took, l.err
	case <-ctx.Done():
		return took, ctx.Err()
	}
}
