package check

import (
	"path/filepath"
	"testing"

	"github.com/amifend/amifend/ami/amitest"
	"github.com/amifend/amifend/cmd/amifend/internal/config"
	"github.com/amifend/amifend/firewall/firewalltest"
)

func TestDenyListsAreTold(t *testing.T) {
	ns := firewalltest.New(t)
	peer := firewalltest.New(t)
	firewalltest.Join(t, ns, peer, []string{"192.168.5.1/24"}, []string{"192.168.5.2/24"})
	pbx := runPBX(t, amitest.Behaviour{})
	dir := t.TempDir()
	list := write(t, dir, "level1.netset", 0o644,
		"# bogons\n192.168.0.0/16\n203.0.113.0/24\n127.1.0.0/16\n203.0.113.16/28\n")

	path := write(t, dir, "config.toml", 0o600, server("main", pbx.Addr())+
		"[allow]\nprefixes = [\"203.0.113.20\"]\n[deny]\nprefixes = [\"198.51.100.0/24\"]\nfiles "+
		"= [\"level1.netset\"]\n")

	c, err := config.Load(path)
	if err != nil {
		t.Fatal(err)
	}

	out, ok := look(t, Options{Config: c, Path: path, NetNS: ns.FD()})
	if !ok {
		t.Error("not all is well")
	}

	want(t, out, "  ok    5 prefixes in [deny]\n", "always dropped\n",
		"  ok    [deny] prefixes (1), "+list+
			" (4): 5 prefixes listed, 5 ranges of addresses dropped\n",
		"  note  127.1.0.0/16 is not dropped: loopback; listed as 127.1.0.0/16 at "+list+":4\n",
		"  note  203.0.113.20 is not dropped: allowlist ([allow] prefixes); listed as "+
			"203.0.113.0/24 at "+list+":3 and 1 more place\n",
		"  note  192.168.5.0/24 is not dropped: our own network; to drop hosts of it, list them; "+
			"listed as 192.168.0.0/16 at "+list+":2\n",
	)
	if _, err := config.Load(write(t, dir, "bad.toml", 0o600,
		server("main", pbx.Addr())+"[deny]\nfiles = [\"missing\"]\n")); err == nil {
		t.Errorf("a list that is missing (%s) is no error", filepath.Join(dir, "missing"))
	}

	out, _ = look(t, Options{Config: load(t, server("main", pbx.Addr())), NetNS: ns.FD()})
	wantNot(t, out, "always dropped", "[deny]")
}
