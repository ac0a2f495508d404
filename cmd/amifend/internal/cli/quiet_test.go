package cli

import (
	"testing"

	"github.com/amifend/amifend/cmd/amifend/internal/control"
)

// A daemon that does not stop attackers is critical, whatever else is wrong.
func TestNagios(t *testing.T) {
	connected := control.ServerStatus{Name: "office", Connected: true}
	down := control.ServerStatus{Name: "branch"}
	warning := []control.Warning{{About: "server branch", What: "no events: refused"}}
	const warned = "; server branch: no events: refused"

	for name, tc := range map[string]struct {
		s    control.Status
		want nagiosState
		line string
	}{
		"all is well": {
			control.Status{Servers: []control.ServerStatus{connected}},
			nagiosOK,
			"1 of 1 server up, no bans",
		},
		"one of two servers is down": {
			control.Status{Servers: []control.ServerStatus{connected, down}, Health: warning},
			nagiosWarning, "1 of 2 servers up, no bans" + warned,
		},
		"all servers are down": {
			control.Status{Servers: []control.ServerStatus{down}, Health: warning},
			nagiosCritical, "0 of 1 server up, no bans" + warned,
		},
		"the firewall fails": {
			control.Status{
				Servers:  []control.ServerStatus{connected},
				Firewall: control.Firewall{State: "failing", Bans: 3}, Health: warning,
			},
			nagiosCritical, "1 of 1 server up, 3 bans" + warned,
		},
		"it observes": {
			control.Status{
				Observe: true, Servers: []control.ServerStatus{connected},
				Firewall: control.Firewall{Bans: 3},
			},
			nagiosOK, "1 of 1 server up, 3 would-be bans",
		},
	} {
		if got, line := nagios(tc.s); got != tc.want || line != tc.line {
			t.Errorf("%s: %s: %s", name, got, line)
		}
	}
}
