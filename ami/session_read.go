package ami

import (
	"errors"
	"fmt"
	"io"
	"net/netip"
	"time"
)

// slowWindow is the longest time between a stall and the end of a connection that the stall may
// have caused.
const slowWindow = 30 * time.Second

// errNoRoom is the error of a decoder without free space. Without it the reader would spin.
var errNoRoom = errors.New("the decoder has no room")

// read reads the stream to its end, and returns why it ended as an *Error.
func (l *link) read() error {
	emit, respond := l.event, l.respond // made once: a method value allocates

	// Bytes that came together with the banner are the first of the stream.
	rest := l.reader.rest
	for len(rest) > 0 {
		n := copy(l.decoder.Buffer(), rest)
		if n == 0 {
			return &Error{ProblemUnknown, "read", errNoRoom}
		}
		l.reader.keepEnd(rest[:n])
		l.advance(n, emit, respond)
		rest = rest[n:]
	}

	for {
		held := l.decoder.Held()
		n, err := l.readOnce(held)
		if n > 0 {
			l.advance(n, emit, respond)
		}

		switch {
		case err == nil:
		case held && isTimeout(err):
			// The deadline may have passed while this process was not running, so look for bytes
			// that arrived meanwhile. Otherwise an attacker who floods both machines could delay
			// our read of the orphan until after the release.
			if !pending(l.conn) {
				l.release(emit)
			}
		default:
			l.release(emit)
			return l.lost(err)
		}
	}
}

// readOnce reads into the decoder's buffer. While an event is held it waits HoldTime for a byte.
// Otherwise the answers to Pings come regularly, and the deadline only matters if the goroutine
// that pings hangs.
func (l *link) readOnce(held bool) (int, error) {
	wait := l.config.Timeouts.Ping + maxWindows*l.config.Timeouts.Pong
	if held {
		wait = HoldTime
	}
	if err := l.conn.SetReadDeadline(time.Now().Add(wait)); err != nil {
		return 0, err // lost wraps it
	}

	buffer := l.decoder.Buffer()
	if len(buffer) == 0 {
		return 0, errNoRoom
	}
	n, err := l.conn.Read(buffer)
	l.reader.keepEnd(buffer[:n])

	return n, err // lost wraps it
}

// keepEnd keeps the last bytes of the stream.
func (r *reader) keepEnd(read []byte) {
	if n := len(read); n >= len(r.end) {
		copy(r.end[:], read[n-len(r.end):])
	} else {
		copy(r.end[:], r.end[n:])
		copy(r.end[len(r.end)-n:], read)
	}
}

// advance hands the n bytes that were read to the decoder, and measures how long emit held it up.
func (l *link) advance(n int, emit func(Event), respond func([]byte)) {
	begin := l.now()
	l.lastRead.Store(int64(begin))
	l.busySince.Store(int64(begin))
	l.decoder.Advance(n, emit, respond)
	l.measure(begin)
}

// release lets the decoder emit the event that it held.
func (l *link) release(emit func(Event)) {
	begin := l.now()
	l.busySince.Store(int64(begin))
	l.decoder.Release(emit)
	l.measure(begin)
}

func (l *link) measure(begin time.Duration) {
	end := l.now()
	l.busySince.Store(0)
	if took := end - begin; took >= StallTime {
		l.meter.stalls.Add(1)
		l.meter.stalled.Add(int64(took))
		l.reader.stalled, l.reader.stallEnd = took, end
	}
	l.meter.publish(l.decoder.Stats())
}

// event handles an event from the decoder. The fields of e are borrowed.
func (l *link) event(e Event) {
	if !l.reader.loggedIn {
		return // nothing that comes before the login is an event
	}

	// The decoder would mark the first login of our user, even if another program made it.
	e.Own = e.Kind == KindSuccessfulAuth && e.Service == ServiceAMI && e.Taint == 0 &&
		string(e.Account) == l.config.Username && l.isOwn(e.Source)

	// The first event proves that the user may read security events.
	if !l.reader.seen {
		l.reader.seen = true
		close(l.verified)
	}

	l.meter.events.Add(1)
	l.emit(e)
}

// isOwn reports whether a SuccessfulAuth of our user belongs to this very login. It takes the first
// one after the login, but prefers the one whose address is our end of the connection. Without NAT
// that one is certain, even if a second program, such as `amifend check`, logs in as the same user.
func (l *link) isOwn(source netip.AddrPort) bool {
	r := &l.reader
	if !source.IsValid() || r.own == ownCertain || l.now()-r.login > ownWindow {
		return false
	}

	if source == l.local {
		r.own = ownCertain
	} else {
		// Behind NAT our address differs. The first login counts as ours, and a later one as that
		// of another program.
		if r.own == ownAssumed {
			return false
		}
		r.own = ownAssumed
	}

	l.meter.setOwn(source)
	return true
}

// respond handles all other packets from the decoder. They are borrowed.
func (l *link) respond(packet []byte) {
	r := l.client.route(packet)
	id := l.loginID.Load()
	if r == nil || id == nil || r.id != *id || l.reader.loggedIn {
		return
	}
	if string(field(packet, "Response")) == "Success" {
		l.reader.loggedIn, l.reader.login = true, l.now()
	}
}

// lost names the problem of a connection that ended with err. When a client is about 4 MB behind,
// Asterisk closes the connection in the middle of a line, and gives no other sign (main/manager.c,
// and capture 10).
func (l *link) lost(err error) error {
	const op = "read"
	r := &l.reader
	switch {
	case isTimeout(err):
		return &Error{ProblemSilent, op, err}
	case !isClosed(err):
		return &Error{ProblemLost, op, err}
	case !r.loggedIn:
		return &Error{ProblemLost, op, fmt.Errorf("closed during the login: %w", err)}
	case r.stalled > 0 && l.now()-r.stallEnd < slowWindow:
		return &Error{ProblemTooSlow, op, fmt.Errorf("closed after events were held up for %s: %w",
			r.stalled.Round(time.Millisecond), err)}
	case string(r.end[:]) != "\r\n\r\n":
		return &Error{ProblemTooSlow, op, fmt.Errorf("closed in the middle of a packet: %w",
			errors.Join(err, io.ErrUnexpectedEOF))}
	}

	return &Error{ProblemLost, op, err}
}
