package ami

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"sync/atomic"
	"time"

	goami "github.com/heltonmarx/goami/ami"
)

// link is one connection to a PBX, from the banner to its end. Two goroutines share it. The reader
// alone reads, and calls the decoder and emit. The goroutine of the session logs in and pings.
type link struct {
	config  *Config
	conn    net.Conn
	client  *client
	decoder *Decoder
	meter   *meter
	emit    func(Event)
	stop    func() bool // ends the watch over ctx
	started time.Time

	version string
	tls     TLSStatus
	local   netip.AddrPort // our end of the connection; invalid if it is not TCP

	loginID  atomic.Pointer[string] // ActionID of the Login action, set before it is sent
	verified chan struct{}          // closed by the reader: security events arrive
	done     chan struct{}          // closed by the reader when it ended
	err      error                  // why, valid once done is closed

	// link time from which on the reader is in the decoder or in emit; 0 while it reads
	busySince atomic.Int64
	lastRead  atomic.Int64 // link time of the last bytes

	reader reader
}

// reader holds the fields that only the reading goroutine uses.
type reader struct {
	rest     []byte        // read with the banner
	loggedIn bool          // the Login action was answered by Success
	login    time.Duration // link time of that
	seen     bool          // a security event arrived
	own      ownMark
	end      [4]byte       // the last bytes of the stream
	stalled  time.Duration // of the last stall
	stallEnd time.Duration // link time
}

// ownMark grades how certain it is that the session has seen its own SuccessfulAuth.
type ownMark uint8

const (
	ownUnknown ownMark = iota
	ownAssumed         // the first one of our user after the login
	ownCertain         // its RemoteAddress is our end of the connection
)

// ownWindow is the time after the login in which a SuccessfulAuth of our user may be our own.
const ownWindow = 10 * time.Second

// open dials and prepares a link. The caller starts it, and closes it.
func open(ctx context.Context, config *Config, tlsConfig *tls.Config, m *meter) (*link, error) {
	o, err := dial(ctx, config, tlsConfig)
	if err != nil {
		return nil, err
	}
	m.next()

	l := &link{
		config: config, conn: o.conn, meter: m, version: o.version, tls: o.tls, started: time.Now(),
		client:   newClient(o.conn, config.Timeouts.Write),
		decoder:  NewDecoder(""), // without a name: isOwn marks our own login more exactly
		verified: make(chan struct{}), done: make(chan struct{}),
		reader: reader{rest: o.rest},
	}

	// As the decoder writes addresses, so that isOwn can compare them.
	if a, ok := o.conn.LocalAddr().(*net.TCPAddr); ok {
		ap := a.AddrPort()
		l.local = netip.AddrPortFrom(ap.Addr().Unmap().WithZone(""), ap.Port())
	}

	// Only closing the connection wakes a blocked read or write.
	l.stop = context.AfterFunc(ctx, func() { _ = o.conn.Close() })
	return l, nil
}

// start lets the reader run.
func (l *link) start(emit func(Event)) {
	l.emit = emit
	go func() {
		defer close(l.done)
		l.err = l.read()
		l.client.lost(l.err)
	}()
}

// close ends the connection and waits for the reader, which may be in emit.
func (l *link) close() {
	l.stop()
	_ = l.conn.Close()
	<-l.done
}

// now returns the link time: the time since the link was opened. It is never 0, because 0 stands
// for "not" in busySince and lastRead.
func (l *link) now() time.Duration { return max(time.Since(l.started), 1) }

// login logs in.
func (l *link) login(ctx context.Context) (AuthMethod, error) {
	ctx, cancel := context.WithTimeout(ctx, l.config.Timeouts.Login)
	defer cancel()
	private := isLocal(l.conn.RemoteAddr()) || (l.tls.Enabled && !l.tls.Insecure)
	return login(ctx, l.client, l.config, private, func(id string) { l.loginID.Store(&id) })
}

// verify waits for the first security event, which usually is our own SuccessfulAuth. If none
// comes, the user may not read the class, and no event would ever come.
func (l *link) verify(ctx context.Context) error {
	timer := time.NewTimer(l.config.Timeouts.Verify)
	defer timer.Stop()
	select {
	case <-l.verified:
		return nil
	case <-l.done:
		return l.err
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		// If packets came that the decoder does not trust, the user may read events: they only have
		// another form than those of a known Asterisk.
		p, what := ProblemNoSecurity, "no security event"
		if n := l.meter.strange(); n > 0 {
			p, what = ProblemStrangeEvents,
				fmt.Sprintf("no security event that can be trusted (packets of another form: %d)",
					n)
		}

		if p == ProblemNoSecurity && strings.HasPrefix(l.version, "1.") {
			// Asterisk 12 came with AMI 2.0 (UPGRADE-12.txt), and with events of class security.
			p = ProblemTooOld
			what += fmt.Sprintf(" (AMI %s is that of Asterisk 11 or older)", l.version)
		}

		return &Error{
			p, "wait for our own SuccessfulAuth",
			fmt.Errorf("user %s got %s within %s of its login",
				Quote([]byte(l.config.Username)), what, l.config.Timeouts.Verify),
		}
	}
}

// keepAlive pings until the connection is lost or ctx ends, and returns why.
func (l *link) keepAlive(ctx context.Context) error {
	ticker := time.NewTicker(l.config.Timeouts.Ping)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-l.done:
			return l.err
		case <-ticker.C:
			if err := l.ping(ctx); err != nil {
				return err
			}
		}
	}
}

// maxWindows bounds how often the time limit of a Ping starts again because bytes still arrive.
const maxWindows = 6

// errNoPong ends a Ping without an answer.
var errNoPong = errors.New("no answer")

// ping sends a Ping and waits for its answer. An answer can be late for a good reason: megabytes of
// events stand before it, or emit holds up the reader. So the time limit starts again while the
// reader is held up, and a few times while bytes arrive.
func (l *link) ping(ctx context.Context) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	pong := l.config.Timeouts.Pong
	asked := l.now()

	// goami waits until ctx ends, and watch ends it when the time is up.
	go l.watch(ctx, pong, cancel)
	r := l.client.request()
	defer r.forget()
	err := goami.Ping(ctx, r, r.id)
	switch {
	case err == nil:
		l.meter.latency.Store(int64(l.now() - asked))
		return nil
	case errors.Is(err, errConnectionLost):
		<-l.done // the reader knows the reason
		return l.err
	case errors.Is(err, errNoPong), isTimeout(err): // no answer in time, or the write timed out
		return &Error{ProblemSilent, "ping", fmt.Errorf("%w within %s", err, pong)}
	case isClosed(err):
		return l.ended(ctx, err)
	}

	// The PBX answered, but not by Success.
	message, refused := r.refusal()
	if !refused {
		return &Error{ProblemUnknown, "ping", answered(l.scrub(err.Error()))}
	}
	return l.pingRefused(message)
}

// scrub removes from text what the PBX got from us and may repeat.
func (l *link) scrub(text string) string { return l.config.Secret.scrub(text, l.client.key) }

// pingRefused returns the error of a Ping that the PBX answered by message instead of Success.
func (l *link) pingRefused(message string) error {
	p := refusal(message)
	if p != ProblemShuttingDown {
		p = ProblemUnknown
	}
	return &Error{p, "ping", answered(l.scrub(message))}
}

// ended returns why the connection ended, when a write noticed the end first. Only the reader knows
// the reason, and it may still have events to read. So ended waits while emit holds up the reader.
func (l *link) ended(ctx context.Context, err error) error {
	ticker := time.NewTicker(time.Second)
	defer ticker.Stop()
	for {
		select {
		case <-l.done:
			return l.err
		case <-ctx.Done():
			return ctx.Err()
		case <-ticker.C:
			if l.busySince.Load() == 0 {
				return &Error{ProblemLost, "ping", err}
			}
		}
	}
}

// watch ends a Ping by cancel when its time is up.
func (l *link) watch(ctx context.Context, pong time.Duration, cancel context.CancelCauseFunc) {
	ticker := time.NewTicker(pong)
	defer ticker.Stop()
	from := l.now()
	for windows := 0; windows < maxWindows; {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}

		switch {
		case l.busySince.Load() != 0: // held up by emit, not by the PBX: wait on
		case time.Duration(l.lastRead.Load()) > from:
			windows++ // the PBX is far behind, or answers no Ping at all
		default:
			windows = maxWindows // not a byte: give up
		}

		from = l.now()
	}

	cancel(errNoPong)
}
