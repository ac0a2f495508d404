// Package amitest plays a PBX at the wire, for tests and demos. It speaks the Asterisk Manager
// Interface as Asterisk 22 does, as far as a client that reads security events can see, and sends
// the events that the test chooses.
//
// It promises to print its packets byte for byte as Asterisk does, and to misbehave (silence, cuts,
// half packets, refused logins, another service's banner) only as asked. It is not an Asterisk: it
// knows one manager user, five actions and no calls. It opens no port but that of Listen.
package amitest

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"sync"
	"syscall"
	"time"
)

// QueueLimit bounds the bytes that wait for a client. Beyond it the PBX closes the connection in
// the middle of a packet. Asterisk does so at about 3.9 MB, the buffers of the socket included.
const QueueLimit = 3_900_000

// Config describes the PBX. Username and Secret are those of its one manager user.
type Config struct {
	Username string
	Secret   string
	TLS      *tls.Config // nil is plain TCP
	Behaviour
}

// Behaviour describes how the PBX treats its clients. The zero value is a sane Asterisk 22. It can
// change while the PBX runs (PBX.Behave): a connection looks at it before every step.
type Behaviour struct {
	Banner string // instead of Asterisk 22's "Asterisk Call Manager/11.0.0\r\n"; written as it is

	LockedOut bool // close before the banner, as at authlimit
	Mute      bool // accept, and say nothing at all
	Deaf      bool // say the banner, and read nothing

	NoMD5        bool   // Challenge is an unknown command
	InUse        bool   // allowmultiplelogin = no, and the user is logged in
	ShuttingDown bool   // every action is refused: Asterisk is shutting down
	Refusal      string // the Message of a refused Login; default "Authentication failed"
	RefusalDelay time.Duration
	NoLogin      bool // Login is never answered
	NoSecurity   bool // the user is without read = security: no event is sent
	NoPong       bool // Ping is never answered

	// The lines of the answer to ListCommands, such as "Ping: Keepalive command.  (Priv: <none>)".
	Commands []string

	// RemoteAddress in SuccessfulAuth; default: the client's own, or 127.0.0.1:40000 over a pipe
	SeenAs netip.AddrPort
}

// Action is one action that a client sent.
type Action struct {
	Time   time.Time
	Name   string
	ID     string
	Fields map[string]string
}

// PBX plays a PBX. All methods may be called from any goroutine.
type PBX struct {
	config  Config
	address string // "" if reached by Dial only
	wg      sync.WaitGroup

	mu        sync.Mutex
	behaviour Behaviour
	listener  net.Listener // nil while stopped, or if reached by Dial only
	up        bool
	sessions  map[*session]struct{}
	actions   []Action
	accepted  []time.Time
	changed   chan struct{} // closed and replaced when a session logged in or ended
}

// New starts a PBX without a port: clients reach it by its Dial, over net.Pipe. Use it with
// testing/synctest.
func New(c Config) *PBX {
	return &PBX{
		config: c, behaviour: c.Behaviour, up: true,
		sessions: make(map[*session]struct{}), changed: make(chan struct{}),
	}
}

// Listen starts a PBX on a TCP address such as 127.0.0.1:0.
func Listen(address string, c Config) (*PBX, error) {
	p := New(c)
	p.up = false
	p.address = address
	if err := p.Start(); err != nil {
		return nil, err
	}
	return p, nil
}

// TB is the part of testing.TB that Run needs.
type TB interface {
	Helper()
	Cleanup(func())
	Fatal(args ...any)
}

// Run starts a PBX on a free port of 127.0.0.1 for a test, and closes it when the test ends.
func Run(t TB, c Config) *PBX {
	t.Helper()
	p, err := Listen("127.0.0.1:0", c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Close)
	return p
}

// Addr returns the address that the PBX listens on, the same after a restart; "" if it has no port.
func (p *PBX) Addr() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.address
}

// Dial opens a connection to the PBX: over net.Pipe to one made by New, whatever the address; else
// over TCP to its port. It fits the Dial of an AMI client.
func (p *PBX) Dial(ctx context.Context, network, _ string) (net.Conn, error) {
	p.mu.Lock()
	address := p.address
	if address != "" {
		p.mu.Unlock()
		return (&net.Dialer{}).DialContext(ctx, network, address)
	}
	defer p.mu.Unlock()

	// A stopped PBX refuses as a closed port does.
	if !p.up {
		refused := os.NewSyscallError("connect", syscall.ECONNREFUSED)
		return nil, &net.OpError{Op: "dial", Net: network, Err: refused}
	}

	client, server := net.Pipe()
	p.accept(server)
	return pipe{client}, nil
}

// pipe is the client's end of a net.Pipe. Like a TCP connection, and unlike a net.Pipe, it accepts
// a deadline after the other side has closed: only reading reports the end.
type pipe struct{ net.Conn }

func (p pipe) SetDeadline(t time.Time) error     { return unlessClosed(p.Conn.SetDeadline(t)) }
func (p pipe) SetReadDeadline(t time.Time) error { return unlessClosed(p.Conn.SetReadDeadline(t)) }

func (p pipe) SetWriteDeadline(t time.Time) error {
	return unlessClosed(p.Conn.SetWriteDeadline(t))
}

func unlessClosed(err error) error {
	if errors.Is(err, io.ErrClosedPipe) {
		return nil
	}
	return err
}

// Start listens again after Stop, on the same port.
func (p *PBX) Start() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.up {
		return errors.New("start PBX: it is up")
	}

	if p.address != "" {
		listener, err := net.Listen("tcp", p.address)
		if err != nil {
			return fmt.Errorf("start PBX: %w", err)
		}
		p.listener, p.address = listener, listener.Addr().String()
		p.wg.Go(func() { p.serve(listener) })
	}

	p.up = true
	return nil
}

// Stop closes the port and every connection, as when Asterisk is killed. Start brings the PBX back.
func (p *PBX) Stop() {
	p.mu.Lock()
	p.up = false
	if p.listener != nil {
		_ = p.listener.Close()
		p.listener = nil
	}
	p.mu.Unlock()
	p.Cut()
}

// Close stops the PBX and waits until all its goroutines have ended.
func (p *PBX) Close() {
	p.Stop()
	p.wg.Wait()
}

// Cut closes every connection at once; what was not sent yet is lost. The port stays open.
func (p *PBX) Cut() {
	for _, s := range p.current() {
		s.close()
	}
}

// Behave changes the behaviour.
func (p *PBX) Behave(change func(*Behaviour)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	change(&p.behaviour)
}

// Emit sends events to every session that is logged in and may read the class security. It does not
// wait until they are written; a session that is QueueLimit behind is closed.
func (p *PBX) Emit(events ...Event) {
	for _, e := range events {
		p.emit(e.Bytes())
	}
}

func (p *PBX) emit(packet []byte) {
	if p.behaves().NoSecurity {
		return
	}
	p.Play(Send(packet))
}

// Write sends data as it is to every session that is logged in.
func (p *PBX) Write(data []byte) { p.Play(Send(data)) }

// Play does the steps on every session that is logged in, in order. It does not wait for them, and
// one session does not hold up another.
func (p *PBX) Play(steps ...Step) {
	for _, s := range p.current() {
		if s.loggedIn.Load() {
			s.enqueue(steps...)
		}
	}
}

// Sessions returns how many sessions are logged in.
func (p *PBX) Sessions() int {
	n := 0
	for _, s := range p.current() {
		if s.loggedIn.Load() {
			n++
		}
	}
	return n
}

// WaitSessions waits until n sessions or more are logged in.
func (p *PBX) WaitSessions(ctx context.Context, n int) error {
	for {
		// Take the channel before counting: a login in between closes it.
		p.mu.Lock()
		changed := p.changed
		p.mu.Unlock()

		if p.Sessions() >= n {
			return nil
		}

		select {
		case <-changed:
		case <-ctx.Done():
			return fmt.Errorf("wait for %d sessions: %w", n, context.Cause(ctx))
		}
	}
}

// Actions returns the actions that clients sent, in order.
func (p *PBX) Actions() []Action {
	p.mu.Lock()
	defer p.mu.Unlock()
	return append([]Action(nil), p.actions...)
}

// Accepted returns when connections were accepted.
func (p *PBX) Accepted() []time.Time {
	p.mu.Lock()
	defer p.mu.Unlock()
	return append([]time.Time(nil), p.accepted...)
}

func (p *PBX) behaves() Behaviour {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.behaviour
}

func (p *PBX) current() []*session {
	p.mu.Lock()
	defer p.mu.Unlock()
	sessions := make([]*session, 0, len(p.sessions))
	for s := range p.sessions {
		sessions = append(sessions, s)
	}
	return sessions
}

func (p *PBX) serve(listener net.Listener) {
	for {
		conn, err := listener.Accept()
		if err != nil {
			return
		}

		// A connection that was accepted while Stop ran must not stay open after it.
		p.mu.Lock()
		if p.listener == listener {
			p.accept(conn)
		} else {
			_ = conn.Close()
		}
		p.mu.Unlock()
	}
}

// accept serves conn. p.mu is held.
func (p *PBX) accept(conn net.Conn) {
	const keep = 10_000 // of the history: a demo runs on
	if len(p.accepted) < keep {
		p.accepted = append(p.accepted, time.Now())
	}
	if p.config.TLS != nil {
		conn = tls.Server(conn, p.config.TLS)
	}

	s := newSession(p, conn)
	p.sessions[s] = struct{}{}
	p.wg.Go(func() {
		s.run()
		p.mu.Lock()
		delete(p.sessions, s)
		p.mu.Unlock()
		p.notify()
	})
}

// notify wakes WaitSessions.
func (p *PBX) notify() {
	p.mu.Lock()
	defer p.mu.Unlock()
	close(p.changed)
	p.changed = make(chan struct{})
}

func (p *PBX) record(a Action) {
	const keep = 10_000
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.actions) < keep {
		p.actions = append(p.actions, a)
	}
}
