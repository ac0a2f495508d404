// Package probe asks a PBX over the network what anybody can learn from it, and what amifend's own
// manager user may do there.
//
// Its requests are few and harmless: a login to the AMI with ListCommands, OPTIONS and SUBSCRIBE of
// SIP without credentials, two pages over HTTP, handshakes of TLS. It never sends an INVITE, which
// could ring somebody, and never a password but amifend's own, as the daemon sends it.
// [Target.Plan] names all of them.
//
// Security events of these requests name the address of this machine. The caller makes sure that
// amifend protects it.
package probe

import (
	"cmp"
	"context"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"time"

	"github.com/amifend/amifend/ami"
)

// Target is one PBX.
type Target struct {
	Name string
	Host string // a name or an address, without brackets
	AMI  ami.Config
	// Account is the name of a SIP account that exists, to compare the answers; "": none is known.
	Account string
	Ports   Ports
	Wait    time.Duration // how long an answer may take; 0: 3 s
	// Heard gets the events that come during the login to the AMI; nil: nothing does.
	Heard func(ami.Event)
}

// Ports are where the services of a PBX are looked for. A port 0 is left out.
type Ports struct {
	SIP, SIPS   uint16 // UDP and TCP; TLS
	HTTP, HTTPS uint16
	AMI         uint16 // without TLS, looked for beside the AMI of the config
}

// DefaultPorts returns Asterisk's usual ports.
func DefaultPorts() Ports { return Ports{SIP: 5060, SIPS: 5061, HTTP: 8088, HTTPS: 8089, AMI: 5038} }

// usualWait is how long an answer may take.
const usualWait = 3 * time.Second

// wait returns how long an answer may take.
func (t Target) wait() time.Duration { return cmp.Or(t.Wait, usualWait) }

// Facts are what was seen.
type Facts struct {
	AMI  AMI
	SIP  []Answer // one for each transport that was tried
	HTTP []Page   // one for each port
	TLS  []Handshake

	// Stranger and Known are the answers to SUBSCRIBE of an account that does not exist and of
	// Target.Account. Their Status is 0 where nothing was asked, or nothing answered.
	Stranger, Known Answer
}

// Plan returns what [LookAMI] and [Look] send, one line for each kind of request.
func (t Target) Plan() (lines []string) {
	add := func(format string, args ...any) { lines = append(lines, fmt.Sprintf(format, args...)) }
	add("AMI: a login as %s and ListCommands at %s", ami.Quote([]byte(t.AMI.Username)), t.AMI.Address)
	if t.plainAMI() {
		add("AMI: a connection without a login at port %d", t.Ports.AMI)
	}

	at := ""
	for _, tr := range t.transports() {
		if at != "" {
			at += ", "
		}
		at += fmt.Sprintf("%d/%s", tr.port, tr.name)
	}
	if at != "" {
		add("SIP: OPTIONS of an account that does not exist at %s", at)
		as := "an account that does not exist"
		if t.Account != "" {
			as += ", and of " + ami.Quote([]byte(t.Account))
		}
		add("SIP: SUBSCRIBE of %s, without credentials, where OPTIONS was answered first; "+
			"never an INVITE", as)
	}

	for _, p := range t.pages() {
		add("HTTP: GET /httpstatus and /rawman?action=ping at port %d", p.Port)
	}
	for _, p := range t.tlsPorts() {
		add("TLS: two handshakes at port %d (%s), one with TLS 1.1 at most", p.port, p.what)
	}
	return lines
}

// Look asks the PBX for all but the AMI. What does not answer is a fact, not an error. Only ctx ends
// it early.
func Look(ctx context.Context, t Target) (Facts, error) {
	var f Facts
	for _, tr := range t.transports() {
		f.SIP = append(f.SIP, ask(ctx, t, tr, "OPTIONS", ""))
	}

	// The account is asked for over one transport, which Asterisk treats as all others.
	for i, tr := range t.transports() {
		if f.SIP[i].Status != 0 {
			f.Stranger = ask(ctx, t, tr, "SUBSCRIBE", "")
			if t.Account != "" {
				f.Known = ask(ctx, t, tr, "SUBSCRIBE", t.Account)
			}
			break
		}
	}

	for _, p := range t.pages() {
		f.HTTP = append(f.HTTP, lookHTTP(ctx, t, p))
	}
	for _, p := range t.tlsPorts() {
		f.TLS = append(f.TLS, handshake(ctx, t, p))
	}
	if err := ctx.Err(); err != nil {
		return f, fmt.Errorf("look at %s: interrupted: %w", t.Name, err)
	}
	return f, nil
}

// LocalAddr returns the address that this machine has towards a host. It sends nothing.
func LocalAddr(ctx context.Context, host string) (netip.Addr, error) {
	var d net.Dialer
	conn, err := d.DialContext(ctx, "udp", net.JoinHostPort(host, "5060"))
	if err != nil {
		return netip.Addr{}, err
	}
	defer conn.Close()

	local, err := netip.ParseAddrPort(conn.LocalAddr().String())
	return local.Addr().Unmap().WithZone(""), err
}

// address returns host:port for net.Dial.
func address(host string, port uint16) string {
	return net.JoinHostPort(host, strconv.Itoa(int(port)))
}

// transport is a way to speak SIP.
type transport struct {
	name   string // udp, tcp, tls, ws or wss
	via    string // as Via writes it
	port   uint16
	secure bool
}

// transports returns the ways to try.
func (t Target) transports() (out []transport) {
	for _, tr := range []transport{
		{"udp", "UDP", t.Ports.SIP, false},
		{"tcp", "TCP", t.Ports.SIP, false},
		{"tls", "TLS", t.Ports.SIPS, true},
		{"ws", "WS", t.Ports.HTTP, false},
		{"wss", "WSS", t.Ports.HTTPS, true},
	} {
		if tr.port != 0 {
			out = append(out, tr)
		}
	}
	return out
}

// pages returns the HTTP ports to try.
func (t Target) pages() (out []Page) {
	for _, p := range []Page{{Port: t.Ports.HTTP}, {Port: t.Ports.HTTPS, TLS: true}} {
		if p.Port != 0 {
			out = append(out, p)
		}
	}
	return out
}

// tlsPort is a port whose TLS is looked at.
type tlsPort struct {
	what string // SIP, HTTPS or AMI
	port uint16
}

// tlsPorts returns the ports whose TLS is looked at.
func (t Target) tlsPorts() (out []tlsPort) {
	for _, p := range []tlsPort{{"SIP", t.Ports.SIPS}, {"HTTPS", t.Ports.HTTPS}} {
		if p.port != 0 {
			out = append(out, p)
		}
	}
	if _, port, err := net.SplitHostPort(t.AMI.Address); err == nil && t.AMI.TLS != nil {
		if n, err := strconv.ParseUint(port, 10, 16); err == nil {
			out = append(out, tlsPort{"AMI", uint16(n)})
		}
	}
	return out
}
