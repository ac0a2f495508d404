package daemon

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/amifend/amifend/cmd/amifend/internal/control"
	"github.com/amifend/amifend/firewall"
)

// While another program deletes the table again and again, amifend puts it back each time, and soon
// after the last time all bans are there. The status says what goes on.
func TestAnotherProgramKeepsDeletingTheTable(t *testing.T) {
	const bans, deletions = 10_000, 10
	s := newSite(t, 1)
	s.config.Firewall.MaxBans = 2 * bans
	s.config.Policy.MaxBans, s.config.Policy.MaxSources = 2*bans, 8*bans
	c := s.withControl(t)
	r := s.start(t)
	ready(t, c)

	for part := range slices.Chunk(manyBans(bans), 1000) {
		res, err := c.Ban(t.Context(), part)
		if err != nil || len(res.Results) != len(part) {
			t.Fatalf("%d results, %v", len(res.Results), err)
		}
	}

	table := s.table(t)
	complete := func() bool {
		held, err := table.Bans(t.Context())
		return err == nil && len(held) == bans
	}
	if !complete() {
		t.Fatal("the kernel lacks bans before the first deletion")
	}

	var layout, all []time.Duration
	for range deletions {
		s.NFT(t, "delete table inet "+s.config.Firewall.Table)
		began := time.Now()
		eventually(t, "the layout is back", func() bool {
			_, _, err := table.Element(t.Context(), netip.MustParsePrefix("192.0.2.0/32"),
				firewall.ScopeAll)
			return err == nil
		})
		layout = append(layout, time.Since(began))

		// Every second time the bans have no time to come back.
		if len(layout)%2 == 0 {
			eventually(t, "all bans are back", complete)
			all = append(all, time.Since(began))
		}
	}

	slices.Sort(layout)
	slices.Sort(all)
	t.Logf("%d bans, %d deletions: the layout was back within %v, half of the times %v; all bans "+
		"within %v, half of the times %v", bans, deletions, layout[len(layout)-1],
		layout[len(layout)/2], all[len(all)-1], all[len(all)/2])

	st, err := c.Status(t.Context())
	if err != nil || st.Firewall.Taken < deletions/2 || !slices.ContainsFunc(st.Health,
		func(w control.Warning) bool { return strings.Contains(w.What, "keeps deleting") }) {
		t.Errorf("status %+v, %v, %v", st.Firewall, st.Health, err)
	}
	if n := len(r.Said("firewall: cannot apply bans", "")) +
		len(r.Said("firewall: cannot lay out the table", "")); n > 0 {
		t.Errorf("the kernel is said to refuse %d times:\n%s", n, r)
	}
	if n := len(r.Said("the nftables table is gone: putting it back", "")); n > 2 {
		t.Errorf("the log has %d lines", n)
	}
}

// manyBans returns bans of different addresses.
func manyBans(n int) (out []control.NewBan) {
	for i := range n {
		out = append(out, newBanOf(fmt.Sprintf("203.%d.%d.%d/32", i>>16, i>>8&255, i&255), "all",
			time.Hour))
	}
	return out
}
