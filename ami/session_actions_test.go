package ami_test

import (
	"slices"
	"testing"

	"github.com/amifend/amifend/ami"
	"github.com/amifend/amifend/ami/amitest"
)

func TestActions(t *testing.T) {
	pbx := amitest.Run(t, amitest.Config{
		Username: "amifend", Secret: "right",
		Behaviour: amitest.Behaviour{Commands: []string{
			"Ping: Keepalive command.  (Priv: <none>)",
			"Getvar: Gets a channel variable (or function).  (Priv: call,reporting,all)",
			"a line of another form",
		}},
	})
	config := ami.Config{Address: pbx.Addr(), Username: "amifend", Secret: ami.NewSecret("right")}
	report, actions, err := ami.Actions(t.Context(), config, nil)
	if err != nil {
		t.Fatal(err)
	}

	want := []ami.Action{{Name: "Ping"}, {Name: "Getvar", Privilege: "call,reporting,all"}}
	if !slices.Equal(actions, want) || report.Version != "11.0.0" || !report.Own.IsValid() {
		t.Errorf("%+v, %+v", report, actions)
	}
}

func TestActionsOfAWrongLogin(t *testing.T) {
	pbx := amitest.Run(t, amitest.Config{Username: "amifend", Secret: "right"})
	config := ami.Config{Address: pbx.Addr(), Username: "amifend", Secret: ami.NewSecret("wrong")}
	if _, _, err := ami.Actions(t.Context(), config, nil); ami.ProblemOf(err) != ami.ProblemAuthFailed {
		t.Errorf("%v", err)
	}
}
