package setup

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/amifend/amifend/cmd/amifend/internal/pbxconf"
)

// managerText returns the manager user, as manager.conf has it. Its reasons are in
// examples/asterisk/manager.d/amifend.conf.
func managerText(p *pbx, secret string) string {
	var b strings.Builder
	b.WriteString("; The manager user of amifend, written by amifend init. It may read\n" +
		"; security events, and may do nothing.\n\n")

	// What is written last counts. (+) adds to the section that is there.
	if p.enable {
		header := "[general](+)"
		if !p.ami.General {
			header = "[general]"
		}
		b.WriteString(header + "\nenabled = yes\nbindaddr = 127.0.0.1\n\n")
	}

	deny, permit := "0.0.0.0/0.0.0.0", p.from.String()+"/255.255.255.255"
	if p.from.Is6() {
		deny, permit = "::/0", p.from.String()+"/128"
	}
	fmt.Fprintf(&b, "[%s]\nsecret = %s\nread = security\nwrite =\ndeny = %s\npermit = %s\n"+
		"writetimeout = 1000\n", userName, secret, deny, permit)
	return b.String()
}

// configText returns amifend's config.
func configText(p *pbx, allow allowed) string {
	var b strings.Builder
	b.WriteString("# Written by amifend init. config.toml.example has every key.\n\n[[server]]\n")
	if !p.remote {
		b.WriteString("name = \"pbx\"\n")
	}
	fmt.Fprintf(&b, "address = %s\nusername = %q\nsecret_file = %q # it has the secret alone\n",
		strconv.Quote(p.address), userName, secretName)
	if p.fingerprint != "" {
		b.WriteString("\n# The one certificate that is trusted. After a new one:\n" +
			"# openssl x509 -noout -fingerprint -sha256 -in CERT\n[server.tls]\n")
		fmt.Fprintf(&b, "fingerprint = %q\n", p.fingerprint)
	}

	b.WriteString("\n# Never banned. Add your trunks and offices that are missing, and the\n" +
		"# address from which you administer this machine.\n")
	b.WriteString(pbxconf.AllowTable{Prefixes: allow.prefixes, Names: allow.names}.String())

	if allow.sipPorts+allow.wsPorts != "" {
		b.WriteString("\n[firewall]\n# The default, and the further ports where this Asterisk takes calls.\n")
	}
	if allow.sipPorts != "" {
		b.WriteString("sip_ports = " + allow.sipPorts + "\n")
	}
	if allow.wsPorts != "" {
		b.WriteString("ws_ports = " + allow.wsPorts + "\n")
	}

	b.WriteString("\n[policy]\n# Ban nobody, only log whom amifend would ban. After a day:\n" +
		"# sudo amifend enforce\nobserve = true\n")
	return b.String()
}
