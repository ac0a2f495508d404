package check

import (
	"bytes"
	"context"
	"errors"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/amifend/amifend/ami"
	"github.com/amifend/amifend/ami/amitest"
	"github.com/amifend/amifend/cmd/amifend/internal/config"
	"github.com/amifend/amifend/cmd/amifend/internal/pbxconf"
	"github.com/amifend/amifend/cmd/amifend/internal/protect"
	"github.com/amifend/amifend/cmd/amifend/internal/stream"
	"github.com/amifend/amifend/firewall/firewalltest"
)

func TestAllIsWell(t *testing.T) {
	ns := firewalltest.New(t)
	pbx := runPBX(t, amitest.Behaviour{SeenAs: netip.MustParseAddrPort("198.51.100.99:40000")})
	go func() {
		if pbx.WaitSessions(t.Context(), 1) == nil {
			phone := amitest.NewPeer("198.51.100.7:5060")
			phone.Local = netip.MustParseAddrPort("203.0.113.77:5060")
			pbx.Emit(phone.Register("100")...)
		}
	}()

	c := load(t, server("main", pbx.Addr(), `addresses = ["192.0.2.11", "203.0.113.77"]`),
		"[allow]\nprefixes = [\"203.0.113.0/26\", \"198.51.100.99\"]\n")

	out, ok := look(t, Options{Config: c, NetNS: ns.FD(), Wait: 300 * time.Millisecond})
	if !ok {
		t.Error("not all is well")
	}

	want(t, out, "result: all is well, no warnings\n",
		"config config.toml\n", "  ok    valid: 1 server, 2 prefixes in [allow]",
		"server main, AMI at 127.0.0.1:", "connected: AMI 11.0.0, without TLS",
		`logged in as "amifend", by MD5 challenge; security events arrive (3 heard)`,
		"a Ping is answered in",
		"it sees us as 198.51.100.99\n", "its clock agrees with ours",
		"firewall, table inet amifend\n", "ok    nftables can be used",
		"the table is not there yet",
		"never banned\n", "127.0.0.0/8 ",
		"192.0.2.11 ", "server main: [[server]] addresses",
		"198.51.100.99 ",
		"203.0.113.0/26 ", "allowlist ([allow] prefixes)",
		"203.0.113.77 ",
		"hints\n", "asterisk -rx", "webenabled",
	)

	wantNot(t, out, "FAIL", "no trunk is allowlisted", "198.51.100.7 ")
	if left := ns.NFT(t, "list", "ruleset"); left != "" {
		t.Errorf("left in the kernel:\n%s", left)
	}
	if pbx.Sessions() > 1 { // the last one may be closing
		t.Errorf("%d sessions are left at the PBX", pbx.Sessions())
	}
}

// What only the server itself names is to be written into the config.
func TestAddressesThatOnlyAServerNames(t *testing.T) {
	ns := firewalltest.New(t)
	pbx := runPBX(t, amitest.Behaviour{SeenAs: netip.MustParseAddrPort("198.51.100.99:40000")})
	go func() {
		if pbx.WaitSessions(t.Context(), 1) == nil {
			phone := amitest.NewPeer("198.51.100.7:5060")
			phone.Local = netip.MustParseAddrPort("203.0.113.77:5060")
			pbx.Emit(phone.Register("100")...)
		}
	}()

	out, _ := look(t, Options{
		Config: load(t, server("main", pbx.Addr())), NetNS: ns.FD(), Wait: 300 * time.Millisecond,
	})
	want(t, out,
		"198.51.100.99  our own address as server main sees it: protected only from",
		`write "198.51.100.99" into [allow] prefixes`,
		"203.0.113.77  server main: LocalAddress of its events: protected only from what that server "+
			"reports", `write addresses = ["203.0.113.77"] into [[server]] main`)
}

func TestOneOfTwoServersIsBad(t *testing.T) {
	good, bad := runPBX(t, amitest.Behaviour{}), runPBX(t, amitest.Behaviour{NoSecurity: true})
	bad.Stop()
	out, ok := look(t,
		Options{Config: load(t, server("bad", bad.Addr()), server("good", good.Addr()), dryRun)})
	if ok {
		t.Error("all is well")
	}

	want(t, out, "result: 1 failed",
		"server bad,", "FAIL  refused: connect "+bad.Addr(), "do: check that Asterisk runs",
		"server good,", "ok    logged in", "ok    a Ping",
	)
}

func TestOffline(t *testing.T) {
	pbx := runPBX(t, amitest.Behaviour{})
	dir := t.TempDir()
	path := write(t, dir, "config.toml", 0o644,
		server("here", pbx.Addr())+server("there", "192.0.2.10"))

	c, err := config.Load(path)
	if err != nil {
		t.Fatal(err)
	}

	out, ok := look(t, Options{Config: c, Path: path, Offline: true})
	if ok {
		t.Error("a config with a secret that others can read is well")
	}

	want(t, out, "result: 1 failed, 1 warning\n", "config "+path, "ok    valid: 2 servers, no prefixes",
		"FAIL  "+path+" can be read by every user", "chmod o-rwx",
		"warn  server there: AMI without TLS to another host")

	wantNot(t, out, "never banned", "firewall", "server here")
	if len(pbx.Accepted()) != 0 {
		t.Error("it connected")
	}

	out, ok = look(t, Options{Config: load(t, server("here", pbx.Addr())), Offline: true})
	if !ok {
		t.Errorf("not well:\n%s", out)
	}
}

// The connection finds localhost in /etc/hosts; the watcher asks the test's DNS, which knows no
// name.
func TestUnresolvedServerIsTold(t *testing.T) {
	pbx := runPBX(t, amitest.Behaviour{})
	out, ok := look(t,
		Options{Config: load(t,
			server("far", strings.Replace(pbx.Addr(), "127.0.0.1", "localhost", 1)), dryRun)})
	if !ok {
		t.Error("not all is well")
	}

	want(t, out, "result: all works, 1 warning", "server far,", "ok    logged in", "never banned",
		"warn  resolve localhost of server far: no DNS in tests: its addresses are not protected")
}

func TestInterrupted(t *testing.T) {
	pbx := runPBX(t, amitest.Behaviour{})
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		_ = pbx.WaitSessions(ctx, 1)
		cancel()
	}()

	var out bytes.Buffer
	ok, err := Run(ctx,
		Options{Config: load(t, server("a", pbx.Addr()), dryRun), Out: &out, Wait: time.Hour})
	if ok || !errors.Is(err, context.Canceled) {
		t.Errorf("Run: %t, %v", ok, err)
	}

	wantNot(t, out.String(), "result:", "FAIL")
}

// broken is a pipe that nobody reads; it counts the tries to write.
type broken int

func (b *broken) Write([]byte) (int, error) {
	*b++
	return 0, errors.New("broken pipe")
}

func TestOutputThatCannotBeWritten(t *testing.T) {
	c := load(t, server("a", "127.0.0.1:1"))
	var out broken
	if ok, err := Run(t.Context(), Options{Config: c, Out: &out, Offline: true}); ok ||
		err == nil || !strings.Contains(err.Error(), "broken pipe") {
		t.Errorf("Run: %t, %v", ok, err)
	}

	if out != 1 {
		t.Errorf("%d tries to write", out)
	}
}

func TestProtectedListThatCannotBeRead(t *testing.T) {
	s := protectedSection(protect.Set{}, nil, errors.New("list routes: no"))
	if len(s.lines) != 1 || s.lines[0].level != levelFail ||
		!strings.Contains(s.lines[0].text, "list routes: no") {
		t.Errorf("%+v", s)
	}
}

func TestNamesInTheProtectedListAreQuoted(t *testing.T) {
	set := protect.Set{Entries: []protect.Entry{{
		Prefix: netip.MustParsePrefix("192.0.2.1/32"),
		Reason: "own address on x\x1b[2J",
	}}}

	unresolved := []*protect.LookupError{{Server: "a", Host: "b", Err: errors.New("\x1b[2J")}}
	s := protectedSection(set, unresolved, nil)
	if len(s.lines) != 2 || s.lines[0].text != `192.0.2.1  "own address on x\x1b[2J"` ||
		strings.Contains(s.lines[1].text, "\x1b") {
		t.Errorf("%+v", s.lines)
	}

	if open, why := exposed(pbxconf.Trunk{Prefix: set.Entries[0].Prefix}, nil, set); open ||
		strings.Contains(why, "\x1b") {
		t.Errorf("exposed: %t, %s", open, why)
	}
}

// Injected text must not protect an attacker.
func TestTaintedEventsTeachNothing(t *testing.T) {
	w := protect.New(protect.Config{Servers: []protect.Server{{Name: "pbx"}}})
	event := ami.Event{
		Source: netip.MustParseAddrPort("198.51.100.7:5060"),
		Local:  netip.MustParseAddrPort("203.0.113.7:5060"),
		Own:    true,
	}
	for _, tt := range []struct {
		taint ami.Taint
		want  int
	}{{ami.TaintOrphan, 0}, {ami.Untainted, 2}} {
		event.Taint = tt.taint
		before, err := w.Snapshot(t.Context())
		if err != nil {
			t.Fatal(err)
		}

		stream.Learn(w, "pbx", event)
		after, err := w.Snapshot(t.Context())
		if err != nil {
			t.Fatal(err)
		}

		if got := len(after.Learned) - len(before.Learned); got != tt.want {
			t.Errorf("taint %s: learned %d, want %d", tt.taint, got, tt.want)
		}
	}
}

func TestCommandQuotesTheConfigsName(t *testing.T) {
	got := trunkCommand("/etc/it's here/c.toml")
	for _, text := range []string{
		`'pjsip show identifies'`,
		`--config '/etc/it'\''s here/c.toml' --pbx-config -`,
	} {
		if !strings.Contains(got, text) {
			t.Errorf("%s is not in %s", text, got)
		}
	}
}

func TestPlain(t *testing.T) {
	for in, out := range map[string]string{
		"pjsip.conf:1 [a] match": "pjsip.conf:1 [a] match",
		"evil\x1b[2J":            `"evil\x1b[2J"`,
		"\u202eabc":              `"\xe2\x80\xaeabc"`,
		"\x9b2J":                 `"\x9b2J"`,
		"Büro":                   "Büro",
	} {
		if got := plain(in); got != out {
			t.Errorf("plain(%q) = %s, want %s", in, got, out)
		}
	}
}
