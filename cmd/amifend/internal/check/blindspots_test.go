package check

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/amifend/amifend/ami/amitest"
	"github.com/amifend/amifend/cmd/amifend/internal/config"
	"github.com/amifend/amifend/cmd/amifend/internal/lockout"
	"github.com/amifend/amifend/firewall"
)

// The folder is built after what a distribution of Asterisk writes by default.
func TestBlindSpots(t *testing.T) {
	pbx := runPBX(t, amitest.Behaviour{})
	out, ok := look(t, Options{
		Config:    load(t, server("pbx", pbx.Addr()), dryRun),
		PBXConfig: "testdata/pbx-blind-spots",
	})
	if !ok {
		t.Error("a blind spot is a failure")
	}

	want(t, out, "result: all works, 5 warnings", "trunks in testdata/pbx-blind-spots\n  note  none found\n",
		"what hides attacks in testdata/pbx-blind-spots\n",
		"warn  pjsip.conf:3 [global] endpoint_identifier_order: auth_username",
		"do: take auth_username out",
		"warn  pjsip.conf:4 [anonymous]: the endpoint takes calls from strangers",
		`its context "from-sip-external"`,
		"warn  sip.conf:2 [general] allowguest: guests may call", "do: write allowguest = no",
		"warn  manager.conf:3 [general] webenabled: ", "do: write webenabled = no",
		"warn  manager.conf:7 [amifend] eventfilter: a filter of the old form", "do: delete")
	wantNot(t, out, "Web Manager must be No")
}

func TestIAX2Trunks(t *testing.T) {
	pbx := runPBX(t, amitest.Behaviour{})
	out, _ := look(t, Options{
		Config: load(t, server("pbx", pbx.Addr()), dryRun), PBXConfig: "testdata/pbx-iax",
	})
	want(t, out,
		"warn  203.0.113.200 can be banned (iax_registrations.conf:1 [general] register)",
		"warn  203.0.113.201 can be banned (iax_additional.conf:3 [branch] host)",
		"warn  iax_registrations.conf:1 [general]: IAX2 is in use",
		`"203.0.113.200",`, `"203.0.113.201",`)
}

func TestNoBlindSpots(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "pjsip.conf", 0o644, "[t]\ntype=transport\nbind=0.0.0.0:5061\n")
	pbx := runPBX(t, amitest.Behaviour{})
	out, _ := look(t, Options{
		Config: load(t, server("pbx", pbx.Addr()), dryRun), PBXConfig: dir,
	})
	want(t, out, "what hides attacks in "+dir+"\n  ok    nothing found\n", "Web Manager must be No")
}

func TestPortsOutsideTheConfig(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "pjsip.conf", 0o644, "[t]\ntype=transport\nbind=0.0.0.0:5160\n"+
		"[s]\ntype=transport\nprotocol=tls\nbind=[::]:5161\n")
	pbx := runPBX(t, amitest.Behaviour{})
	o := Options{Config: load(t, server("pbx", pbx.Addr()), dryRun), PBXConfig: dir}
	out, _ := look(t, o)
	want(t, out, "2 warnings",
		"warn  pjsip.conf:3 [t] bind: calls arrive at port 5160/udp, which is not in [firewall]",
		`do: write into [firewall]: sip_ports = ["5060-5061", "4569/udp", "5160/udp", "5161/tcp"]`,
		"warn  pjsip.conf:7 [s] bind: calls arrive at port 5161/tcp")

	write(t, dir, "http.conf", 0o644, "[general]\nenabled=yes\nbindaddr=0.0.0.0\n"+
		"tlsenable=yes\ntlsbindaddr=0.0.0.0:8443\n")
	out, _ = look(t, o)
	want(t, out, "3 warnings",
		"warn  http.conf:5 [general] tlsbindaddr: calls over WebSocket arrive at port 8443/tcp, "+
			"which is not in [firewall] ws_ports: a ban from the TCP ports",
		`do: write into [firewall]: ws_ports = ["8088-8089/tcp", "8443/tcp"]`)
	wantNot(t, out, "8088/tcp, which")

	o.Config = load(t, server("pbx", pbx.Addr()),
		"[firewall]\nbackend = \"log\"\nsip_ports = [\"5160/udp\", \"5161\"]\n"+
			"ws_ports = [8088, 8443]\n")
	out, _ = look(t, o)
	want(t, out, "  ok    nothing found\n")
}

func TestPortsText(t *testing.T) {
	ports, err := firewall.ParseSIPPorts("5060-5061", "4569/udp", "8088-8089/tcp", "5160")
	if err != nil {
		t.Fatal(err)
	}
	got := portsText(ports)
	if want := `["5060-5061", "4569/udp", "8088-8089/tcp", "5160"]`; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

// TOML allows one [allow], so everything to allow stands in one that can replace the old one.
func TestOneTableForTrunksAndYourWayIn(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "pjsip.conf", 0o644, "[a]\ntype=identify\nmatch=203.0.113.5\n")
	pbx := runPBX(t, amitest.Behaviour{})
	o := Options{
		PBXConfig: dir, Lookup: resolver,
		Config: load(t, server("pbx", pbx.Addr()), dryRun, "[allow]\n"+
			"prefixes = [\"198.51.100.0/28\"]\nnames = [\"whole.example\"]\n"),
		Sessions: func() []lockout.Session {
			return []lockout.Session{{Addr: netip.MustParseAddr("192.0.2.77"), Own: true}}
		},
	}
	out, _ := look(t, o)
	if n := strings.Count(out, "[allow]\nprefixes"); n != 1 {
		t.Errorf("%d tables:\n%s", n, out)
	}

	_, paste, _ := strings.Cut(out, "in place of its [allow]")
	_, paste, _ = strings.Cut(paste, "\n")
	paste, _, _ = strings.Cut(paste, "\nhints\n")
	o.Config = load(t, server("pbx", pbx.Addr()), dryRun, paste)
	out, _ = look(t, o)
	want(t, out, "no warnings", "ok    valid: 1 server, 3 prefixes in [allow]", "1 name in [allow]",
		"ok    1 SSH session", "ok    203.0.113.5 is never banned")
	wantNot(t, out, "what to allow")
	if len(o.Config.Names) != 1 || o.Config.Firewall.Backend != config.BackendLog {
		t.Errorf("the pasted table changed something else: %+v", o.Config)
	}
}

// TestBlindSpotsOfADatabase: what is not read is never called free of risks.
func TestBlindSpotsOfADatabase(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "pjsip.conf", 0o644, "[t]\ntype=transport\nbind=0.0.0.0\n")
	write(t, dir, "sorcery.conf", 0o644, "[res_pjsip]\nendpoint=realtime,ps_endpoints\n")
	pbx := runPBX(t, amitest.Behaviour{})
	out, _ := look(t, Options{
		Config: load(t, server("pbx", pbx.Addr()), dryRun), PBXConfig: dir,
	})
	want(t, out, "what hides attacks in "+dir+"\n  note  not known in full")
	wantNot(t, out, "nothing found")
}
