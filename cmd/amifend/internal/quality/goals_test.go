package main

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/amifend/amifend/cmd/amifend/internal/quality/traffic"
)

// TestGoals asks all goals of amifend, of all traffic together: there an attacker may be known by
// what others did.
func TestGoals(t *testing.T) {
	t.Parallel()

	// TestGoalsAlone sees the other botnets.
	asked := func(class string) bool {
		return !strings.HasPrefix(class, traffic.Limit) &&
			(!strings.HasPrefix(class, "botnet") || strings.HasSuffix(class, "random"))
	}
	for _, c := range play(t, asked) {
		t.Run(c.Name, func(t *testing.T) { judge(t, c) })
	}
}

// TestGoalsAlone asks the same of each class of attackers on its own, with nothing but those who
// belong to it, and of each kind of victim with those who name it.
func TestGoalsAlone(t *testing.T) {
	t.Parallel()

	for _, c := range traffic.New(traffic.Options{Size: traffic.Short, Seed: 1}).Classes {
		if !c.Judged() || c.Extra || c.Role != traffic.Attacker && c.Part != traffic.Naming {
			continue
		}
		t.Run(c.Name, func(t *testing.T) {
			for _, c := range play(t, func(class string) bool { return class == c.Name }) {
				t.Run(c.Name, func(t *testing.T) { judge(t, c) })
			}
		})
	}
}

// play plays traffic against amifend and returns the classes to judge. Alerts that are not true are
// errors.
func play(t *testing.T, only func(class string) bool) []*traffic.Class {
	t.Helper()
	r, err := run(contenders()[0], traffic.Options{Size: traffic.Short, Seed: 1, Only: only}, nil)
	if err != nil {
		t.Fatal(err)
	}

	for _, d := range falseAlerts(r) {
		t.Errorf("at %v: alert %s about %v, account %q [%s]: not true",
			time.Unix(0, d.At).UTC(), d.Alert, d.Prefix, d.Account, r.world.Who(d))
	}

	var out []*traffic.Class
	for _, c := range r.world.Classes {
		if c.Judged() {
			out = append(out, c)
		}
	}
	return out
}

// judge compares what became of a class with its goal.
func judge(t *testing.T, c *traffic.Class) {
	t.Helper()

	switch got := tallyOf(c); {
	case got.parties == 0:
		t.Error("nobody is in it")
	case (c.Role == traffic.Attacker || c.Goal.Attacks) && got.offered == 0:
		t.Error("no attempt was made")
	}

	for _, m := range missed(c) {
		t.Error(m)
	}
}

// TestBansThatMissTheGoal: who proved itself may not be banned at all, others from the SIP ports
// only.
func TestBansThatMissTheGoal(t *testing.T) {
	const everything, forHours = "from everything", "a ban lasts"
	unproved := traffic.Goal{SIPOnly: true}
	short := traffic.Goal{SIPOnly: true, Longest: 10 * time.Minute}

	for _, test := range []struct {
		name    string
		role    traffic.Role
		goal    traffic.Goal
		party   traffic.Party
		want    []string // each is a part of what is told
		wronged int
	}{
		{"nobody banned", traffic.Victim, traffic.Goal{}, traffic.Party{}, nil, 0},
		{
			"proved, SIP ports", traffic.Victim,
			traffic.Goal{},
			traffic.Party{Banned: true},
			[]string{"were banned"},
			1,
		},
		{
			"proved, everything", traffic.Good,
			traffic.Goal{},
			traffic.Party{Banned: true, Everything: true},
			[]string{everything, "were banned"},
			1,
		},
		{
			"unproved, SIP ports", traffic.Victim, unproved,
			traffic.Party{Banned: true, Longest: time.Hour},
			nil, 0,
		},
		{
			"unproved, everything", traffic.Victim, unproved,
			traffic.Party{Banned: true, Everything: true},
			[]string{everything},
			1,
		},
		{
			"unproved, short", traffic.Victim, short,
			traffic.Party{Banned: true, Longest: 10 * time.Minute},
			nil, 0,
		},
		{
			"unproved, too long", traffic.Victim, short,
			traffic.Party{Banned: true, Longest: 11 * time.Minute},
			[]string{forHours},
			1,
		},
		{
			"an attacker", traffic.Attacker,
			traffic.Goal{},
			traffic.Party{Banned: true, Everything: true},
			nil, 0,
		},
	} {
		c := &traffic.Class{Role: test.role, Goal: test.goal}
		c.Parties = []*traffic.Party{&test.party}
		got := missed(c)
		same := slices.EqualFunc(got, test.want, strings.Contains)
		if !same || tallyOf(c).wronged != test.wronged {
			t.Errorf("%s: missed %q, %d wronged; want %q, %d",
				test.name, got, tallyOf(c).wronged, test.want, test.wronged)
		}
	}
}

// TestMisconfiguredEndpoints: alerts about parties that are at fault and about others are told
// apart.
func TestMisconfiguredEndpoints(t *testing.T) {
	alerts := func(n int) map[string]int {
		return map[string]int{"misconfigured_endpoint": n, "suspect_login": 1}
	}
	got := tallyOf(&traffic.Class{Role: traffic.Good, Parties: []*traffic.Party{
		{Misconfigured: true, Alerts: alerts(2)}, {Misconfigured: true}, {Alerts: alerts(3)}, {},
	}})

	if got.misconfigured != 5 || got.notMisconfigured != 3 ||
		got.atFault != 2 || got.atFaultUntold != 1 {
		t.Errorf("%d alerts, %d about others, %d at fault, %d of them untold; want 5, 3, 2, 1",
			got.misconfigured, got.notMisconfigured, got.atFault, got.atFaultUntold)
	}
}

// TestTables: every class is in one table, and every tool has its columns there.
func TestTables(t *testing.T) {
	for _, part := range []traffic.Part{traffic.Plain, traffic.Naming, traffic.Field} {
		for role := traffic.Good; role <= traffic.Forger; role++ {
			n := 0
			for _, s := range sections() {
				if s.has(&traffic.Class{Part: part, Role: role}) {
					n++
				}
			}

			// Plain forgers are shown by what becomes of their victims. Part Field has no forgers.
			want := 1
			forged := role == traffic.Forger || role == traffic.Victim
			if part == traffic.Plain && role == traffic.Forger || part == traffic.Field && forged {
				want = 0
			}
			if n != want {
				t.Errorf("part %d, role %d: in %d tables, want %d", part, role, n, want)
			}
		}
	}

	for _, s := range sections() {
		columns, cells := strings.Count(s.columns, "\t"), strings.Count(s.cell(tally{}), "\t")
		if columns != cells {
			t.Errorf("%s: %d columns, %d cells", s.title, columns+1, cells+1)
		}
	}
}
