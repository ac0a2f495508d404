package cli

import (
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/amifend/amifend/cmd/amifend/internal/control"
	"github.com/amifend/amifend/firewall"
	"github.com/amifend/amifend/firewall/firewalltest"
)

func TestMain(m *testing.M) { firewalltest.Main(m) }

// What is exported, nft loads, and it is the same bans.
func TestExportIsLoaded(t *testing.T) {
	ns := firewalltest.New(t)
	table, err := firewall.Open(firewall.Options{NetNS: ns.FD()})
	if err != nil {
		t.Fatal(err)
	}
	defer table.Close()

	if err := table.Ensure(t.Context()); err != nil {
		t.Fatal(err)
	}

	now := time.Now()
	bans := []control.Ban{
		{
			Prefix: netip.MustParsePrefix("2001:db8::/64"), Scope: "all",
			Until: now.Add(30 * 24 * time.Hour),
		},
		// over
		{
			Prefix: netip.MustParsePrefix("203.0.113.99/32"), Scope: "all",
			Until: now.Add(-time.Second),
		},
	}
	for i := range 2*elementsMost + 1 {
		bans = append(bans, control.Ban{
			Prefix: netip.PrefixFrom(netip.AddrFrom4([4]byte{203, 0, byte(i >> 8), byte(i)}), 32),
			Scope:  []string{"all", "sip"}[i%2], Until: now.Add(time.Hour),
		})
	}

	var text strings.Builder
	if err := writeNFT(&text, "amifend", bans, now); err != nil {
		t.Fatal(err)
	}

	file := filepath.Join(t.TempDir(), "bans.nft")
	if err := os.WriteFile(file, []byte(text.String()), 0o600); err != nil {
		t.Fatal(err)
	}

	ns.NFT(t, "-f", file)
	got, err := table.Bans(t.Context())
	if err != nil || len(got) != len(bans)-1 {
		t.Fatalf("the kernel has %d bans, want %d, %v", len(got), len(bans)-1, err)
	}

	want := map[netip.Prefix]control.Ban{}
	for _, b := range bans {
		want[b.Prefix] = b
	}

	for _, el := range got {
		b := want[el.Prefix]
		if el.Scope.String() != b.Scope || el.Expires > b.Until.Sub(now) ||
			el.Expires < b.Until.Sub(now)-time.Minute {
			t.Errorf("the kernel has %+v of %+v", el, b)
		}
	}
}

// Bans of a dry run are not passed off as bans that some kernel has.
func TestExportOfDryRun(t *testing.T) {
	for state, want := range map[string]bool{control.StateDry: true, control.StateInKernel: false} {
		bans := []control.Ban{{
			Prefix: netip.MustParsePrefix("203.0.113.9/32"), Scope: "all",
			Until: time.Now().Add(time.Hour), State: state,
		}}

		var text strings.Builder
		if err := writeNFT(&text, "amifend", bans, time.Now()); err != nil {
			t.Fatal(err)
		}

		if got := strings.Contains(text.String(), "This daemon bans nobody"); got != want {
			t.Errorf("%s: %s", state, text.String())
		}
	}
}
