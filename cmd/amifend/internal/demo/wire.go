package demo

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"
)

// Ports of the played PBXs.
const (
	portSIP  = 5060
	portSIPS = 5061
)

// try holds the requests that one client sends at once, over one socket.
type try struct {
	from      netip.Addr
	to        *pbx
	transport string // UDP or TLS
	requests  []request
	forged    bool          // the answers go to somebody else, so nobody waits for them
	patience  time.Duration // for each answer
}

// result is the outcome of a try.
type result struct {
	sent, answered int
	last           int // the status of the last answer
}

// network takes requests to a PBX. A request that cannot be sent is an error, a missing answer is
// not.
type network interface {
	exchange(ctx context.Context, t try) (result, error)
}

// direct is a network without packets: every request arrives, even that of a banned source.
type direct struct {
	tries atomic.Uint32
}

// exchange passes the requests on.
func (d *direct) exchange(_ context.Context, t try) (result, error) {
	r := result{}
	local := t.to.local(t.from, t.transport)

	// Each try has a socket of its own, as on the wire.
	remote := netip.AddrPortFrom(t.from, uint16(40000+d.tries.Add(1)%20000))
	for _, req := range t.requests {
		r.sent++
		r.last = t.to.handle(t.transport, local, remote, req)
		if !t.forged {
			r.answered++
		}
	}

	return r, nil
}

// local returns the address at which the PBX takes requests.
func (p *pbx) local(remote netip.Addr, transport string) netip.AddrPort {
	addr, port := p.addr4, uint16(portSIP)
	if remote.Is6() {
		addr = p.addr6
	}
	if transport == "TLS" {
		port = portSIPS
	}
	return netip.AddrPortFrom(addr, port)
}

// wire is the real network: packets from the far namespace to the PBXs' sockets.
type wire struct {
	space   *space
	closers []interface{ Close() error }
	serving sync.WaitGroup
}

// newWire makes the network and opens the PBXs' ports. It returns after a packet and its answer
// have arrived, over IPv4 and IPv6.
func newWire(ctx context.Context, pbxs ...*pbx) (*wire, error) {
	var near []netip.Addr
	for _, p := range pbxs {
		near = append(near, p.addr4)
		if p.addr6.IsValid() {
			near = append(near, p.addr6)
		}
	}

	s, err := newSpace(near)
	if err != nil {
		return nil, err
	}

	// From here on, what was opened must be closed when something fails.
	w := &wire{space: s, closers: []interface{ Close() error }{s}}
	for _, p := range pbxs {
		if err := errors.Join(w.listenUDP(p, p.addr4), w.listenUDP(p, p.addr6),
			w.listenTLS(p)); err != nil {
			w.Close()
			return nil, err
		}
	}

	// A route that was just added may not work at once, and a lost packet would look like a ban.
	gw4, gw6 := gateways()
	for _, gw := range []netip.Addr{gw4, gw6} {
		if err := w.await(ctx, gw, pbxs[0]); err != nil {
			w.Close()
			return nil, err
		}
	}

	return w, nil
}

// await waits until the kernel carries packets: it drops them for a moment after an interface is
// up.
func (w *wire) await(ctx context.Context, from netip.Addr, p *pbx) error {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()

	ask := try{
		from: from, to: p, transport: "UDP",
		requests: []request{{method: "OPTIONS", account: "gateway", call: "ready"}},
		patience: 50 * time.Millisecond,
	}
	for {
		r, err := w.exchange(ctx, ask)
		if err == nil && r.answered > 0 {
			return nil
		}

		if ctx.Err() != nil {
			return errors.Join(fmt.Errorf("no packet from %s gets through the veth pair", from),
				err)
		}
	}
}

// listenUDP answers requests over UDP at an address of a PBX.
func (w *wire) listenUDP(p *pbx, addr netip.Addr) error {
	if !addr.IsValid() {
		return nil
	}

	local := netip.AddrPortFrom(addr, portSIP)
	conn, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(local))
	if err != nil {
		return fmt.Errorf("open the SIP port of PBX %s: %w", p.name, err)
	}

	w.closers = append(w.closers, conn)

	// The buffer holds the whole flood of forged packets, so that on a slow machine too each packet
	// either arrives or was dropped by the table. The kernel gives less if net.core.rmem_max is
	// lower.
	if err := conn.SetReadBuffer(1 << 20); err != nil {
		return fmt.Errorf("open the SIP port of PBX %s: %w", p.name, err)
	}

	w.serving.Go(func() {
		buf := make([]byte, 4096)
		for {
			n, remote, err := conn.ReadFromUDPAddrPort(buf)
			if err != nil {
				return // closed
			}

			req, err := readRequest(bufio.NewReader(bytes.NewReader(buf[:n])))
			if err != nil {
				continue // garbage raises no event
			}

			// An answer that cannot be sent is as good as lost, which is usual over UDP.
			remote = netip.AddrPortFrom(remote.Addr().Unmap(), remote.Port())
			answer := reply(p.handle("UDP", local, remote, req))
			_, _ = conn.WriteToUDPAddrPort(answer, remote)
		}
	})

	return nil
}

// listenTLS answers requests over TLS.
func (w *wire) listenTLS(p *pbx) error {
	local := netip.AddrPortFrom(p.addr4, portSIPS)
	listener, err := tls.Listen("tcp", local.String(),
		&tls.Config{Certificates: []tls.Certificate{p.certificate}, MinVersion: tls.VersionTLS12})
	if err != nil {
		return fmt.Errorf("open the TLS port of PBX %s: %w", p.name, err)
	}

	w.closers = append(w.closers, listener)
	w.serving.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return // closed
			}
			w.serving.Go(func() { serveTLS(conn, p, local) })
		}
	})

	return nil
}

// serveTLS answers the requests of one connection.
func serveTLS(conn net.Conn, p *pbx, local netip.AddrPort) {
	defer conn.Close()
	remote, err := netip.ParseAddrPort(conn.RemoteAddr().String())
	if err != nil {
		return
	}

	// The deadline ends the connection of a banned client, whose FIN is dropped too.
	in := bufio.NewReader(conn)
	for {
		if err := conn.SetDeadline(time.Now().Add(5 * time.Second)); err != nil {
			return
		}

		req, err := readRequest(in)
		if err != nil {
			return
		}

		if _, err := conn.Write(reply(p.handle("TLS", local, remote, req))); err != nil {
			return
		}
	}
}

// exchange sends the requests one after the other and waits for each answer. It ends at the first
// missing answer.
func (w *wire) exchange(ctx context.Context, t try) (result, error) {
	conn, err := w.open(ctx, t)
	switch {
	case err != nil && t.transport == "UDP":
		return result{}, err
	case err != nil:
		return result{sent: 1}, nil // the connection failed
	}
	defer conn.Close()

	var r result
	in := bufio.NewReader(conn)
	for _, req := range t.requests {
		r.sent++
		if err := conn.SetDeadline(time.Now().Add(t.patience)); err != nil {
			return r, fmt.Errorf("send request: %w", err)
		}

		if _, err := conn.Write(req.bytes()); err != nil {
			return r, fmt.Errorf("send request: %w", err)
		}
		if t.forged {
			continue
		}

		status, err := readReply(in)
		if err != nil {
			return r, nil // a missing answer is a result, see network
		}

		r.answered++
		r.last = status
	}

	return r, nil
}

// open opens the socket of a try.
func (w *wire) open(ctx context.Context, t try) (net.Conn, error) {
	to := t.to.local(t.from, t.transport)
	if t.transport == "UDP" {
		return w.space.dial(ctx, t.from, "udp", to)
	}

	ctx, cancel := context.WithTimeout(ctx, t.patience)
	defer cancel()

	conn, err := w.space.dial(ctx, t.from, "tcp", to)
	if err != nil {
		return nil, err
	}

	// Like most attackers, the played one does not verify the certificate.
	secured := tls.Client(conn, &tls.Config{InsecureSkipVerify: true, MinVersion: tls.VersionTLS12})
	if err := secured.HandshakeContext(ctx); err != nil {
		conn.Close()
		return nil, fmt.Errorf("shake hands: %w", err)
	}

	return secured, nil
}

// Close ends the network and waits until nothing runs in it.
func (w *wire) Close() error {
	var errs []error
	for _, c := range w.closers {
		errs = append(errs, c.Close())
	}
	w.serving.Wait()
	return errors.Join(errs...)
}
