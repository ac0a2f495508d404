package main

import (
	"strings"
	"testing"
	"time"

	"github.com/amifend/amifend/cmd/amifend/internal/quality/traffic"
)

// TestGoals: what the suite asks of amifend, of all traffic together. There an attacker may be known by what others did.
func TestGoals(t *testing.T) {
	t.Parallel()
	asked := func(class string) bool { // TestGoalsAlone sees the other botnets
		return !strings.HasPrefix(class, traffic.Limit) && (!strings.HasPrefix(class, "botnet") || strings.HasSuffix(class, "random"))
	}
	for _, c := range judged(t, traffic.Options{Size: traffic.Short, Seed: 1, Only: asked}) {
		t.Run(c.Name, func(t *testing.T) { judge(t, c) })
	}
}

// TestGoalsAlone: the same of each class of attackers on its own, with nothing but those who belong to it.
func TestGoalsAlone(t *testing.T) {
	t.Parallel()
	for _, c := range traffic.New(traffic.Options{Size: traffic.Short, Seed: 1}).Classes {
		if c.Role != traffic.Attacker || !c.Judged() || c.Extra {
			continue
		}
		t.Run(c.Name, func(t *testing.T) {
			alone := func(class string) bool { return class == c.Name }
			for _, c := range judged(t, traffic.Options{Size: traffic.Short, Seed: 1, Only: alone}) {
				judge(t, c)
			}
		})
	}
}

// judged plays traffic against amifend and returns the classes to judge. Alerts that are not true are errors.
func judged(t *testing.T, o traffic.Options) []*traffic.Class {
	t.Helper()
	r, err := run(contenders()[0], o, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range falseAlerts(r) {
		t.Errorf("at %v: alert %s about %v, account %q [%s]: not true", time.Unix(0, d.At).UTC(), d.Alert, d.Prefix, d.Account, r.world.Who(d))
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
	case c.Role == traffic.Attacker && got.offered == 0:
		t.Error("no attempt was made")
	}
	for _, m := range missed(c) {
		t.Error(m)
	}
}
