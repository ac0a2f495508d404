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

// kind is a distribution of Asterisk. They differ in how they write manager.conf.
type kind string

// The kinds.
const (
	plain    kind = "Asterisk"
	freePBX  kind = "FreePBX"
	issabel  kind = "Issabel"
	vitalPBX kind = "VitalPBX"
)

// pbx is the Asterisk to watch.
type pbx struct {
	kind    kind
	remote  bool         // it is on another machine
	ami     *pbxconf.AMI // its manager.conf; nil if it is remote
	address string       // the address of the AMI, for the config
	from    netip.Addr   // the address from which amifend logs in
	// fingerprint is that of the AMI's certificate; "": no TLS.
	fingerprint string
	enable      bool // the AMI is disabled, and must be enabled
}

// dialTime is the longest wait for a connection to an AMI.
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
		return nil, advise(fmt.Sprintf("%s/manager.conf cannot be read: %s", r.AsteriskDir, err),
			"use sudo")
	case !errors.Is(err, fs.ErrNotExist):
		return nil, err
	}

	// Without a local Asterisk, the user may mean one on another machine.
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

	// The plain port is preferred to that with TLS, since the connection stays on this machine.
	at := found.Plain
	switch {
	case p.enable:
		// Nobody uses this AMI yet, so only this machine needs to reach it.
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

	// Only the running Asterisk shows which certificate it uses. Nobody can intercept a connection
	// within this machine.
	var err error
	if p.fingerprint, err = certificate(ctx, p.address); err != nil {
		return nil, advise("the AMI has TLS only, and shows no certificate: "+err.Error(),
			"start Asterisk, then run amifend init again")
	}
	r.say("  amifend will log in at " + p.address + ", over TLS.")
	return p, nil
}

// orPort returns a port, or the AMI's usual one in place of 0.
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

// kindOf returns the distribution. It is recognized by its files, or by what manager.conf includes.
func (r *run) kindOf(found *pbxconf.AMI) kind {
	exists := func(path string) bool {
		_, err := os.Stat(r.at(path))
		return err == nil
	}
	includes := func(what string) bool {
		return slices.ContainsFunc(found.Includes, func(i string) bool {
			return strings.Contains(i, what)
		})
	}

	// Issabel comes first, because it includes manager_custom.conf too.
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
			"on that machine: enabled = yes in [general] of manager.conf, and a bindaddr or "+
				"tlsbindaddr that this machine reaches (examples/asterisk/manager.d/tls.conf)")
	}
	defer c.Close()

	// The manager user permits this address only.
	if local, err := netip.ParseAddrPort(c.LocalAddr().String()); err == nil {
		p.from = local.Addr().Unmap().WithZone("")
	}

	// An AMI without TLS sends its banner first. One with TLS waits for the client.
	_ = c.SetReadDeadline(time.Now().Add(2 * time.Second)) // a TCP connection has deadlines
	banner := make([]byte, 64)
	n, _ := c.Read(banner) // an error means that it waits
	if strings.HasPrefix(string(banner[:n]), "Asterisk Call Manager/") {
		r.say("Found an AMI at " + p.address + ", without TLS.")
		r.say("  warning: whoever is on the path can forge events. Enable TLS on the PBX " +
			"(examples/asterisk/manager.d/tls.conf), then run amifend init with its TLS port.")
		return p, nil
	}

	if p.fingerprint, err = certificate(ctx, p.address); err != nil {
		return nil, advise(p.address+" does not answer as an AMI: "+err.Error(),
			"name the port of the AMI: --address HOST:PORT")
	}
	r.say("Found an AMI at " + p.address + ", with TLS. The config will trust only its " +
		"certificate, with this SHA-256:\n  " + p.fingerprint)
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

	// The host goes into the config, in quotes.
	if host == "" || strings.ContainsAny(host, " /\"\\'\n\t") || strings.Contains(host, ":") &&
		net.ParseIP(host) == nil {
		return "", "", errNoAddress
	}
	return host, port, nil
}

// certificate returns the fingerprint of the certificate that a TLS server shows. It sends nothing
// but the handshake.
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

// customFile returns the file in Asterisk's config folder that the PBX leaves to people, for the
// manager user. appended reports whether to append to it; otherwise it is a new file.
func (p *pbx) customFile() (name string, appended bool) {
	switch p.kind {
	case freePBX, issabel:
		return "manager_custom.conf", true

	// manager.conf of VitalPBX includes all files of a folder, by a pattern.
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
