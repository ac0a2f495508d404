package check

import (
	"net/netip"
	"testing"

	"github.com/amifend/amifend/ami/amitest"
	"github.com/amifend/amifend/cmd/amifend/internal/lockout"
	"github.com/amifend/amifend/firewall/firewalltest"
)

func TestYourWayIn(t *testing.T) {
	ns := firewalltest.New(t)
	pbx := runPBX(t, amitest.Behaviour{})
	session := func(addr string) func() []lockout.Session {
		return func() []lockout.Session {
			return []lockout.Session{{Addr: netip.MustParseAddr(addr), Own: true}}
		}
	}

	c := load(t, server("main", pbx.Addr()), "[allow]\nprefixes = "+
		"[\"203.0.113.0/26\"]\n[deny]\nprefixes = [\"198.51.100.0/24\"]\n")

	out, ok := look(t, Options{Config: c, NetNS: ns.FD()})
	if !ok {
		t.Error("not all is well without a session")
	}

	want(t, out, "your way in\n", "  note  no SSH session from another machine is seen")
	out, ok = look(t, Options{Config: c, NetNS: ns.FD(), Sessions: session("203.0.113.7")})
	if !ok {
		t.Error("not all is well with a session that is allowlisted")
	}

	want(t, out, "no warnings", "  ok    1 SSH session from other machines, and none can be cut off\n")

	out, ok = look(t, Options{Config: c, NetNS: ns.FD(), Sessions: session("192.0.2.7")})
	if !ok {
		t.Error("a warning is a failure")
	}

	want(t, out, "result: all works, 1 warning\n",
		"  warn  your SSH session from 192.0.2.7 is not allowlisted: a ban of that "+
			"address would cut it off\n",
		"        do: paste the [allow] below, which has 192.0.2.7; if your address changes",
		"what to allow\n", "in place of its [allow]", "\n[allow]\nprefixes = [\n",
		`    "192.0.2.7",             # SSH session, seen now`,
		`    "203.0.113.0/26",        # allowed already`, "\n]\n")

	out, ok = look(t, Options{Config: c, NetNS: ns.FD(), Sessions: session("198.51.100.7")})
	if ok {
		t.Error("a session that the deny lists cut off is no failure")
	}

	want(t, out, "  FAIL  the deny lists cut off your SSH session from 198.51.100.7: its address "+
		"is listed in [deny] prefixes\n")
}
