package lab

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"sync"
	"time"
)

// Tap is a second client of the AMI that records every event: the truth that amifend is measured
// against. It shares no code with amifend's decoder and is of use only where the tests know who
// sent which packet.
type Tap struct {
	conn net.Conn
	done chan struct{}

	mu     sync.Mutex
	events []Event
}

// Event is a security event as the tap understood it.
type Event struct {
	Kind, Service, Account, Session string

	Time    time.Time  // EventTV
	Source  netip.Addr // of the last RemoteAddress: the one that Asterisk wrote itself
	Packet  string     // all of it
	Arrival time.Time
}

// OpenTap logs in at the AMI from within the PBX's namespace.
func (l *Lab) OpenTap(ctx context.Context) (*Tap, error) {
	secret, err := l.Secret()
	if err != nil {
		return nil, err
	}

	t := &Tap{done: make(chan struct{})}
	err = l.Net(PBX).Do(func() (err error) {
		t.conn, err = new(net.Dialer).DialContext(ctx, "tcp", "127.0.0.1:5038")
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("open tap: %w", err)
	}

	// Large enough for a flood while the test is busy: Asterisk closes a client that falls behind.
	r := bufio.NewReaderSize(t.conn, 256<<10)
	if err := t.login(r, secret); err != nil {
		t.conn.Close()
		return nil, fmt.Errorf("open tap: %w", err)
	}
	go t.record(r)
	return t, nil
}

func (t *Tap) login(r *bufio.Reader, secret string) error {
	if err := t.conn.SetReadDeadline(time.Now().Add(5 * time.Second)); err != nil {
		return err
	}
	if _, err := r.ReadString('\n'); err != nil { // the banner
		return err
	}

	// Security events only: the tap must not be told of calls.
	const action = "Action: Login\r\nUsername: tap\r\nSecret: %s\r\nEvents: security\r\n\r\n"
	_, err := fmt.Fprintf(t.conn, action, secret)
	if err != nil {
		return err
	}

	answer, err := packet(r)
	if err != nil {
		return err
	}
	if !strings.Contains(answer, "Response: Success") {
		return fmt.Errorf("login refused: %q", answer)
	}
	return t.conn.SetReadDeadline(time.Time{})
}

// packet reads up to the next empty line.
func packet(r *bufio.Reader) (string, error) {
	var b strings.Builder
	for {
		line, err := r.ReadString('\n')
		if err != nil {
			return "", err
		}
		if line == "\r\n" {
			return b.String(), nil
		}
		b.WriteString(line)
	}
}

func (t *Tap) record(r *bufio.Reader) {
	defer close(t.done)
	for {
		p, err := packet(r)
		if err != nil {
			return // closed, or Asterisk is gone
		}
		e := parse(p)
		e.Arrival = time.Now()

		t.mu.Lock()
		t.events = append(t.events, e)
		t.mu.Unlock()
	}
}

// parse reads the headers that it finds. The last value of a header counts, since injected text
// stands before the true one.
func parse(p string) Event {
	e := Event{Packet: p}
	for line := range strings.SplitSeq(p, "\r\n") {
		name, value, _ := strings.Cut(line, ": ")
		switch name {
		case "Event":
			e.Kind = value
		case "Service":
			e.Service = value
		case "AccountID":
			e.Account = value
		case "SessionID":
			e.Session = value
		case "EventTV":
			// Zero in a torn packet.
			e.Time, _ = time.Parse("2006-01-02T15:04:05.000-0700", value)
		case "RemoteAddress":
			// family/transport/address/port
			if part := strings.Split(value, "/"); len(part) == 4 {
				e.Source, _ = netip.ParseAddr(part[2]) // invalid in a torn packet
			}
		}
	}
	return e
}

// Events returns the events of one source so far.
func (t *Tap) Events(source netip.Addr) []Event {
	return t.Select(func(e Event) bool { return e.Source == source })
}

// Select returns the events so far for which keep holds.
func (t *Tap) Select(keep func(Event) bool) []Event {
	t.mu.Lock()
	defer t.mu.Unlock()
	var out []Event
	for _, e := range t.events {
		if keep(e) {
			out = append(out, e)
		}
	}
	return out
}

// Close ends the tap.
func (t *Tap) Close() error {
	err := t.conn.Close()
	<-t.done
	return err
}
