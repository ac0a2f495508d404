package firewall

import (
	"errors"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/amifend/amifend/firewall/firewalltest"
)

func TestRemove(t *testing.T) {
	ns := firewalltest.New(t)
	table := open(t, ns, Options{})
	ns.NFT(t, "add table inet other")
	apply(t, table, ban("203.0.113.5/32", ScopeAll, time.Hour))

	if removed, err := table.Remove(t.Context()); err != nil || !removed {
		t.Fatalf("%t, %v", removed, err)
	}
	if got := strings.TrimSpace(ns.NFT(t, "list ruleset")); got != "table inet other {\n}" {
		t.Errorf("left:\n%s", got)
	}
	if removed, err := table.Remove(t.Context()); err != nil || removed {
		t.Errorf("a second time: %t, %v", removed, err)
	}

	ensure(t, table) // it can be laid out again
	if got := bans(t, table); len(got) != 0 {
		t.Errorf("bans %v", got)
	}
}

func TestRemoveLeavesWhatIsNotOurs(t *testing.T) {
	ns := firewalltest.New(t)
	table, err := Open(Options{NetNS: ns.FD()})
	if err != nil {
		t.Fatal(err)
	}
	defer table.Close()

	ns.NFT(t, "add table inet amifend; add chain inet amifend mine")
	var foreign *ForeignError
	if _, err := table.Remove(t.Context()); !errors.As(err, &foreign) {
		t.Errorf("error %v", err)
	}
	if got := ns.NFT(t, "list ruleset"); !strings.Contains(got, "chain mine") {
		t.Errorf("left:\n%s", got)
	}
}

func TestSetPorts(t *testing.T) {
	ns := firewalltest.New(t)
	table := open(t, ns, Options{})
	apply(t, table, ban("203.0.113.5/32", ScopeSIP, time.Hour))

	ports, err := ParseSIPPorts("5160/udp")
	if err != nil {
		t.Fatal(err)
	}
	ws, err := ParseWSPorts("8443")
	if err != nil {
		t.Fatal(err)
	}
	if err := table.SetPorts(t.Context(), Ports{ports, ws}); err != nil {
		t.Fatal(err)
	}

	got := ns.NFT(t, "list chain inet amifend pre") + ns.NFT(t, "list chain inet amifend sip")
	if !strings.Contains(got, "5160") || !strings.Contains(got, "8443") ||
		strings.Contains(got, "5060") || strings.Contains(got, "8088") {
		t.Errorf("the rules are\n%s", got)
	}
	if el, ok, err := table.Element(t.Context(), netip.MustParsePrefix("203.0.113.5/32"),
		ScopeSIP); err != nil || !ok || el.Expires < 59*time.Minute {
		t.Errorf("the ban is %v, %t, %v", el, ok, err)
	}

	if err := table.SetPorts(t.Context(),
		Ports{SIP: PortRanges{{Protocol: 99, First: 1, Last: 2}}}); err == nil {
		t.Error("nonsense is accepted")
	}
	if got := ns.NFT(t, "list chain inet amifend pre"); !strings.Contains(got, "5160") {
		t.Errorf("the rules are\n%s", got)
	}
}
