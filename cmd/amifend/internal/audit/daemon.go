package audit

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/amifend/amifend/cmd/amifend/internal/audit/finding"
	"github.com/amifend/amifend/cmd/amifend/internal/control"
)

// past is how far back events count. Conditions that go on count whenever they began.
const past = 7 * 24 * time.Hour

// clockOff is the error of a clock from which on it is reported.
const clockOff = 5 * time.Second

// daemon looks at what the daemon has seen. Nobody needs the daemon for the other ways, so its
// absence is no failure.
func (l *look) daemon(ctx context.Context) Section {
	s := Section{Depth: finding.Seen}
	switch {
	case l.o.Offline:
		s.miss("what the daemon has seen: --offline forbids connections")
		return s
	case l.o.Daemon == nil:
		s.miss("what the daemon has seen: no daemon was asked")
		return s
	}

	status, err := l.o.Daemon.Status(ctx)
	if err != nil {
		s.miss("what the daemon has seen: %s", err)
		return s
	}
	list, err := l.o.Daemon.Alerts(ctx, control.AlertQuery{Since: past})
	if err != nil {
		s.miss("the alerts of the daemon: %s", err)
	}

	s.note("the daemon's servers, and its alerts of the last 7 days")
	s.miss("transports of logins: the daemon records none")
	l.servedBy(status)
	l.alerts(list.Alerts)
	return s
}

// servedBy judges the state of the servers.
func (l *look) servedBy(status control.Status) {
	for _, server := range status.Servers {
		if l.o.Server != "" && server.Name != l.o.Server {
			continue
		}

		local := strings.HasPrefix(server.Address, "127.") ||
			strings.HasPrefix(server.Address, "[::1]") ||
			strings.HasPrefix(server.Address, "localhost:")
		if server.Connected && server.TLS == "" && !local && !l.plainAMI[server.Name] {
			l.add(finding.New("ami_without_tls", "", server.Address).Of(server.Name))
		}
		off := time.Duration(server.ClockError * float64(time.Second))
		if off.Abs() >= clockOff {
			l.add(finding.New("clock_wrong", fmt.Sprintf("the PBX's clock differs by %s",
				off.Abs().Round(time.Second))).Of(server.Name))
		}
	}
}

// alertKinds are the alerts that are weaknesses of a PBX, with their kinds of findings.
func alertKinds() map[string]string {
	return map[string]string{
		"compromised_account":    "account_compromised",
		"suspect_login":          "login_suspect",
		"account_attacked":       "account_attacked",
		"spoof_suspected":        "account_many_networks",
		"misconfigured_endpoint": "phone_old_password",
		"sources_hidden":         "events_hidden",
	}
}

// alerts turns alerts into findings: one for each kind and server.
func (l *look) alerts(all []control.Alert) {
	type key struct{ kind, server string }
	var order []key
	places := map[key][]string{}
	for _, a := range all {
		kind, ok := alertKinds()[a.Kind]
		over := !a.Ended.IsZero() && kind == "account_attacked"
		if !ok || over || a.Ignored != "" || l.o.Server != "" && a.Server != l.o.Server {
			continue
		}

		// The account is quoted already, as an attacker may have chosen it.
		k := key{kind, a.Server}
		place := strings.Join(nonempty(a.Account, a.Source), " from ")
		if place == "" {
			place = a.Reason
		}
		if places[k] == nil {
			order = append(order, k)
		}
		if !slices.Contains(places[k], place) {
			places[k] = append(places[k], place)
		}
	}

	for _, k := range order {
		l.add(finding.New(k.kind, "", places[k]...).Of(k.server))
	}
}

// nonempty returns the texts that are not empty.
func nonempty(texts ...string) []string {
	return slices.DeleteFunc(texts, func(s string) bool { return s == "" })
}
