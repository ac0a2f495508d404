package firewall_test

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/amifend/amifend/firewall"
	"github.com/amifend/amifend/firewall/firewalltest"
)

// Loading the example for /etc/nftables.conf again leaves amifend's table alone.
func TestExampleRuleset(t *testing.T) {
	ns := firewalltest.New(t)
	table, err := firewall.Open(firewall.Options{
		Table: "amifend", NetNS: ns.FD(), MaxBans: 100, Ports: firewall.Ports{SIP: firewall.DefaultSIPPorts()},
	})
	if err != nil {
		t.Fatal(err)
	}
	defer table.Close()
	if err := table.Ensure(t.Context()); err != nil {
		t.Fatal(err)
	}

	file, err := filepath.Abs("../examples/firewall/nftables.conf")
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		ns.NFT(t, "-f", file)
	}
	for name, want := range map[string]string{"amifend": "priority raw - 10", "filter": "5060"} {
		if got := ns.NFT(t, "list", "table", "inet", name); !strings.Contains(got, want) {
			t.Errorf("table %s lacks %q:\n%s", name, want, got)
		}
	}
}
