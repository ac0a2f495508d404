package sip

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"sync"
	"time"
)

// ErrNoAnswer means that a request was not answered in time: it was lost, or a firewall dropped it.
var ErrNoAnswer = errors.New("no answer")

// Client sends requests over one connection and reads the answers. It answers every request of the
// PBX with 200.
type Client struct {
	Transport Transport
	Local     netip.AddrPort
	Remote    netip.AddrPort
	Patience  time.Duration // how long an Attempt waits; 300 ms unless changed after Dial
	Via       Via           // of the requests that have none of their own

	conn    conn
	done    chan struct{} // closed when the reader has ended
	mu      sync.Mutex
	pending map[string]chan *Message // by Call-ID and CSeq
}

// Dial connects to the PBX. The port of local may be 0.
func Dial(
	ctx context.Context, n Network, t Transport, local, remote netip.AddrPort,
) (*Client, error) {
	conn, err := dial(ctx, n, t, local, remote)
	if err != nil {
		return nil, fmt.Errorf("dial %s %s from %s: %w", t, remote, local, err)
	}
	return newClient(t, remote, Via{}, conn), nil
}

// DialForged returns a client whose UDP packets bear the address source, which is not its own.
// Their Via asks for the answers at the IPv4 address answers, where the client reads them: so the
// sender logs in and guesses as if it were source. The port of answers may be 0. It needs
// CAP_NET_ADMIN in the namespace.
func DialForged(
	ctx context.Context, n Network, source, answers, pbx netip.AddrPort,
) (*Client, error) {
	out, err := NewForger(ctx, n, source, pbx)
	if err != nil {
		return nil, err
	}
	in, err := dialUDP(n, answers, pbx)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("read answers at %s: %w", answers, err), out.Close())
	}

	// Asterisk sends the answer to maddr, at the port of sent-by.
	via := Via{SentBy: in.local(), Maddr: in.local().Addr()}
	return newClient(UDP, pbx, via, &forged{conn: in, out: out}), nil
}

func newClient(t Transport, remote netip.AddrPort, via Via, conn conn) *Client {
	c := &Client{
		Transport: t, Local: conn.local(), Remote: remote, Patience: patience, Via: via,
		conn: conn, done: make(chan struct{}), pending: make(map[string]chan *Message),
	}
	go c.read()
	return c
}

// Close ends the connection and waits for the reader.
func (c *Client) Close() error {
	err := c.conn.close()
	<-c.done
	return err
}

// Host returns the PBX as a URI's host.
func (c *Client) Host() string { return host(c.Remote.Addr()) }

func host(a netip.Addr) string {
	if a.Is6() {
		return "[" + a.String() + "]"
	}
	return a.String()
}

// Request returns r with the fields that the caller left empty: Via, target, host, Call-ID, tag,
// branch and CSeq.
func (c *Client) Request(r Request) Request {
	def := func(s *string, v string) {
		if *s == "" {
			*s = v
		}
	}
	def(&r.Host, c.Host())
	def(&r.Target, "sip:"+r.Host)
	def(&r.CallID, rand.Text())
	def(&r.Tag, rand.Text())
	def(&r.Branch, rand.Text())

	r.Via = c.via(r)
	if r.CSeq == 0 {
		r.CSeq = 1
	}
	return r
}

// via returns the Via of a request.
func (c *Client) via(r Request) Via {
	if r.Via == (Via{}) {
		return c.Via
	}
	return r.Via
}

// Send sends a request and does not wait.
func (c *Client) Send(r Request) error {
	r.Via = c.via(r)
	if err := c.conn.send(r.Bytes(c.Transport, c.Local.String())); err != nil {
		return fmt.Errorf("send %s: %w", r.Method, err)
	}
	return nil
}

// retransmit are the times after which a UDP request is sent again (RFC 3261, timer E with T1 of
// 500 ms).
var retransmit = []time.Duration{500 * time.Millisecond, time.Second, 2 * time.Second}

// Do sends a request and returns its final response, [ErrNoAnswer] if there is none before ctx
// ends.
func (c *Client) Do(ctx context.Context, r Request) (*Message, error) {
	key := fmt.Sprintf("%s %d %s", r.CallID, r.CSeq, r.Method)
	answers := make(chan *Message, 8)
	c.mu.Lock()
	c.pending[key] = answers
	c.mu.Unlock()
	defer func() {
		c.mu.Lock()
		delete(c.pending, key)
		c.mu.Unlock()
	}()

	// While Asterisk is down its host answers with ICMP: a failed write of a datagram is a lost
	// datagram.
	if err := c.Send(r); err != nil && c.Transport != UDP {
		return nil, err
	}

	for try := 0; ; {
		var again <-chan time.Time
		if c.Transport == UDP && try < len(retransmit) {
			again = time.After(retransmit[try])
		}
		select {
		case m := <-answers:
			if m.Status() >= 200 {
				return m, nil
			}
			try = len(retransmit) // provisional: it has arrived
		case <-again:
			try++
			_ = c.Send(r) // lost, if it fails
		case <-c.done:
			return nil, fmt.Errorf("%s to %s: connection closed", r.Method, c.Remote)
		case <-ctx.Done():
			return nil, fmt.Errorf("%s to %s: %w", r.Method, c.Remote, ErrNoAnswer)
		}
	}
}

// read hands each response to the Do that waits for it, until the connection ends.
func (c *Client) read() {
	defer close(c.done)
	for {
		m, err := c.conn.receive()
		if err != nil {
			return // the peer's end or ours: Do reports it to whoever waits
		}
		if m.Status() == 0 {
			// A phone that cannot answer is not the fault of the program under test.
			_ = c.conn.send(okFor(m))
			continue
		}

		// Asterisk copies both into its response (RFC 3261, 8.2.6.2).
		seq, method, _ := strings.Cut(m.Get("CSeq"), " ")
		c.mu.Lock()
		ch := c.pending[m.Get("Call-ID")+" "+seq+" "+method]
		c.mu.Unlock()
		select {
		case ch <- m: // nil: nobody asked, as with the answers to forged requests
		default:
		}
	}
}

// okFor returns the 200 to a request of the PBX (OPTIONS, BYE, NOTIFY). Via, From, To, Call-ID and
// CSeq go back as they are.
func okFor(m *Message) []byte {
	var b strings.Builder
	b.WriteString("SIP/2.0 200 OK\r\n")
	for _, f := range m.Header {
		switch strings.ToLower(f.Name) {
		case "via", "from", "to", "call-id", "cseq":
			fmt.Fprintf(&b, "%s: %s\r\n", f.Name, f.Value)
		}
	}
	b.WriteString("Content-Length: 0\r\n\r\n")
	return []byte(b.String())
}

// SendRaw sends bytes that need not be SIP.
func (c *Client) SendRaw(b []byte) error {
	if err := c.conn.send(b); err != nil {
		return fmt.Errorf("send bytes: %w", err)
	}
	return nil
}
