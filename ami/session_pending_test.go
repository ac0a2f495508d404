package ami

import (
	"bufio"
	"context"
	"net"
	"strings"
	"testing"
	"time"
)

// stalled is a connection whose reader does not get to run once, for longer than HoldTime, while an
// event is held and its rest arrives.
type stalled struct {
	*net.TCPConn
	armed, rest, written chan struct{}
}

func (c stalled) SetReadDeadline(t time.Time) error {
	err := c.TCPConn.SetReadDeadline(t)
	if time.Until(t) > HoldTime {
		return err
	}

	select {
	case <-c.armed:
		close(c.rest)
		<-c.written
		time.Sleep(2 * HoldTime)
	default:
	}

	return err
}

// The head of an injection is in one segment, the orphan in the next, and the machine too busy to
// read it in time.
func TestStalledReaderReleasesNoForgedEvent(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	forged := "\r\nSessionID: 0x1234\r\nLocalAddress: IPV4/UDP/192.0.2.10/5060\r\nRemoteAddress: " +
		victimAddress + "\r\n"

	packet := asterisk{kind: KindInvalidAccountID, service: "SIP", account: "a" + forged}.String()
	end := strings.Index(packet, forged) + len(forged) + len("\r\n")

	// The PBX sends the head, waits until the reader is about to wait for HoldTime, and sends the
	// rest while the reader sleeps.
	armed, rest, written := make(chan struct{}, 1), make(chan struct{}), make(chan struct{})
	go func() {
		conn, err := listener.Accept()
		if err != nil {
			return
		}
		defer conn.Close()
		say := func(text string) { _, _ = conn.Write([]byte(text)) }
		say("Asterisk Call Manager/11.0.0\r\n")

		pings := 0
		answerActions(conn, func(action, id, _ string) {
			if answerLogin(say, action, id) {
				return
			}

			// The first Pong is followed by half a packet, and by the rest when the test asks.
			say("Response: Success\r\nActionID: " + id + "\r\nPing: Pong\r\n\r\n")
			if pings++; pings == 1 {
				armed <- struct{}{}
				say(packet[:end])
				<-rest
				say(packet[end:])
				close(written)
			}
		})
	}()

	c := Config{Address: listener.Addr().String(), Username: "amifend", Secret: NewSecret("x")}
	c.Dial = func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := new(net.Dialer).DialContext(ctx, network, address)
		if err != nil {
			return nil, err
		}
		return stalled{conn.(*net.TCPConn), armed, rest, written}, nil
	}

	var events []Event
	if _, err := Probe(t.Context(), c, 300*time.Millisecond, func(e Event) {
		events = append(events, Event{Source: e.Source, Taint: e.Taint})
	}); err != nil {
		t.Fatal(err)
	}

	// Without the stall the test would prove nothing.
	select {
	case <-written:
	default:
		t.Fatal("the reader was not stalled")
	}

	checkNoVictim(t, events)
}

// answerActions calls do for every action that is read.
func answerActions(conn net.Conn, do func(action, id, key string)) {
	var action, id, key string
	for lines := bufio.NewScanner(conn); lines.Scan(); {
		name, value, _ := strings.Cut(lines.Text(), ": ")
		switch name {
		case "Action":
			action = value
		case "ActionID":
			id = value
		case "Key":
			key = value
		case "":
			do(action, id, key)
		}
	}
}
