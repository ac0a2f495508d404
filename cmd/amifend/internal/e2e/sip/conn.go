package sip

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"time"

	"github.com/coder/websocket"
)

// Transport is one of those that Asterisk names in RemoteAddress.
type Transport string

// The transports.
const (
	UDP Transport = "UDP"
	TCP Transport = "TCP"
	TLS Transport = "TLS"
	WS  Transport = "WS"
	WSS Transport = "WSS"
)

// Port returns the port at which the lab's PBX listens for it.
func (t Transport) Port() uint16 {
	switch t {
	case TLS:
		return 5061
	case WS:
		return 8088
	case WSS:
		return 8089
	default:
		return 5060
	}
}

func (t Transport) via() string { return string(t) }

// uri returns the value of a URI's transport parameter: WSS is ws there (RFC 7118, 5.2.1).
func (t Transport) uri() string {
	switch t {
	case UDP:
		return "udp"
	case TCP:
		return "tcp"
	case TLS:
		return "tls"
	default:
		return "ws"
	}
}

// conn carries whole messages.
type conn interface {
	send(b []byte) error
	receive() (*Message, error) // until the connection ends
	local() netip.AddrPort
	close() error
}

// ioTimeout is how long connecting, and one write, may take.
const ioTimeout = 10 * time.Second

// dial connects from local (its port may be 0) to remote.
func dial(ctx context.Context, n Network, t Transport, local, remote netip.AddrPort) (conn, error) {
	ctx, cancel := context.WithTimeout(ctx, ioTimeout)
	defer cancel()

	switch t {
	case UDP:
		return dialUDP(n, local, remote)
	case TCP, TLS:
		c, err := dialTCP(ctx, n, local, remote)
		if err != nil {
			return nil, err
		}
		s := &stream{Conn: c, addr: addrPort(c.LocalAddr())}
		if t == TLS {
			// The certificate is the lab's own, and nobody else can be at the PBX's address.
			tc := tls.Client(c, &tls.Config{InsecureSkipVerify: true})
			if err := tc.HandshakeContext(ctx); err != nil {
				err = fmt.Errorf("TLS handshake with %s: %w", remote, err)
				return nil, errors.Join(err, c.Close())
			}
			s.Conn = tc
		}
		s.r = bufio.NewReader(s.Conn)
		return s, nil
	case WS, WSS:
		return dialWebSocket(ctx, n, t, local, remote)
	default:
		return nil, fmt.Errorf("dial %s: no transport %q", remote, t)
	}
}

// dialTCP connects from within the network.
func dialTCP(
	ctx context.Context, n Network, local, remote netip.AddrPort,
) (c net.Conn, err error) {
	err = n.Do(func() error {
		d := net.Dialer{LocalAddr: net.TCPAddrFromAddrPort(local)}
		c, err = d.DialContext(ctx, "tcp", remote.String())
		return err
	})
	return c, err
}

// datagrams is UDP.
type datagrams struct {
	*net.UDPConn
	buf [64 << 10]byte
}

func dialUDP(n Network, local, remote netip.AddrPort) (conn, error) {
	d := new(datagrams)
	err := n.Do(func() (err error) {
		from, to := net.UDPAddrFromAddrPort(local), net.UDPAddrFromAddrPort(remote)
		d.UDPConn, err = net.DialUDP("udp", from, to)
		return err
	})
	if err != nil {
		return nil, err
	}
	return d, nil
}

func (d *datagrams) send(b []byte) error {
	_, err := d.Write(b)
	return err
}

// receive skips packets that are not SIP, and the errors that ICMP causes while the PBX is down.
func (d *datagrams) receive() (*Message, error) {
	for {
		n, err := d.Read(d.buf[:])
		if errors.Is(err, net.ErrClosed) {
			return nil, err
		}
		if err != nil {
			continue
		}
		if m, err := Parse(d.buf[:n]); err == nil {
			return m, nil
		}
	}
}

func (d *datagrams) local() netip.AddrPort { return addrPort(d.LocalAddr()) }
func (d *datagrams) close() error          { return d.Close() }

// stream is TCP or TLS.
type stream struct {
	net.Conn
	r    *bufio.Reader
	addr netip.AddrPort
}

func (s *stream) send(b []byte) error {
	if err := s.SetWriteDeadline(time.Now().Add(ioTimeout)); err != nil {
		return err
	}
	_, err := s.Write(b)
	return err
}

func (s *stream) receive() (*Message, error) { return Read(s.r) }
func (s *stream) local() netip.AddrPort      { return s.addr }

// close does not wait: a peer that drops our packets never answers a TLS goodbye. What was not
// delivered is not sent again when the ban is over: it would be another attempt.
func (s *stream) close() error {
	if tcp, ok := s.Conn.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0) // it only spares an attempt
	}
	if tc, ok := s.Conn.(*tls.Conn); ok {
		return tc.NetConn().Close()
	}
	return s.Close()
}

// socket is SIP over WebSocket (RFC 7118).
type socket struct {
	ws   *websocket.Conn
	addr netip.AddrPort
	end  context.CancelFunc
	ctx  context.Context // ends a blocked read when closed
}

// Origin is the page that all WebSockets claim to be opened by. Asterisk takes any.
const Origin = "http://evil.example"

// ForwardedFor is the client that all WebSockets claim to be the proxy of. Asterisk does not look.
const ForwardedFor = "10.20.0.181"

// dialWebSocket connects to the PBX's HTTP server and asks for SIP over WebSocket.
func dialWebSocket(
	ctx context.Context, n Network, t Transport, local, remote netip.AddrPort,
) (conn, error) {
	s := new(socket)
	var mu sync.Mutex
	transport := &http.Transport{
		TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, // the lab's own certificate
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			c, err := dialTCP(ctx, n, local, remote)
			if err == nil {
				mu.Lock()
				s.addr = addrPort(c.LocalAddr())
				mu.Unlock()
			}
			return c, err
		},
		DisableKeepAlives: true,
	}

	// The subprotocol sip is required (RFC 7118, 4).
	scheme := "ws"
	if t == WSS {
		scheme = "wss"
	}
	ws, resp, err := websocket.Dial(ctx, scheme+"://"+remote.String()+"/ws", &websocket.DialOptions{
		HTTPClient: &http.Client{Transport: transport}, Subprotocols: []string{"sip"},
		HTTPHeader: http.Header{
			"Origin": {Origin}, "X-Forwarded-For": {ForwardedFor}, "X-Real-Ip": {ForwardedFor},
			"Forwarded": {"for=" + ForwardedFor},
		},
	})
	if err != nil {
		return nil, err
	}
	if resp.Body != nil {
		_ = resp.Body.Close() // empty after an upgrade
	}

	mu.Lock()
	defer mu.Unlock()
	s.ws = ws
	s.ctx, s.end = context.WithCancel(context.Background())
	return s, nil
}

func (s *socket) send(b []byte) error {
	ctx, cancel := context.WithTimeout(s.ctx, ioTimeout)
	defer cancel()
	return s.ws.Write(ctx, websocket.MessageText, b)
}

func (s *socket) receive() (*Message, error) {
	for {
		_, b, err := s.ws.Read(s.ctx)
		if err != nil {
			return nil, err
		}
		if m, err := Parse(b); err == nil {
			return m, nil
		}
	}
}

func (s *socket) local() netip.AddrPort { return s.addr }

func (s *socket) close() error {
	s.end()
	return s.ws.CloseNow()
}

// addrPort returns the address and port of a TCP or UDP socket, IPv4 as IPv4.
func addrPort(a net.Addr) netip.AddrPort {
	p, err := netip.ParseAddrPort(a.String())
	if err != nil {
		return netip.AddrPort{} // not of a TCP or UDP socket
	}
	return netip.AddrPortFrom(p.Addr().Unmap(), p.Port())
}
