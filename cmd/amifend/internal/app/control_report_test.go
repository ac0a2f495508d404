package app

import (
	"net/netip"
	"testing"
	"time"

	"github.com/amifend/amifend/cmd/amifend/internal/config"
	"github.com/amifend/amifend/cmd/amifend/internal/control"
	"github.com/amifend/amifend/policy"
)

// What an alert was about is told later, to whoever asks for it, for its kind or for its source, and a report has it all.
func TestReportAndAlerts(t *testing.T) {
	s := newSite(t, 1)
	s.config.State = config.State{Directory: t.TempDir(), Retain: 24 * time.Hour, MaxSize: 1 << 24}
	s.config.Policy.MaxBans = 1 // the second ban finds no room: bans_full
	c := s.withControl(t)
	r := s.start(t)
	ready(t, c)
	guess(s.pbxs[0], "203.0.113.6:5062", "TCP", 4)
	r.wait(t, "banned", "203.0.113.6")
	guess(s.pbxs[0], "203.0.113.7:5062", "TCP", 4)
	r.wait(t, "alert", "203.0.113.7")

	day := 24 * time.Hour
	for name, tc := range map[string]struct {
		query control.AlertQuery
		want  int
	}{
		"all":         {control.AlertQuery{Since: day}, 1},
		"by default":  {control.AlertQuery{}, 1},
		"its kind":    {control.AlertQuery{Since: day, Kind: policy.RuleBansFull}, 1},
		"other kinds": {control.AlertQuery{Since: day, Kind: policy.RuleSuspectLogin}, 0},
		"its source":  {control.AlertQuery{Since: day, About: netip.MustParseAddr("203.0.113.7")}, 1},
		"others":      {control.AlertQuery{Since: day, About: netip.MustParseAddr("203.0.113.6")}, 0},
	} {
		l, err := c.Alerts(t.Context(), tc.query)
		if err != nil || len(l.Alerts) != tc.want {
			t.Errorf("%s: %+v, %v", name, l, err)
		}
		for _, a := range l.Alerts {
			if a.Kind != policy.RuleBansFull || a.Source != "203.0.113.7" || a.Reason == "" || a.Do == "" || time.Since(a.At) > time.Minute {
				t.Errorf("%s: %+v", name, a)
			}
		}
	}
	x, err := c.Explain(t.Context(), netip.MustParseAddr("203.0.113.7"))
	if err != nil || len(x.Alerts) != 1 || len(x.Past) != 0 {
		t.Errorf("explained: %+v, %v", x, err)
	}
	rep, err := c.Report(t.Context(), control.ReportQuery{})
	if err != nil || rep.Bans.Made != 1 || rep.Bans.ByRule[policy.RuleProvenScore] != 1 || len(rep.Latest) != 1 || len(rep.Alerts) != 1 {
		t.Errorf("report %+v, %v", rep, err)
	}
	banned := map[string]bool{}
	for _, sum := range rep.Sources {
		banned[sum.Name] = sum.Banned // our own login is not among them
	}
	if is, ok := banned["203.0.113.6"]; !is || !ok || banned["203.0.113.7"] || len(banned) != 2 {
		t.Errorf("sources %+v", rep.Sources)
	}
	if _, err := c.Report(t.Context(), control.ReportQuery{Limit: control.MostReported + 1}); control.CodeOf(err) != control.CodeBadRequest {
		t.Errorf("too many: %v", err)
	}
}

func TestReportWithoutAJournal(t *testing.T) {
	inOffice(t, func(t *testing.T, o *office) {
		if _, err := o.Report(t.Context(), control.ReportQuery{Since: time.Hour, Limit: 1}); control.CodeOf(err) != control.CodeFailed {
			t.Errorf("report: %v", err)
		}
		if _, err := o.Alerts(t.Context(), control.AlertQuery{Since: time.Hour, Limit: 1}); control.CodeOf(err) != control.CodeFailed {
			t.Errorf("alerts: %v", err)
		}
	})
}
