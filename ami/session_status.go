package ami

import (
	"log/slog"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"
)

// Phase is the stage of a session on its way to a connection.
type Phase uint8

// The phases of a session.
const (
	PhaseIdle       Phase = iota // Run was not called yet
	PhaseConnecting              // connecting, logging in, waiting for the first security event
	PhaseConnected               // logged in, and security events arrive
	PhaseWaiting                 // failed or lost; the next attempt comes
	PhaseStopped                 // Run has returned
)

// String returns the phase's name.
func (p Phase) String() string {
	switch p {
	case PhaseIdle:
		return "idle"
	case PhaseConnecting:
		return "connecting"
	case PhaseConnected:
		return "connected"
	case PhaseWaiting:
		return "waiting"
	default:
		return "stopped"
	}
}

// MarshalText returns the phase's name.
func (p Phase) MarshalText() ([]byte, error) { return []byte(p.String()), nil }

// Change reports that a session connected (PhaseConnected) or cannot go on for now (PhaseWaiting).
// A Problem that repeats is reported once, until the session connects or has another Problem.
type Change struct {
	Time    time.Time
	Server  string // Config.Name
	Phase   Phase
	Problem Problem
	Err     error         // why, *Error; nil when connected
	Retry   time.Duration // until the next attempt; 0 when connected
	// Lost reports that events may be missing from now on. The Change of the next connection has
	// the length of the Gap.
	Lost bool
	Gap  time.Duration // connected again: how long the stream was down; 0 at the first connection

	Version string         // AMI version of the banner
	Auth    AuthMethod     // how the login was done
	TLS     TLSStatus      //
	Own     netip.AddrPort // our own address as the PBX sees it, if already known
}

// Status is the state of a session. Its counters cover the whole life of the session.
type Status struct {
	Name, Address string
	Phase         Phase
	Since         time.Time // of the phase
	// since when no events come: since the loss, or the first attempt; zero when connected
	Down     time.Time
	Warnings []Warning // of the configuration; not to be changed

	Version string         // AMI version of the last banner, such as 11.0.0
	Auth    AuthMethod     // how the last login was done
	TLS     TLSStatus      // of the last connection
	Own     netip.AddrPort // our own address as the PBX sees it; invalid until known

	Problem     Problem   // what keeps the session down now; ProblemNone when connected
	LastError   error     // the last *Error, kept when connected again; nil if there was none
	LastErrorAt time.Time //
	NextTry     time.Time // in PhaseWaiting

	Attempts   uint64        // connections tried
	Failures   uint64        // attempts in a row that failed; 0 when connected
	Reconnects uint64        // connected again after a loss
	Gaps       uint64        // losses of a connected stream: events may be missing
	LastGap    time.Duration // how long the stream was down the last time
	Events     uint64        // security events handed to emit
	Stalls     uint64        // reads that emit held up for StallTime or longer
	Stalled    time.Duration // how long in all
	Latency    time.Duration // of the last Ping
	Decoder    Stats         // of the decoder
}

// StallTime is the length of the shortest stall: the time that emit takes for the events of one
// read.
const StallTime = 10 * time.Millisecond

// meter holds the counters of the reader of a connection.
type meter struct {
	events  atomic.Uint64
	stalls  atomic.Uint64
	stalled atomic.Int64 // nanoseconds
	latency atomic.Int64 // nanoseconds

	mu   sync.Mutex
	own  netip.AddrPort
	past Stats // of the connections before
	live Stats // of this one, as of its last read
}

// next begins the count of another connection.
func (m *meter) next() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.past, m.live = m.past.Add(m.live), Stats{}
}

func (m *meter) publish(live Stats) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.live = live
}

// strange returns the number of packets of this connection that are neither responses nor other
// events. It is meant for a connection without any security event.
func (m *meter) strange() uint64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.live.Packets - m.live.Others
}

func (m *meter) setOwn(own netip.AddrPort) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.own = own
}

func (m *meter) ownAddress() netip.AddrPort {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.own
}

// Status returns the state of the session. It may be called from any goroutine.
func (s *Session) Status() Status {
	s.mu.Lock()
	status := s.status
	s.mu.Unlock()

	m := &s.meter
	status.Events = m.events.Load()
	status.Stalls = m.stalls.Load()
	status.Stalled = time.Duration(m.stalled.Load())
	status.Latency = time.Duration(m.latency.Load())

	m.mu.Lock()
	defer m.mu.Unlock()
	status.Own = m.own
	status.Decoder = m.past.Add(m.live)

	return status
}

// setPhase sets a phase that OnChange does not get.
func (s *Session) setPhase(p Phase) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.status.Phase = p
	s.status.Since = time.Now()

	if p == PhaseConnecting {
		s.status.Attempts++

		// Before the first connection, the session is down since the first attempt.
		if s.status.Down.IsZero() {
			s.status.Down = s.status.Since
		}
		s.status.NextTry = time.Time{}
	}
}

// reached stores what l learned of the server before the login.
func (s *Session) reached(l *link) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.status.Version, s.status.TLS = l.version, l.tls
}

// connected sets the status of a session that works over l, and calls OnChange.
func (s *Session) connected(l *link, auth AuthMethod) {
	now := time.Now()
	change := Change{
		Time: now, Server: s.config.Name, Phase: PhaseConnected,
		Version: l.version, Auth: auth, TLS: l.tls, Own: s.meter.ownAddress(),
	}

	s.mu.Lock()
	st := &s.status

	// Only a session that was connected before has a gap.
	if !s.lostAt.IsZero() {
		change.Gap = now.Sub(s.lostAt)
		st.Reconnects++
		st.LastGap = change.Gap
		s.lostAt = time.Time{}
	}

	st.Phase, st.Since, st.Down = PhaseConnected, now, time.Time{}
	st.Auth = auth
	st.Problem, st.Failures = ProblemNone, 0
	s.mu.Unlock()

	// OnChange may call Status, so the lock is not held here.
	s.reported = ProblemNone
	s.config.OnChange(change)
}

// failed sets the status after an attempt that ended by err, and calls OnChange unless it has the
// same problem already. connected reports whether the attempt had been connected.
func (s *Session) failed(err error, connected bool, wait time.Duration) {
	now := time.Now()
	problem := ProblemOf(err)
	s.mu.Lock()
	st := &s.status
	st.Phase, st.Since = PhaseWaiting, now
	st.Problem, st.LastError, st.LastErrorAt = problem, err, now
	st.NextTry = now.Add(wait)
	st.Failures++

	// A gap begins with the loss of a connection, not with an attempt that failed.
	if connected {
		st.Gaps++
		s.lostAt, st.Down = now, now
	}
	s.mu.Unlock()

	// The same problem again is not reported, unless the session was connected in between.
	if problem == s.reported && !connected {
		return
	}
	s.reported = problem

	s.config.OnChange(Change{
		Time: now, Server: s.config.Name, Phase: PhaseWaiting,
		Problem: problem, Err: err, Retry: wait, Lost: connected,
	})
}

// logChange is the OnChange of a Config that has none. It logs problems, and the end of a gap. The
// first connection is not logged.
func logChange(c Change) {
	server := slog.String("server", c.Server)
	if c.Phase == PhaseConnected {
		if c.Gap > 0 {
			slog.Info("AMI session is up again", server, slog.Duration("gap", c.Gap))
		}
		return
	}

	slog.Warn("AMI session is down", server, slog.String("problem", c.Problem.String()),
		slog.Any("err", c.Err), slog.String("advice", c.Problem.Advice()),
		slog.Duration("retry", c.Retry.Round(time.Millisecond)))
}
