package audit

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/amifend/amifend/cmd/amifend/internal/audit/finding"
	"github.com/amifend/amifend/cmd/amifend/internal/control"
	"github.com/amifend/amifend/cmd/amifend/internal/wording"
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

	// A daemon without a journal, or an older one, knows nothing of logins.
	logins, err := l.o.Daemon.Logins(ctx, past)
	if err != nil {
		s.miss("how accounts log in: %s", err)
	}

	s.note("the daemon's servers, its alerts of the last 7 days, and the logins of %s",
		wording.Count(len(logins.Accounts), "account"))
	l.servedBy(status)
	l.alerts(list.Alerts)
	l.logins(logins)
	return s
}

// manyNetworks is the number of networks in seven days from which on an account is reported. One
// phone that is carried about has some: home, office, and several of its carrier.
const manyNetworks = 8

// logins judges how the accounts of each server logged in.
func (l *look) logins(list control.LoginList) {
	byServer := map[string][]control.AccountUsed{}
	for _, a := range list.Accounts {
		byServer[a.Server] = append(byServer[a.Server], a)
	}

	for _, server := range slices.Sorted(maps.Keys(byServer)) {
		if l.o.Server == "" || server == l.o.Server {
			l.loginsAt(server, byServer[server])
		}
	}
	l.chanSIP(list)
}

// loginsAt judges how the accounts of one server logged in.
func (l *look) loginsAt(server string, accounts []control.AccountUsed) {
	var udp, networks []string
	encrypted := false
	for _, a := range accounts {
		if a.UDP && !a.TCP && !a.TLS {
			udp = append(udp, a.Account)
		}
		if a.Networks >= manyNetworks {
			networks = append(networks, fmt.Sprintf("%s: at least %d networks in 7 days",
				a.Account, a.Networks))
		}
		encrypted = encrypted || a.TLS
	}

	of := func(n int) string {
		return fmt.Sprintf("%d of %s in 7 days", n, wording.Count(len(accounts), "account"))
	}
	found := some(nil, "udp_only", of(len(udp)), udp)
	found = some(found, "account_many_networks", of(len(networks)), networks)
	if !encrypted {
		found = append(found, finding.New("no_login_by_tls", of(len(accounts))))
	}
	for _, f := range found {
		l.add(f.Of(server))
	}
}

// chanSIP adds the servers whose chan_sip was heard, each with its accounts.
func (l *look) chanSIP(list control.LoginList) {
	for _, server := range list.ChanSIP {
		if l.o.Server != "" && server != l.o.Server {
			continue
		}

		var accounts []string
		for _, a := range list.Accounts {
			if a.ChanSIP && a.Server == server {
				accounts = append(accounts, a.Account)
			}
		}

		seen := "its phones log in by chan_sip"
		if len(accounts) == 0 {
			seen = "chan_sip answers, and no phone logged in by it in 7 days"
		}
		l.add(finding.New("chan_sip_seen", seen, accounts...).Of(server))
	}
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
		if !server.Connected {
			l.add(finding.New("server_unheard", "", server.Address).Of(server.Name))
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
		"spoof_suspected":        "account_forges",
		"misconfigured_endpoint": "phone_old_password",
		"sources_hidden":         "events_hidden",
		"unseen_requests":        "requests_unseen",
		"ineffective_ban":        "ban_ineffective",
		"unexpected_country":     "account_abroad",
	}
}

// alerts turns alerts into findings: one for each kind and server.
func (l *look) alerts(all []control.Alert) {
	type key struct{ kind, server string }
	var order []key
	places := map[key][]string{}
	for _, a := range all {
		kind, ok := alertKinds()[a.Kind]
		over := !a.Ended.IsZero() && onlyWhileOpen(kind)
		if !ok || over || a.Ignored != "" || l.o.Server != "" && a.Server != l.o.Server {
			continue
		}

		// The account is quoted already, as an attacker may have chosen it.
		k := key{kind, a.Server}
		place := strings.Join(nonempty(a.Account, a.Source), " from ")
		if place == "" || kind == "account_abroad" {
			place = strings.Join(nonempty(place, a.Reason), ": ")
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

// onlyWhileOpen reports whether an alert that is over is no finding any more.
func onlyWhileOpen(kind string) bool {
	return slices.Contains([]string{
		"account_attacked", "events_hidden", "requests_unseen", "ban_ineffective",
	}, kind)
}

// nonempty returns the texts that are not empty.
func nonempty(texts ...string) []string {
	return slices.DeleteFunc(texts, func(s string) bool { return s == "" })
}
