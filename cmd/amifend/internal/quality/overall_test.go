package main

import (
	"strings"
	"testing"

	"github.com/amifend/amifend/cmd/amifend/internal/quality/traffic"
)

// Every misconfigured endpoint is to be told, and hardly anybody else's phone.
func TestGoalsOfMisconfiguredEndpoints(t *testing.T) {
	told := map[string]int{"misconfigured_endpoint": 1}
	for name, test := range map[string]struct {
		parties []*traffic.Party
		want    string // a part of what is told; "" for nothing
	}{
		"told":       {[]*traffic.Party{{Misconfigured: true, Alerts: told}, {}}, ""},
		"not told":   {[]*traffic.Party{{Misconfigured: true}, {}}, "1 of 1 misconfigured parties"},
		"a good one": {[]*traffic.Party{{Alerts: told}, {}}, "alerts misconfigured_endpoint about"},
	} {
		w := traffic.New(traffic.Options{Size: traffic.Short, Only: func(string) bool { return false }})
		w.Classes = append(w.Classes, &traffic.Class{Role: traffic.Good, Parties: test.parties})
		got := strings.Join(missedOverall(result{world: w}), "; ")
		if (got == "") != (test.want == "") || !strings.Contains(got, test.want) {
			t.Errorf("%s: got %q, want %q", name, got, test.want)
		}
	}
}
