package ami

import (
	"errors"
	"fmt"
	"io"
	"net/netip"
	"time"
)

// slowWindow is how long before the end of a connection a stall is taken for its cause.
const slowWindow = 30 * time.Second

// errNoRoom is a decoder without free space, which would make the reader spin.
var errNoRoom = errors.New("the decoder has no room")

// read reads the stream to its end, and returns why it ended as an *Error.
func (l *link) read() error {
	emit, respond := l.event, l.respond // made once: a method value allocates
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
			// Time passes too while the machine does not let us run: what arrived meanwhile is no
			// silence. Else whoever floods both machines could have the rest of a forged event read
			// a moment late.
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
// Else Pings make the PBX speak, and the deadline is the last resort, should the goroutine that
// pings wait for something.
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

// advance hands n bytes, which are read, to the decoder, and measures how long emit held it up.
func (l *link) advance(n int, emit func(Event), respond func([]byte)) {
	begin := l.now()
	l.lastRead.Store(int64(begin))
	l.busySince.Store(int64(begin))
	l.decoder.Advance(n, emit, respond)
	l.measure(begin)
}

// release lets the decoder hand out what it held back.
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

// event is what the decoder emits to. The fields of e are borrowed.
func (l *link) event(e Event) {
	if !l.reader.loggedIn {
		return // nothing that comes before the login is an event
	}

	// The decoder could only tell the first login of our user, whoever that was.
	e.Own = e.Kind == KindSuccessfulAuth && e.Service == ServiceAMI && e.Taint == 0 &&
		string(e.Account) == l.config.Username && l.isOwn(e.Source)
	if !l.reader.seen {
		l.reader.seen = true
		close(l.verified)
	}

	l.meter.events.Add(1)
	l.emit(e)
}

// isOwn tells whether a SuccessfulAuth of our user is of this very login: the first one after it,
// and rather the one that came from our end of the connection. Without NAT that is certain; a
// second amifend of the same user, such as `amifend check`, is told apart by it.
func (l *link) isOwn(source netip.AddrPort) bool {
	r := &l.reader
	if !source.IsValid() || r.own == ownCertain || l.now()-r.login > ownWindow {
		return false
	}

	if source == l.local {
		r.own = ownCertain
	} else {
		if r.own == ownAssumed {
			return false
		}
		r.own = ownAssumed
	}

	l.meter.setOwn(source)
	return true
}

// respond is what the decoder hands all other packets to. They are borrowed.
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

// lost names the problem of a connection that ended by err. Asterisk closes a consumer that is
// about 4 MB behind in the middle of a line (main/manager.c, and capture 10), and marks the loss by
// nothing else.
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
