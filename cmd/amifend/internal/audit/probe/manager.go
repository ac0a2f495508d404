package probe

import (
	"bufio"
	"context"
	"io"
	"net"
	"strings"
	"time"

	"github.com/amifend/amifend/ami"
)

// AMI is what the Manager Interface shows.
type AMI struct {
	Report  ami.Report
	Actions []ami.Action // that amifend's user may send
	// Everywhere reports that the AMI listens on all addresses.
	Everywhere bool
	// Plain reports that it also answers without TLS, at a port beside that of the config.
	Plain bool
	Err   error // why amifend could not log in
}

// LookAMI logs in as the daemon does, and asks what amifend's user may do.
func LookAMI(ctx context.Context, t Target) AMI {
	var out AMI
	out.Report, out.Actions, out.Err = ami.Actions(ctx, t.AMI, func(ev ami.Event) {
		if t.Heard != nil {
			t.Heard(ev)
		}

		// The LocalAddress of a login is the address where the AMI listens.
		if ev.Own && ev.Service == ami.ServiceAMI && ev.Local.Addr().IsValid() {
			out.Everywhere = ev.Local.Addr().IsUnspecified()
		}
	})
	if t.plainAMI() {
		out.Plain = t.hasBanner(ctx, t.Ports.AMI)
	}
	return out
}

// plainAMI reports whether to look for an AMI without TLS beside the one of the config.
func (t Target) plainAMI() bool { return t.AMI.TLS != nil && t.Ports.AMI != 0 }

// hasBanner reports whether a port greets as the AMI does.
func (t Target) hasBanner(ctx context.Context, port uint16) bool {
	d := net.Dialer{Timeout: t.wait()}
	conn, err := d.DialContext(ctx, "tcp", address(t.Host, port))
	if err != nil {
		return false
	}
	defer conn.Close()

	if err := conn.SetDeadline(time.Now().Add(t.wait())); err != nil {
		return false
	}
	line, _ := bufio.NewReader(io.LimitReader(conn, 128)).ReadString('\n')
	return strings.HasPrefix(line, "Asterisk Call Manager/")
}
