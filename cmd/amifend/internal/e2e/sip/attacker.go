package sip

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// patience is how long an attacker waits for an answer before its next attempt: well above the
// lab's few milliseconds, and short enough that one that is dropped soon tries again.
const patience = 300 * time.Millisecond

// Attempt sends one request and returns the PBX's answer, [ErrNoAnswer] if there is none within the
// client's patience. It does not answer a challenge.
func (c *Client) Attempt(ctx context.Context, r Request) (*Message, error) {
	r = c.Request(r)
	if r.Method == "INVITE" && r.Body == "" {
		r.Header = append(r.Header, fmt.Sprintf("Contact: <sip:%s@%s>", r.From, c.Local))
	}

	ctx, cancel := context.WithTimeout(ctx, c.Patience)
	defer cancel()
	m, err := c.Do(ctx, r)
	if err == nil && r.Method == "INVITE" {
		ack := r
		ack.Method, ack.Header, ack.ToTag = "ACK", nil, tagOf(m.Get("To"))
		err = c.Send(ack)
	}
	return m, err
}

// Flood sends requests as fast as it can until ctx ends, and waits for nothing. It returns how
// many.
func (c *Client) Flood(ctx context.Context, r Request) (sent int) {
	// Different requests: Asterisk answers a retransmission without another event.
	var packets [256][]byte
	for i := range packets {
		packets[i] = c.Request(r).Bytes(c.Transport, c.Local.String())
	}

	for ; ctx.Err() == nil; sent++ {
		_ = c.conn.send(packets[sent%len(packets)]) // dropped or not is for the receiver to tell
	}
	return sent
}

// MadeUp returns an Authorization line with a nonce that the PBX never gave.
func MadeUp(user, method, uri string) string {
	ch := Challenge{Realm: "asterisk", Nonce: rand.Text()}
	return "Authorization: " + ch.Answer(user, "guess", method, uri)
}

// Guess asks for a challenge and answers it with a password. It returns the PBX's last answer. A
// wrong guess raises one failure of a known account, and two events of an unknown one.
func (c *Client) Guess(ctx context.Context, method, user, password string) (*Message, error) {
	return c.GuessAs(ctx, Request{Method: method, From: user}, password)
}

// GuessAs does the same with the caller's own request.
func (c *Client) GuessAs(ctx context.Context, r Request, password string) (*Message, error) {
	r = c.Request(r)
	m, err := c.Attempt(ctx, r)
	if err != nil {
		return nil, err
	}
	ch, ok := ParseChallenge(m.Get("WWW-Authenticate"))
	if !ok {
		return m, nil
	}

	r.CSeq++
	r.Branch = rand.Text()
	answer := ch.Answer(r.From, password, r.Method, r.Target)
	r.Header = append(r.Header, "Authorization: "+answer)
	return c.Attempt(ctx, r)
}

// Forger sends UDP packets that bear an address which is not its own.
type Forger struct {
	conn   *net.UDPConn
	source netip.AddrPort
}

// NewForger forges packets from source to the PBX. It needs CAP_NET_ADMIN in the namespace
// (IP_TRANSPARENT, ip(7)).
func NewForger(ctx context.Context, n Network, source, pbx netip.AddrPort) (*Forger, error) {
	f := &Forger{source: source}
	err := n.Do(func() error {
		d := net.Dialer{LocalAddr: net.UDPAddrFromAddrPort(source), Control: transparent}
		c, err := d.DialContext(ctx, "udp", pbx.String())
		if err != nil {
			return err
		}
		udp, ok := c.(*net.UDPConn)
		if !ok {
			return errors.Join(fmt.Errorf("not a UDP socket: %T", c), c.Close())
		}
		f.conn = udp
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("forge packets of %s: %w", source, err)
	}
	return f, nil
}

// transparent is a [net.Dialer.Control] that lets a socket take any address as its own.
func transparent(network, _ string, raw syscall.RawConn) error {
	var err error
	ctl := raw.Control(func(fd uintptr) {
		if network == "udp6" {
			err = unix.SetsockoptInt(int(fd), unix.SOL_IPV6, unix.IPV6_TRANSPARENT, 1)
			return
		}
		err = unix.SetsockoptInt(int(fd), unix.SOL_IP, unix.IP_TRANSPARENT, 1)
	})
	return errors.Join(ctl, err)
}

// Send forges one request. Answers go to the address that it names, or to its maddr.
func (f *Forger) Send(r Request) error {
	c := Client{Transport: UDP, Local: f.source, Remote: addrPort(f.conn.RemoteAddr())}
	_, err := f.conn.Write(c.Request(r).Bytes(UDP, f.source.String()))
	return err
}

// Close ends the forger.
func (f *Forger) Close() error { return f.conn.Close() }

// forged is UDP that sends from one address and receives at another.
type forged struct {
	conn // where the answers come
	out  *Forger
}

func (f *forged) send(b []byte) error {
	_, err := f.out.conn.Write(b)
	return err
}

func (f *forged) local() netip.AddrPort { return f.out.source }
func (f *forged) close() error          { return errors.Join(f.conn.close(), f.out.Close()) }
