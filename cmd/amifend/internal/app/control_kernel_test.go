package app

import (
	"database/sql"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/amifend/amifend/cmd/amifend/internal/control"
	"github.com/amifend/amifend/policy"
)

// What an operator bans and lifts is so in the kernel when the answer comes, and stays so over a restart.
func TestOperatorInTheKernel(t *testing.T) {
	s := newSite(t, 1)
	s.config.State.Directory, s.config.State.Retain, s.config.State.MaxSize = t.TempDir(), time.Hour, 10<<20
	c := s.withControl(t)
	r := s.start(t)
	ready(t, c)
	table := s.table(t)
	guess(s.pbxs[0], "203.0.113.6:5062", "TCP", 4)
	r.wait(t, "banned", "203.0.113.6")

	res, err := c.Ban(t.Context(), []control.NewBan{newBanOf("203.0.113.9/32", "sip", 2*time.Hour), newBanOf("198.51.100.1/32", "all", time.Hour)})
	if err != nil || len(res.Results) != 2 || res.Results[0].State != control.StateInKernel || res.Results[1].Error == nil || res.Results[1].Error.Code != control.CodeProtected {
		t.Fatalf("%+v, %v", res, err)
	}
	if el := s.element(t, table, "203.0.113.9/32", sip); el == nil || el.Expires.Round(time.Minute) != 2*time.Hour {
		t.Errorf("the kernel has %v", el)
	}
	l, err := c.Unban(t.Context(), netip.MustParsePrefix("203.0.113.6/32"))
	if err != nil || l.Count != 1 || l.Pending != 0 {
		t.Fatalf("%+v, %v", l, err)
	}
	if el := s.element(t, table, "203.0.113.6/32", all); el != nil {
		t.Errorf("the kernel still has %v", el)
	}
	guess(s.pbxs[0], "203.0.113.6:5063", "TCP", 3) // it begins anew
	x, err := c.Explain(t.Context(), netip.MustParseAddr("203.0.113.6"))
	if err != nil || len(x.Bans) != 0 || !strings.HasPrefix(x.Text, "203.0.113.6 is not banned\n") {
		t.Errorf("%+v, %v", x, err)
	}
	eventually(t, "the journal tells of the ban that is over", func() bool {
		x, err := c.Explain(t.Context(), netip.MustParseAddr("203.0.113.6"))
		return err == nil && len(x.Past) == 1 && !x.Past[0].Lifted.IsZero() && x.Past[0].Rule == policy.RuleProvenScore &&
			x.Past[0].By == "uid 0" && strings.Contains(x.Past[0].Evidence, `InvalidAccountID "100"`)
	})
	r.stop(t)

	s.start(t)
	ready(t, c)
	bans, err := c.Bans(t.Context(), control.BanQuery{})
	if err != nil || len(bans.Bans) != 1 || bans.Bans[0].Prefix.String() != "203.0.113.9/32" || bans.Bans[0].Rule != "operator" {
		t.Fatalf("after the restart: %+v, %v", bans, err)
	}
	x, err = c.Explain(t.Context(), netip.MustParseAddr("203.0.113.9"))
	if err != nil || len(x.Bans) != 1 || x.Bans[0].Dropped == nil || !strings.Contains(x.Text, "203.0.113.9 is banned as 203.0.113.9/32, scope sip") {
		t.Errorf("%+v, %v", x, err)
	}
	if l, err := c.Unban(t.Context(), netip.Prefix{}); err != nil || !slices.Equal(l.Lifted, []netip.Prefix{netip.MustParsePrefix("203.0.113.9/32")}) {
		t.Errorf("all: %+v, %v", l, err)
	}
	if elements, err := table.Bans(t.Context()); err != nil || len(elements) != 0 {
		t.Errorf("the kernel has %v, %v", elements, err)
	}
}

// What somebody put into the kernel is a ban like others as soon as an operator has both compared; then they agree.
func TestOperatorReconciles(t *testing.T) {
	s := newSite(t, 1)
	s.config.State.Directory, s.config.State.Retain, s.config.State.MaxSize = t.TempDir(), time.Hour, 10<<20
	c := s.withControl(t)
	s.start(t)
	ready(t, c)
	s.NFT(t, "add element inet "+s.config.Firewall.Table+" ban4 { 203.0.113.50 timeout 1h }")
	if _, err := c.Reconcile(t.Context()); err != nil {
		t.Fatal(err)
	}
	bans, err := c.Bans(t.Context(), control.BanQuery{})
	if err != nil || len(bans.Bans) != 1 || bans.Bans[0].Prefix.String() != "203.0.113.50/32" || bans.Bans[0].Rule != policy.RuleAdopted {
		t.Errorf("%+v, %v", bans, err)
	}
	if r, err := c.Reconcile(t.Context()); err != nil || r.Repaired() != 0 {
		t.Errorf("again: %+v, %v", r, err)
	}
}

// What was banned by hand is on the disk when the answer comes. Where the disk takes nothing, the answer says so.
func TestOperatorsBanIsOnTheDisk(t *testing.T) {
	s := newSite(t, 1)
	file := s.withState(t)
	c := s.withControl(t)
	s.start(t)
	ready(t, c)
	for i := range 10 {
		prefix := fmt.Sprintf("203.0.113.%d/32", i+1)
		res, err := c.Ban(t.Context(), []control.NewBan{newBanOf(prefix, "all", time.Hour)})
		if err != nil || len(res.Results) != 1 || res.Results[0].Note != "" {
			t.Fatalf("%+v, %v", res, err)
		}
		if got := query(t, file, "SELECT rule FROM bans WHERE running AND prefix = '"+prefix+"'"); got != "operator" {
			t.Fatalf("the journal says %q of %s", got, prefix)
		}
	}
	db, err := sql.Open("sqlite", "file:"+file+"?_txlock=immediate&_pragma=busy_timeout(2000)")
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	tx, err := db.BeginTx(t.Context(), nil) // nobody else can write
	if err != nil {
		t.Fatal(err)
	}
	res, err := c.Ban(t.Context(), []control.NewBan{newBanOf("203.0.113.20/32", "all", time.Hour), newBanOf("198.51.100.1/32", "all", time.Hour)})
	if err != nil || res.Results[0].State != control.StateInKernel || res.Results[0].Note == "" || res.Results[1].Error == nil || res.Results[1].Note != "" {
		t.Errorf("%+v, %v", res, err)
	}
	if a, err := c.Allow(t.Context(), control.NewAllow{Prefix: netip.MustParsePrefix("203.0.113.21/32")}); err != nil || a.Note == "" {
		t.Errorf("%+v, %v", a, err)
	}
	if err := tx.Rollback(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "it is written later", func() bool {
		a, err := c.Disallow(t.Context(), netip.MustParsePrefix("203.0.113.21/32"))
		return err == nil && a.Note == "" && query(t, file, "SELECT rule FROM bans WHERE running AND prefix = '203.0.113.20/32'") == "operator"
	})
}
