package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/amifend/amifend/cmd/amifend/internal/audit"
	"github.com/amifend/amifend/cmd/amifend/internal/audit/probe"
	"github.com/amifend/amifend/cmd/amifend/internal/config"
	"github.com/amifend/amifend/cmd/amifend/internal/control"
	"github.com/amifend/amifend/cmd/amifend/internal/screen"
)

// Audit is `amifend audit`.
type Audit struct {
	configFlag
	PBXConfig string `name:"pbx-config" placeholder:"DIR" type:"path" help:"${auditPBXHelp}"`
	Offline   bool   `help:"Look at the PBX's config and version only, without any connection."`
	Server    string `placeholder:"NAME" help:"Look at this server only."`
	Account   string `placeholder:"NAME" help:"${auditAccountHelp}"`
	Version   string `name:"asterisk-version" placeholder:"TEXT" help:"${auditVersionHelp}"`

	Changelog string `placeholder:"FILE" help:"${auditChangelogHelp}"`

	SIPPort   uint16 `name:"sip-port" default:"5060" placeholder:"PORT" help:"SIP, UDP and TCP (${default}; 0: none)."`
	SIPSPort  uint16 `name:"sips-port" default:"5061" placeholder:"PORT" help:"SIP over TLS (${default}; 0: none)."`
	HTTPPort  uint16 `name:"http-port" default:"8088" placeholder:"PORT" help:"HTTP (${default}; 0: none)."`
	HTTPSPort uint16 `name:"https-port" default:"8089" placeholder:"PORT" help:"HTTPS (${default}; 0: none)."`

	JSON   bool   `name:"json" help:"Print JSON."`
	Format string `enum:"text,json,html" default:"text" help:"The output: text, json or html."`
}

// Help returns the detailed help.
func (*Audit) Help() string {
	return `Examples, on the PBX:

    sudo amifend audit --pbx-config /etc/asterisk
    sudo amifend audit --pbx-config /etc/asterisk --format html > audit.html
    sudo amifend audit --offline --pbx-config /etc/asterisk --asterisk-version "$(asterisk -V)"
    rpm -q --changelog asterisk | sudo amifend audit --changelog /dev/stdin

It looks in four ways: from outside (AMI, SIP, HTTP, TLS), at what the daemon has seen, at the
PBX's configuration, and at the advisories that its version lacks. Each finding has a severity, the
places, the reason, what to write, and how sure it is. No password is printed.

It names each request before it sends it, and sends none from an address that amifend could ban.
It never sends an INVITE, and changes nothing. The daemon is not needed.

The exit code is 0 for nothing serious, 1 for findings of severity medium or worse, 2 if nothing
serious was found but something could not be looked at. docs/audit.md lists the findings.`
}

// packageChangelog is where Debian and Ubuntu keep the changelog of Asterisk's package.
const packageChangelog = "/usr/share/doc/asterisk/changelog.Debian.gz"

// Run looks, and writes what it found to standard output.
func (a *Audit) Run(ctx context.Context, on screen.Screen) error {
	if a.JSON {
		a.Format = "json"
	}
	loaded, err := a.servers()
	if err != nil {
		return err
	}

	o := audit.Options{
		Config: loaded, Offline: a.Offline, Server: a.Server, PBXConfig: a.PBXConfig,
		Account: a.Account, Version: a.Version, Changelog: a.Changelog,
		OwnChangelog: packageChangelog,
		Ports: probe.Ports{
			SIP: a.SIPPort, SIPS: a.SIPSPort, HTTP: a.HTTPPort, HTTPS: a.HTTPSPort,
			AMI: probe.DefaultPorts().AMI,
		},
		Plan: a.plan(), Screen: on,
	}
	if loaded != nil && loaded.Control.Socket != "" {
		o.Daemon = control.NewClient(loaded.Control.Socket)
	}

	r, err := audit.Run(ctx, o)
	if err != nil {
		return err
	}
	if err := a.write(r, on); err != nil {
		return err
	}
	if code := r.Exit(); code != audit.ExitFine {
		return ExitError(code)
	}
	return nil
}

// plan returns where the probes are named: before the text, and apart from JSON and HTML.
func (a *Audit) plan() io.Writer {
	if a.Format == "text" {
		return os.Stdout
	}
	return os.Stderr
}

// servers returns the config. Without connections, nobody needs one.
func (a *Audit) servers() (*config.Config, error) {
	if a.Offline {
		if a.PBXConfig == "" && a.Version == "" {
			return nil, usageError("--offline needs --pbx-config or --asterisk-version: " +
				"otherwise nothing is left to look at")
		}
		loaded, err := config.LoadPolicy(a.Config)
		if errors.Is(err, os.ErrNotExist) {
			return nil, nil //nolint:nilnil // no config is a valid answer here
		}
		return loaded, err
	}

	loaded, err := a.load("use sudo")
	if err != nil && a.PBXConfig != "" {
		return nil, fmt.Errorf("%w\n  do: --offline looks at the files of --pbx-config alone", err)
	}
	if err != nil {
		return nil, err
	}
	if a.Server == "" {
		return loaded, nil
	}

	var names []string
	for _, s := range loaded.Servers {
		if s.Name == a.Server {
			return loaded, nil
		}
		names = append(names, s.Name)
	}
	return nil, usageError("--server " + a.Server + ": the config has " + strings.Join(names, ", "))
}

// write writes the result.
func (a *Audit) write(r audit.Result, on screen.Screen) error {
	switch a.Format {
	case "json":
		return printJSON(r, r.Warnings()...)
	case "html":
		return audit.WriteHTML(os.Stdout, r)
	}
	return audit.WriteText(os.Stdout, r, on)
}
