package setup

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/amifend/amifend/ami"
	"github.com/amifend/amifend/cmd/amifend/internal/pbxconf"
)

// kind is a distribution of Asterisk that has its own way with manager.conf.
type kind string

// The kinds.
const (
	plain    kind = "Asterisk"
	freePBX  kind = "FreePBX"
	issabel  kind = "Issabel"
	vitalPBX kind = "VitalPBX"
)

// pbx is the Asterisk to watch, as far as it was found.
type pbx struct {
	kind    kind
	remote  bool         // it is another machine, and ami is nil
	ami     *pbxconf.AMI // of manager.conf
	address string       // of the AMI, for the config
	from    netip.Addr   // from where amifend logs in
	// fingerprint is that of the certificate; "": no TLS.
	fingerprint string
	enable      bool // the AMI must be switched on
}

// dialTime limits how long an AMI is waited for.
const dialTime = 5 * time.Second

// findPBX finds the Asterisk of this machine, or the one of an address.
func (r *run) findPBX(ctx context.Context) (*pbx, error) {
	if r.Address != "" {
		return r.findRemote(ctx, r.Address)
	}

	found, err := pbxconf.ReadAMI(r.at(r.AsteriskDir))
	switch {
	case err == nil:
		return r.findLocal(ctx, found)
	case errors.Is(err, fs.ErrPermission):
		return nil, advise(fmt.Sprintf("%s/manager.conf cannot be read: %s", r.AsteriskDir, err), "use sudo")
	case !errors.Is(err, fs.ErrNotExist):
		return nil, err
	}

	none := "no Asterisk was found on this machine: there is no " + r.AsteriskDir + "/manager.conf"
	if r.Ask == nil {
		return nil, advise(none, "name the folder of its config with --asterisk-dir, or the address of "+
			"an Asterisk on another machine with --address")
	}
	address, err := r.Ask.Input("Which Asterisk is to be watched?",
		none+". Name the host of its Manager Interface (AMI), with its port unless that is 5038.",
		func(text string) error {
			_, _, err := splitAddress(text)
			return err
		})
	if err != nil {
		return nil, err
	}
	return r.findRemote(ctx, address)
}

// findLocal finds how to reach the AMI of this machine's Asterisk.
func (r *run) findLocal(ctx context.Context, found *pbxconf.AMI) (*pbx, error) {
	p := &pbx{kind: r.kindOf(found), ami: found, enable: !found.Enabled}
	r.say(fmt.Sprintf("Found %s: its config is in %s.", p.kind, r.AsteriskDir))

	at := found.Plain
	switch {
	case p.enable:
		// Nobody uses it yet, so it needs to be reached from this machine only.
		at = netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), orPort(at.Port()))
		r.say("  Its Manager Interface (AMI) is disabled: amifend needs it, on this machine only.")
	case at.Port() == 0 && !found.TLS.IsValid():
		return nil, advise("the AMI listens at no port: port = 0 in manager.conf",
			"write port = 5038 into [general] of manager.conf")
	case at.Port() == 0:
		at = found.TLS
	}

	at = netip.AddrPortFrom(reachable(at.Addr()), at.Port())
	p.address, p.from = at.String(), at.Addr()
	if p.enable || found.Plain.Port() != 0 {
		r.say("  amifend will log in at " + p.address + ".")
		return p, nil
	}

	// The certificate is only known from the running Asterisk. It comes from this machine.
	var err error
	if p.fingerprint, err = certificate(ctx, p.address); err != nil {
		return nil, advise("the AMI has TLS only, and its certificate cannot be had: "+err.Error(),
			"start Asterisk, then run amifend init again")
	}
	r.say("  amifend will log in at " + p.address + ", over TLS.")
	return p, nil
}

// orPort returns a port, or that of the AMI for 0.
func orPort(port uint16) uint16 {
	if port == 0 {
		return 5038
	}
	return port
}

// reachable returns the address at which this machine reaches a listener.
func reachable(a netip.Addr) netip.Addr {
	switch a {
	case netip.IPv4Unspecified():
		return netip.AddrFrom4([4]byte{127, 0, 0, 1})
	case netip.IPv6Unspecified():
		return netip.IPv6Loopback()
	}
	return a.Unmap()
}

// kindOf tells the distributions apart by their files, then by what manager.conf includes.
func (r *run) kindOf(found *pbxconf.AMI) kind {
	exists := func(path string) bool {
		_, err := os.Stat(r.at(path))
		return err == nil
	}
	includes := func(what string) bool {
		return slices.ContainsFunc(found.Includes, func(i string) bool { return strings.Contains(i, what) })
	}

	switch {
	case exists("/etc/issabel.conf"):
		return issabel
	case exists("/usr/share/vitalpbx"), includes("vitalpbx/"), includes("ombutel/"):
		return vitalPBX
	case exists("/etc/freepbx.conf"), includes("manager_custom.conf"):
		return freePBX
	}
	return plain
}

// findRemote finds how to log in to the AMI of another machine.
func (r *run) findRemote(ctx context.Context, text string) (*pbx, error) {
	host, port, err := splitAddress(text)
	if err != nil {
		return nil, advise(fmt.Sprintf("%q: %s", text, err), "amifend init --address HOST")
	}

	p := &pbx{kind: plain, remote: true, address: net.JoinHostPort(host, port)}
	ctx, cancel := context.WithTimeout(ctx, dialTime)
	defer cancel()

	c, err := (&net.Dialer{}).DialContext(ctx, "tcp", p.address)
	if err != nil {
		return nil, advise("no AMI answers at "+p.address+": "+err.Error(),
			"on that machine: enabled = yes in [general] of manager.conf, and a bindaddr or tlsbindaddr "+
				"that this machine reaches (examples/asterisk/manager.d/tls.conf)")
	}
	defer c.Close()

	if local, err := netip.ParseAddrPort(c.LocalAddr().String()); err == nil {
		p.from = local.Addr().Unmap().WithZone("")
	}

	// An AMI without TLS speaks first. One with TLS waits.
	_ = c.SetReadDeadline(time.Now().Add(2 * time.Second)) // TCP has deadlines
	banner := make([]byte, 64)
	n, _ := c.Read(banner) // nothing: it waits
	if strings.HasPrefix(string(banner[:n]), "Asterisk Call Manager/") {
		r.say("Found an AMI at " + p.address + ", without TLS.")
		r.say("  warning: whoever is on the path can forge events. Give it TLS " +
			"(examples/asterisk/manager.d/tls.conf), then run amifend init with the port of that.")
		return p, nil
	}

	if p.fingerprint, err = certificate(ctx, p.address); err != nil {
		return nil, advise("what answers at "+p.address+" is no AMI: "+err.Error(),
			"name the port of the AMI: --address HOST:PORT")
	}
	r.say("Found an AMI at " + p.address + ", with TLS. The SHA-256 of its certificate, which the config " +
		"will trust, is:\n  " + p.fingerprint)
	return p, nil
}

// splitAddress returns host and port of HOST or HOST:PORT.
func splitAddress(text string) (host, port string, err error) {
	host, port, err = net.SplitHostPort(text)
	if err != nil {
		host, port = strings.Trim(text, "[]"), "5038"
	}
	if n, err := net.LookupPort("tcp", port); err != nil || n == 0 {
		return "", "", errNoAddress
	}
	if host == "" || strings.ContainsAny(host, " /\"\\'\n\t") || strings.Contains(host, ":") &&
		net.ParseIP(host) == nil {
		return "", "", errNoAddress
	}
	return host, port, nil
}

// certificate returns the fingerprint of the certificate that a TLS server shows. Nothing is sent to
// it.
func certificate(ctx context.Context, address string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, dialTime)
	defer cancel()

	//nolint:gosec // the certificate is only looked at, and is verified at each login
	d := tls.Dialer{Config: &tls.Config{InsecureSkipVerify: true}}
	c, err := d.DialContext(ctx, "tcp", address)
	if err != nil {
		return "", err
	}
	defer c.Close()

	shown := c.(*tls.Conn).ConnectionState().PeerCertificates
	if len(shown) == 0 {
		return "", errors.New("it has no certificate")
	}
	return ami.Fingerprint(shown[0]), nil
}

// customFile returns where a PBX wants a manager user that people write, inside its config folder, and
// whether that is a file to append to.
func (p *pbx) customFile() (name string, appended bool) {
	switch p.kind {
	case freePBX, issabel:
		return "manager_custom.conf", true
	case vitalPBX:
		// VitalPBX writes its own files as manager__50-…, and its installers add theirs beside them:
		// vpbxappserver.sh of github.com/VitalPBX/vitalpbx_add_application_server.
		for _, pattern := range p.ami.Includes {
			if strings.Count(pattern, "*") == 1 && path.Dir(pattern) != "." {
				return strings.Replace(pattern, "*", "60-amifend", 1), false
			}
		}
	case plain:
	}
	return "manager.conf", true
}
