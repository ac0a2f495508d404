package check

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/amifend/amifend/ami/amitest"
	"github.com/amifend/amifend/cmd/amifend/internal/config"
)

const pjsip = `[allowed]
type=identify
match=203.0.113.5
match=198.51.100.0/24
[named]
type=registration
server_uri=sip:user@trunk.example
[gone]
type=registration
server_uri=sip:gone.example:5080
[odd]
type=identify
match=not/an/address
[partly]
type=identify
match=half.example
[whole]
type=identify
match=whole.example
[again]
type=identify
match=203.0.113.5
match=192.0.2.99, 192.0.2.99
match=gone.example, gone.example
`

// resolver is a DNS for tests.
func resolver(_ context.Context, host string) ([]netip.Addr, error) {
	host = strings.ToLower(host)
	hosts := map[string][]netip.Addr{
		"trunk.example": {
			netip.MustParseAddr("192.0.2.200"),
			netip.MustParseAddr("::ffff:192.0.2.20"),
		},
		"half.example":  {netip.MustParseAddr("203.0.113.9"), netip.MustParseAddr("192.0.2.77")},
		"whole.example": {netip.MustParseAddr("203.0.113.10")},
	}
	if addrs, ok := hosts[host]; ok {
		return addrs, nil
	}
	return nil, errors.New("no such host")
}

func TestTrunksInConfigFiles(t *testing.T) {
	pbx := runPBX(t, amitest.Behaviour{})
	dir := t.TempDir()
	write(t, dir, "pjsip.conf", 0o644, pjsip)

	// the second is a part of a trunk
	c := load(t, server("pbx", pbx.Addr()), dryRun,
		"[allow]\nprefixes = [\"203.0.113.0/28\", \"198.51.100.0/28\"]\n")

	out, ok := look(t, Options{Config: c, PBXConfig: dir, Lookup: resolver})
	if !ok {
		t.Errorf("a trunk that is not allowed fails the check:\n%s", out)
	}

	want(t, out, "result: all works, 7 warnings", "trunks in "+dir,
		"warn  pjsip.conf:13 [odd]",
		"ok    203.0.113.5 is never banned: allowlist ([allow] prefixes)",
		"warn  198.51.100.0/24 can be banned (pjsip.conf:4 [allowed] type=identify match)",
		"warn  trunk.example (192.0.2.20, 192.0.2.200) can be banned (pjsip.conf:7",
		"warn  gone.example does not resolve now",
		"warn  half.example (192.0.2.77, 203.0.113.9) can be banned",
		"ok    whole.example (203.0.113.10) is never banned",
		`names = ["half.example", "trunk.example"]`,
		"note  put this into config.toml in place of its [allow]",
		"\n[allow]\nprefixes = [\n", `"192.0.2.20",`, `"192.0.2.77",`, `"192.0.2.200",`,
		`"198.51.100.0/24",`, "# gone.example does not resolve", "\n]\n",
		"hints\n",
	)
	if strings.Count(out, "203.0.113.5 is never banned") != 1 ||
		strings.Count(out, "192.0.2.99 can be banned") != 1 ||
		strings.Count(out, "gone.example does not resolve now, so whether it is allowed is "+
			"not known (pjsip.conf:24 [again]") != 1 {
		t.Errorf("told twice:\n%s", out)
	}

	wantNot(t, out, "to find your trunks", `"203.0.113.5",`, `"203.0.113.10",`)
}

// Asterisk takes requests from the servers that SRV records of a trunk's name lead to.
func TestTrunksBehindSRVRecords(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "pjsip.conf", 0o644,
		"[a]\ntype=identify\nmatch=whole.example\n[b]\ntype=registration\nserver_uri=sip:srv.example\n")

	o := Options{
		PBXConfig: dir, Lookup: resolver,
		LookupSRV: func(_ context.Context, service, proto, name string) ([]*net.SRV, error) {
			target, ok := map[string]string{
				"sip udp whole.example": "trunk.example.",
				"sips tcp srv.example":  "HALF.example.",
			}[service+" "+proto+" "+name]
			if !ok {
				return nil, errors.New("no such record")
			}
			return []*net.SRV{{Target: target, Port: 5060}, {Target: "."}}, nil
		},
	}

	pbx := runPBX(t, amitest.Behaviour{})
	const whole = "[allow]\nprefixes = [\"203.0.113.10\"]\n"
	o.Config = load(t, server("pbx", pbx.Addr()), dryRun, whole)
	out, _ := look(t, o)
	want(t, out, "warn  whole.example (192.0.2.20, 192.0.2.200, 203.0.113.10) can be banned",
		"warn  srv.example (192.0.2.77, 203.0.113.9) can be banned",
		`in [allow]: names = ["half.example", "trunk.example", "whole.example"]`, `"192.0.2.77",`)

	wantNot(t, out, "does not resolve")

	o.Config = load(t, server("pbx", pbx.Addr()), dryRun,
		"[allow]\nnames = [\"half.example\", \"trunk.example\", \"whole.example\"]\n")

	o.Config.Firewall.Backend = config.BackendLog
	out, _ = look(t, o)
	want(t, out, "ok    whole.example (192.0.2.20, 192.0.2.200, 203.0.113.10) is never banned",
		"ok    srv.example (192.0.2.77, 203.0.113.9) is never banned")

	wantNot(t, out, "can be banned (", "names = [")
}

// What is printed to be pasted makes the next check content.
func TestPastedLinesAllowTheTrunks(t *testing.T) {
	pbx := runPBX(t, amitest.Behaviour{})
	printed, err := os.ReadFile(filepath.Join("..", "pbxconf", "testdata", "cli", "22.txt"))
	if err != nil {
		t.Fatal(err)
	}

	o := Options{
		Config: load(t, server("pbx", pbx.Addr()), dryRun), PBXConfig: "-",
		Lookup: resolver, Stdin: strings.NewReader(string(printed)),
	}

	out, ok := look(t, o)
	if !ok {
		t.Error("not all is well")
	}

	want(t, out, "trunks that Asterisk printed", "warn  198.51.100.64/26 can be banned",
		"note  put this into config.toml in place of its [allow]", "[allow]\n",
		"no trunk is allowlisted")

	paste := out[strings.Index(out, "\n[allow]\n"):strings.Index(out, "\nhints\n")]

	o.Config, o.Stdin = load(t, server("pbx", pbx.Addr()), dryRun, paste),
		strings.NewReader(string(printed))

	out, ok = look(t, o)
	if !ok {
		t.Error("not all is well")
	}

	want(t, out, "ok    198.51.100.64/26 is never banned")
	wantNot(t, out, "can be banned (", "\n[allow]\n", "no trunk is allowlisted")
}

// Where [allow] has names and no prefixes, a second [allow] would be an error of the config.
func TestPasteBesideAllowedNames(t *testing.T) {
	pbx := runPBX(t, amitest.Behaviour{})
	dir := t.TempDir()
	write(t, dir, "pjsip.conf", 0o644, pjsip)
	c := load(t, server("pbx", pbx.Addr()), dryRun, "[allow]\nnames = [\"whole.example\"]\n")
	out, _ := look(t, Options{Config: c, PBXConfig: dir, Lookup: resolver})
	want(t, out, "ok    whole.example (203.0.113.10) is never banned",
		"note  put this into config.toml in place of its [allow]")
}

func TestTrunksThatCannotBeRead(t *testing.T) {
	pbx := runPBX(t, amitest.Behaviour{})
	c := load(t, server("pbx", pbx.Addr()), dryRun)
	for name, o := range map[string]Options{
		"no folder":      {PBXConfig: filepath.Join(t.TempDir(), "nowhere")},
		"an empty one":   {PBXConfig: t.TempDir()},
		"something else": {PBXConfig: "-", Stdin: strings.NewReader("Asterisk is not running\n")},
	} {
		t.Run(name, func(t *testing.T) {
			o.Config = c
			out, ok := look(t, o)
			if ok {
				t.Error("all is well")
			}
			want(t, out, "result: 1 failed", "trunks ", "FAIL  ", "hints")
		})
	}
}

func TestNoTrunks(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "pjsip.conf", 0o644, "[x]\ntype=endpoint\n")
	pbx := runPBX(t, amitest.Behaviour{})
	out, ok := look(t, Options{Config: load(t, server("pbx", pbx.Addr()), dryRun), PBXConfig: dir})
	if !ok {
		t.Error("not all is well")
	}
	want(t, out, "trunks in "+dir+"\n  note  none found\n")
}

// A folder that is not Asterisk's is told whole, in a line.
func TestTrunksOfAnotherFolder(t *testing.T) {
	dir := t.TempDir()
	out, ok := look(t,
		Options{
			Config:    &config.Config{Firewall: config.Firewall{Backend: config.BackendLog}},
			PBXConfig: dir,
		})
	if ok {
		t.Error("all is well")
	}
	want(t, out, "FAIL  read Asterisk's config in "+dir+": pjsip.conf: ", "sip.conf: ")
}

// Names of sections are the PBX's bytes.
func TestTrunksOfAHostilePBX(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "pjsip.conf", 0o644,
		"[x\x1b[2J\u202e]\ntype=identify\nmatch=192.0.2.200\nmatch=\x1b[2J\n#include "+
			"\x1b[2J.conf\n")

	var o Options
	o.Config = &config.Config{Firewall: config.Firewall{Backend: config.BackendLog}}
	o.PBXConfig = dir
	out, _ := look(t, o)
	want(t, out, "192.0.2.200 can be banned (", `\x1b[2J`)
	wantNot(t, out, "\u202e")
}
