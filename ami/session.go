package ami

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// Defaults of Timeouts.
const (
	DefaultConnectTimeout = 10 * time.Second // TCP; TLS and the banner have as long again
	// Asterisk's own authtimeout is 30 s, and a refusal takes it 1 s
	DefaultLoginTimeout  = 10 * time.Second
	DefaultVerifyTimeout = 5 * time.Second
	DefaultPingInterval  = 15 * time.Second
	DefaultPingTimeout   = 10 * time.Second
	DefaultWriteTimeout  = 10 * time.Second
)

// maxField bounds username and secret: an action's line holds 1,024 bytes (main/manager.c, inbuf).
const maxField = 1000

// Timeouts of a session; a zero takes the default.
type Timeouts struct {
	Connect time.Duration // until connected; and again until the banner came
	Login   time.Duration // until the login is answered
	// from the login until the first security event, which is our own SuccessfulAuth
	Verify time.Duration
	Ping   time.Duration // between two Pings
	Pong   time.Duration // until a Ping is answered; without an answer the session is lost
	Write  time.Duration // until an action is written
}

// Config is one server's AMI endpoint and how to log in there. Its Warnings should be told to the
// user.
type Config struct {
	Name     string // the server's name in Status and Change; default: Address
	Address  string // host:port
	Username string // manager user; `read = security` and an empty `write =` are all it needs
	Secret   Secret
	TLS      *TLS // nil is plain TCP

	// Dial opens the connection; nil is net.Dialer with keep-alive.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
	// OnChange is told when the session connects, is lost, or fails for another reason than before.
	// It is called from Run's goroutine, while emit may run in another, and holds up only this
	// session's reconnecting.
	OnChange func(Change)
	Timeouts Timeouts
}

// Warnings returns what is risky in the configuration, one sentence each.
func (c *Config) Warnings() []string {
	var warnings []string
	host, _, _ := net.SplitHostPort(c.Address)
	if c.TLS == nil && !isLoopbackName(host) {
		warnings = append(warnings,
			"AMI without TLS to another host: whoever is on the path can read and write events, and so ban or free anyone; use [server.tls]")
	}
	if c.TLS != nil && !c.TLS.verified() {
		warnings = append(warnings,
			"insecure_skip_verify: the PBX's certificate is not checked, so whoever is on the path can read and write events; pin it with fingerprint")
	}

	return warnings
}

// isLoopbackName tells whether host is literally this machine.
func isLoopbackName(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || (ip != nil && ip.IsLoopback())
}

// validate returns all that is wrong with c, joined.
func (c *Config) validate() error {
	var problems []error
	host, port, err := net.SplitHostPort(c.Address)
	if err != nil {
		problems = append(problems, fmt.Errorf("address: %w", err))
	} else if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 || host == "" {
		problems = append(problems, fmt.Errorf("address %q: want host:port", c.Address))
	}

	problems = append(problems, checkField("username", c.Username),
		checkField("secret", c.Secret.reveal()))

	t := c.Timeouts
	for _, d := range []time.Duration{t.Connect, t.Login, t.Verify, t.Ping, t.Pong, t.Write} {
		if d < 0 {
			problems = append(problems, errors.New("timeouts: negative"))
			break
		}
	}

	return errors.Join(problems...)
}

// checkField refuses what would end a line of an action, and so let a field write headers or
// actions. It never prints the value.
func checkField(name, value string) error {
	switch {
	case value == "":
		return fmt.Errorf("%s: empty", name)
	case strings.ContainsAny(value, "\r\n\x00"):
		return fmt.Errorf("%s: holds a line break or a NUL", name)
	case len(value) > maxField:
		return fmt.Errorf("%s: longer than %d bytes", name, maxField)
	}

	return nil
}

// withDefaults fills in what is zero.
func (t Timeouts) withDefaults() Timeouts {
	return Timeouts{
		Connect: orDefault(t.Connect, DefaultConnectTimeout),
		Login:   orDefault(t.Login, DefaultLoginTimeout),
		Verify:  orDefault(t.Verify, DefaultVerifyTimeout),
		Ping:    orDefault(t.Ping, DefaultPingInterval),
		Pong:    orDefault(t.Pong, DefaultPingTimeout),
		Write:   orDefault(t.Write, DefaultWriteTimeout),
	}
}

func orDefault(d, otherwise time.Duration) time.Duration {
	if d == 0 {
		return otherwise
	}
	return d
}

// Session is a lasting login to one server: Run keeps it, Status tells how it is.
type Session struct {
	config  Config
	tls     *tls.Config // nil is plain TCP
	running atomic.Bool
	meter   meter

	mu     sync.Mutex // guards status and lostAt
	status Status
	lostAt time.Time // since when the stream is down, zero if it is not or never was up
	told   Problem   // what OnChange was told last; Run's goroutine only
}

// NewSession checks c and prepares a session. It connects to nothing. It reads the files that c
// names.
func NewSession(c Config) (*Session, error) {
	if c.Name == "" {
		c.Name = c.Address
	}
	if err := c.validate(); err != nil {
		return nil, fmt.Errorf("session %s: %w", c.Name, err)
	}

	s := &Session{config: c}
	s.config.Timeouts = c.Timeouts.withDefaults()
	if c.Dial == nil {
		s.config.Dial = (&net.Dialer{}).DialContext
	}

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

// Run connects, logs in and hands every security event to emit, until ctx ends; a lost connection
// is made again, for ever. It returns nil once ctx ended and emit has returned, and an error only
// when it runs already.
//
// emit is called from one goroutine at a time, never after Run returned. An event's fields are
// borrowed: they are valid during the call only. emit may block: then nothing is read and the stall
// is counted; Asterisk ends a session that is about 4 MB behind. It must not block beyond the end
// of ctx.
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
			break
		}
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
// connected in between, and why it is not any more.
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
