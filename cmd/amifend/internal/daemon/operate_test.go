package daemon

import (
	"context"
	"database/sql"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/amifend/amifend/cmd/amifend/internal/config"
	"github.com/amifend/amifend/cmd/amifend/internal/control"
	"github.com/amifend/amifend/policy"
)

// What an operator bans and lifts is so in the kernel when the answer comes, and stays so over a
// restart.
func TestOperatorInTheKernel(t *testing.T) {
	s := newSite(t, 1)
	s.config.State = config.State{Directory: t.TempDir(), Retain: time.Hour, MaxSize: 10 << 20}
	c := s.withControl(t)
	r := s.start(t)
	ready(t, c)
	table := s.table(t)
	guess(s.pbxs[0], "203.0.113.6:5062", "TCP", 4)
	r.Wait(t, "banned", "203.0.113.6")

	res, err := c.Ban(t.Context(), []control.NewBan{
		newBanOf("203.0.113.9/32", "sip", 2*time.Hour),
		newBanOf("198.51.100.1/32", "all", time.Hour),
	})
	if err != nil || len(res.Results) != 2 || res.Results[0].State != control.StateInKernel ||
		res.Results[1].Error == nil ||
		res.Results[1].Error.Code != control.CodeProtected {
		t.Fatalf("%+v, %v", res, err)
	}
	if el := s.element(t, table, "203.0.113.9/32", sip); el == nil ||
		el.Expires.Round(time.Minute) != 2*time.Hour {
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
		return err == nil && len(x.Past) == 1 && !x.Past[0].Lifted.IsZero() &&
			x.Past[0].Rule == policy.RuleProvenScore.String() &&
			x.Past[0].By == "root" &&
			strings.Contains(x.Past[0].Evidence, `InvalidAccountID "100"`)
	})

	r.stop(t)

	s.start(t)
	ready(t, c)
	bans, err := c.Bans(t.Context(), control.BanQuery{})
	if err != nil || len(bans.Bans) != 1 || bans.Bans[0].Prefix.String() != "203.0.113.9/32" ||
		bans.Bans[0].Rule != "operator" {
		t.Fatalf("after the restart: %+v, %v", bans, err)
	}

	x, err = c.Explain(t.Context(), netip.MustParseAddr("203.0.113.9"))
	if err != nil || len(x.Bans) != 1 || x.Bans[0].Dropped == nil ||
		!strings.Contains(x.Text, "  203.0.113.9/32, scope sip") {
		t.Errorf("%+v, %v", x, err)
	}
	if l, err := c.Unban(t.Context(), netip.Prefix{}); err != nil ||
		!slices.Equal(l.Lifted, []netip.Prefix{netip.MustParsePrefix("203.0.113.9/32")}) {
		t.Errorf("all: %+v, %v", l, err)
	}
	if elements, err := table.Bans(t.Context()); err != nil || len(elements) != 0 {
		t.Errorf("the kernel has %v, %v", elements, err)
	}
}

// What somebody put into the kernel is a ban like others as soon as an operator has both compared;
// then they agree.
func TestOperatorReconciles(t *testing.T) {
	s := newSite(t, 1)
	s.config.State = config.State{Directory: t.TempDir(), Retain: time.Hour, MaxSize: 10 << 20}
	c := s.withControl(t)
	s.start(t)
	ready(t, c)
	s.NFT(t, "add element inet "+s.config.Firewall.Table+" ban4 { 203.0.113.50 timeout 1h }")
	if _, err := c.Reconcile(t.Context()); err != nil {
		t.Fatal(err)
	}

	bans, err := c.Bans(t.Context(), control.BanQuery{})
	if err != nil || len(bans.Bans) != 1 || bans.Bans[0].Prefix.String() != "203.0.113.50/32" ||
		bans.Bans[0].Rule != policy.RuleAdopted.String() {
		t.Errorf("%+v, %v", bans, err)
	}
	if r, err := c.Reconcile(t.Context()); err != nil || r.Repaired() != 0 {
		t.Errorf("again: %+v, %v", r, err)
	}
}

// What was banned by hand is on the disk when the answer comes. Where the disk takes nothing, the
// answer says so.
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
		if got := query(t, file,
			"SELECT rule FROM bans WHERE running AND prefix = '"+prefix+"'"); got != "operator" {
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

	res, err := c.Ban(t.Context(), []control.NewBan{
		newBanOf("203.0.113.20/32", "all", time.Hour),
		newBanOf("198.51.100.1/32", "all", time.Hour),
	})
	if err != nil || res.Results[0].State != control.StateInKernel || res.Results[0].Note == "" ||
		res.Results[1].Error == nil ||
		res.Results[1].Note != "" {
		t.Errorf("%+v, %v", res, err)
	}
	if a, err := c.Allow(t.Context(), control.NewAllow{
		Prefix: netip.MustParsePrefix("203.0.113.21/32"),
	}); err != nil ||
		a.Note == "" {
		t.Errorf("%+v, %v", a, err)
	}
	if err := tx.Rollback(); err != nil {
		t.Fatal(err)
	}

	eventually(t, "it is written later", func() bool {
		a, err := c.Disallow(t.Context(), netip.MustParsePrefix("203.0.113.21/32"))
		return err == nil && a.Note == "" &&
			query(t, file, "SELECT rule FROM bans WHERE running AND prefix = '203.0.113.20/32'") == "operator"
	})
}

func TestStatusAndBans(t *testing.T) {
	s := newSite(t, 2)
	c := s.withControl(t)
	r := s.start(t)
	ready(t, c)
	guess(s.pbxs[0], "203.0.113.6:5062", "TCP", 4)
	guess(s.pbxs[0], "203.0.113.7:5062", "UDP", 2)
	guess(s.pbxs[1], "203.0.113.7:5062", "UDP", 2)
	r.Wait(t, "banned", "203.0.113.6")
	r.Wait(t, "banned", "203.0.113.7")

	l, err := c.Bans(t.Context(), control.BanQuery{Sort: "source"})
	if err != nil || l.Total != 2 || len(l.Bans) != 2 {
		t.Fatalf("%+v, %v", l, err)
	}

	b := l.Bans[0]
	if b.Prefix.String() != "203.0.113.6/32" || b.Scope != "all" ||
		b.Rule != policy.RuleProvenScore.String() || b.Attempts != 4 || b.Strike != 1 ||
		!slices.Equal(b.Servers, []string{"pbx1"}) || b.State != control.StateInKernel ||
		b.Dropped == nil || *b.Dropped != 0 {
		t.Errorf("ban %+v", b)
	}
	if left := time.Until(b.Until); left < 59*time.Minute || left > time.Hour {
		t.Errorf("it ends in %v", left)
	}
	if b := l.Bans[1]; b.Scope != "sip" ||
		!slices.Equal(slices.Sorted(slices.Values(b.Servers)), []string{"pbx1", "pbx2"}) {
		t.Errorf("ban %+v", b)
	}

	if l, err = c.Bans(t.Context(), control.BanQuery{Server: "pbx2"}); err != nil ||
		l.Matched != 1 {
		t.Errorf("of pbx2: %+v, %v", l, err)
	}

	st, err := c.Status(t.Context())
	if err != nil || len(st.Servers) != 2 || len(st.Health) != 0 {
		t.Fatalf("%+v, %v", st, err)
	}
	if p := st.Servers[0]; !p.Connected || p.Name != "pbx1" || p.Events < 6 || p.TLS != "" ||
		p.Login != "MD5" {
		t.Errorf("server %+v", p)
	}
	if st.Firewall.State != "ok" || st.Firewall.Bans != 2 || st.Firewall.Pending != 0 ||
		st.Engine.Bans != 2 || st.Engine.Counted != 8 {
		t.Errorf("firewall %+v, engine %+v", st.Firewall, st.Engine)
	}

	a, err := c.Allowed(t.Context())
	if err != nil || !slices.ContainsFunc(a.Entries, func(e control.Allowed) bool {
		return e.Prefix.String() == "198.51.100.0/24" && strings.Contains(e.Reason, "allowlist")
	}) {
		t.Errorf("allowed: %+v, %v", a, err)
	}

	s.pbxs[1].Close()
	eventually(t, "the status tells of a server that is gone", func() bool {
		st, err := c.Status(t.Context())
		return err == nil && !st.Servers[1].Connected && st.Servers[1].Do != "" &&
			len(st.Health) == 1 && st.Health[0].About == "server pbx2"
	})
}

func TestEventsAreFollowed(t *testing.T) {
	s := newSite(t, 1)
	c := s.withControl(t)
	s.start(t)
	ready(t, c)
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	events, err := c.Events(ctx, control.EventFilter{
		Within: netip.MustParsePrefix("203.0.113.6/32"),
	})
	if err != nil {
		t.Fatal(err)
	}

	guess(s.pbxs[0], "203.0.113.5:5062", "UDP", 1)
	guess(s.pbxs[0], "203.0.113.6:5062", "UDP", 1)
	for ev, err := range events {
		if err != nil {
			t.Fatal(err)
		}
		if ev.Source.String() != "203.0.113.6:5062" || ev.Account != `"100"` ||
			ev.Server != "pbx1" {
			t.Errorf("event %+v", ev)
		}
		if want := (control.Score{Score: 1, Limit: 3}); ev.Score == nil || *ev.Score != want {
			t.Errorf("its score is %v, want %v", ev.Score, want)
		}
		return
	}

	t.Error("no event came")
}

// What an alert was about is told later, to whoever asks for it, for its kind or for its source,
// and a report has it all.
func TestReportAndAlerts(t *testing.T) {
	s := newSite(t, 1)
	s.config.State = config.State{Directory: t.TempDir(), Retain: 24 * time.Hour, MaxSize: 1 << 24}
	s.config.Policy.MaxBans = 1 // the second ban finds no room: bans_full
	c := s.withControl(t)
	r := s.start(t)
	ready(t, c)
	guess(s.pbxs[0], "203.0.113.6:5062", "TCP", 4)
	r.Wait(t, "banned", "203.0.113.6")
	guess(s.pbxs[0], "203.0.113.7:5062", "TCP", 4)
	r.Wait(t, "alert", "203.0.113.7")

	day := 24 * time.Hour
	for name, tc := range map[string]struct {
		query control.AlertQuery
		want  int
	}{
		"all":         {control.AlertQuery{Since: day}, 1},
		"by default":  {control.AlertQuery{}, 1},
		"its kind":    {control.AlertQuery{Since: day, Kind: policy.RuleBansFull.String()}, 1},
		"other kinds": {control.AlertQuery{Since: day, Kind: policy.RuleSuspectLogin.String()}, 0},
		"its source": {
			control.AlertQuery{Since: day, About: netip.MustParseAddr("203.0.113.7")}, 1,
		},
		"others": {
			control.AlertQuery{Since: day, About: netip.MustParseAddr("203.0.113.6")}, 0,
		},
	} {
		l, err := c.Alerts(t.Context(), tc.query)
		if err != nil || len(l.Alerts) != tc.want {
			t.Errorf("%s: %+v, %v", name, l, err)
		}

		for _, a := range l.Alerts {
			if a.Kind != policy.RuleBansFull.String() || a.Source != "203.0.113.7" || a.Reason == "" ||
				a.Do == "" || time.Since(a.At) > time.Minute {
				t.Errorf("%s: %+v", name, a)
			}
		}
	}

	x, err := c.Explain(t.Context(), netip.MustParseAddr("203.0.113.7"))
	if err != nil || len(x.Alerts) != 1 || len(x.Past) != 0 {
		t.Errorf("explained: %+v, %v", x, err)
	}

	rep, err := c.Report(t.Context(), control.ReportQuery{})
	if err != nil || rep.Bans.Made != 1 || rep.Bans.ByRule[policy.RuleProvenScore.String()] != 1 ||
		len(rep.Latest) != 1 || len(rep.Alerts) != 1 {
		t.Errorf("report %+v, %v", rep, err)
	}

	banned := map[string]bool{}
	for _, sum := range rep.Sources {
		banned[sum.Name] = sum.Banned // our own login is not among them
	}

	if is, ok := banned["203.0.113.6"]; !is || !ok || banned["203.0.113.7"] || len(banned) != 2 {
		t.Errorf("sources %+v", rep.Sources)
	}

	_, err = c.Report(t.Context(), control.ReportQuery{Limit: control.MostReported + 1})
	if control.CodeOf(err) != control.CodeBadRequest {
		t.Errorf("too many: %v", err)
	}
}
