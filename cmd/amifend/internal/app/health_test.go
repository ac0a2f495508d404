package app

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/amifend/amifend/ami"
	"github.com/amifend/amifend/cmd/amifend/internal/control"
	"github.com/amifend/amifend/cmd/amifend/internal/journal"
	"github.com/amifend/amifend/policy"
)

// What went wrong is shown for an hour, and not for ever.
func TestPolicyWarningsAreOfTheLastHour(t *testing.T) {
	var p pulse
	now := policy.Stats{BansRefused: 3, Postponed: 5, Evicted: 7, AlertsDelayed: 11}
	if got := policyWarnings(now, p.before()); len(got) != 4 || !strings.Contains(got[0].What, "3 times") || got[0].Do == "" {
		t.Errorf("%+v", got)
	}
	for range 60 {
		p.note(now)
	}
	now.Evicted += 2
	got := policyWarnings(now, p.before())
	if len(got) != 1 || !strings.HasPrefix(got[0].What, "2 sources were forgotten") {
		t.Errorf("an hour later: %+v", got)
	}
	for range 1000 {
		p.note(now)
	}
	if got := policyWarnings(now, p.before()); len(got) != 0 || len(p.samples) != 60 {
		t.Errorf("at last: %+v, %d samples", got, len(p.samples))
	}
}

func TestGapsAreToldForAnHour(t *testing.T) {
	now := time.Now()
	st := ami.Status{Phase: ami.PhaseConnected, Since: now.Add(-2 * time.Second), LastGap: 4 * time.Second}
	if got := gapText(st, now); !strings.Contains(got, "down for 4s, until 2s ago") {
		t.Errorf("got %q", got)
	}
	if got := gapText(st, now.Add(time.Hour)); got != "" {
		t.Errorf("an hour later: %q", got)
	}
	st.Phase = ami.PhaseWaiting // Since is that of the last attempt now
	if got := gapText(st, now); got != "" {
		t.Errorf("while the next one goes on: %q", got)
	}
}

func TestAlertWarningsTellTheLastOfEachKind(t *testing.T) {
	day := int64(24 * time.Hour)
	alert := func(at int64, kind, source string) alertSeen {
		return alertSeen{at, journal.Alert{Kind: kind, Source: source, Text: "why", Do: "do " + kind}}
	}
	seen := []alertSeen{alert(0, "old", "203.0.113.1"), alert(day, "a", "203.0.113.2"), alert(day, "b", "203.0.113.3"), alert(day+1, "a", "203.0.113.4")}
	got := alertWarnings(seen, day+2)
	want := []control.Warning{
		{About: "alert a", What: "203.0.113.4: why (2 such alerts in the last day: amifend alerts)", Do: "do a"},
		{About: "alert b", What: "203.0.113.3: why", Do: "do b"},
	}
	if len(got) != 2 || got[0] != want[0] || got[1] != want[1] {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

// What the judge tells of is in the status: an alert, and a PBX that sees one address for everybody.
func TestStatusTellsWhatTheJudgeTold(t *testing.T) {
	inOffice(t, func(t *testing.T, o *office) {
		_, err := ask(t.Context(), o.judge.asks, askJudge, func() bool {
			o.judge.masked.note(maskedSeen{o.clock.now(), "pbx", netip.MustParseAddr("198.51.100.1"), "allowlist"})
			o.judge.masked.note(maskedSeen{o.clock.now(), "pbx", netip.MustParseAddr("198.51.100.2"), "allowlist"})
			for range alertsSeen + 1 {
				o.judge.alert(policy.Verdict{Action: policy.ActionAlert, Rule: policy.RuleSuspectLogin, Prefix: netip.MustParsePrefix("203.0.113.9/32")})
			}
			return true
		})
		if err != nil {
			t.Fatal(err)
		}
		st, err := o.Status(t.Context())
		if err != nil || len(st.Health) != 2 {
			t.Fatalf("%+v, %v", st.Health, err)
		}
		if h := st.Health[0]; h.About != "server pbx" || !strings.Contains(h.What, "198.51.100.2, which is never banned (allowlist)") || h.Do != maskedAdvice {
			t.Errorf("%+v", h)
		}
		if h := st.Health[1]; h.About != "alert suspect_login" || !strings.Contains(h.What, "100 such alerts") || h.Do == "" {
			t.Errorf("%+v", h)
		}
	})
}

// A PBX that was not reached yet has no problem so far, but nothing is well without its events.
func TestAServerThatConnectsForTheFirstTimeIsTold(t *testing.T) {
	login, err := ami.NewSession(ami.Config{Name: "pbx", Address: "127.0.0.1:5038", Username: "amifend", Secret: ami.NewSecret("x")})
	if err != nil {
		t.Fatal(err)
	}
	s := &session{Session: login, name: "pbx"}
	if _, warnings := s.report(); len(warnings) != 1 || warnings[0].About != "server pbx" || !strings.Contains(warnings[0].What, "connecting") {
		t.Errorf("%+v", warnings)
	}
}
