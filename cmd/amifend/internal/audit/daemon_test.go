package audit

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/amifend/amifend/ami"
	"github.com/amifend/amifend/cmd/amifend/internal/control"
)

// daemonOf answers as a daemon.
type daemonOf struct {
	status control.Status
	alerts []control.Alert
	logins control.LoginList
	err    error
}

func (d daemonOf) Status(context.Context) (control.Status, error) { return d.status, d.err }

func (d daemonOf) Alerts(context.Context, control.AlertQuery) (control.AlertList, error) {
	return control.AlertList{Alerts: d.alerts}, d.err
}

func (d daemonOf) Logins(context.Context, time.Duration) (control.LoginList, error) {
	return d.logins, d.err
}

// Each alert that is a weakness is one finding. One that is over counts only if it was an event.
func TestDaemonAlerts(t *testing.T) {
	all := alertKinds()
	for kind, want := range all {
		alert := control.Alert{Kind: kind, Account: `"1001"`, Server: "office", Open: true}
		over := alert
		over.Open, over.Ended = false, time.Now()
		ignored := alert
		ignored.Ignored = "known"
		for _, tt := range []struct {
			alert control.Alert
			found bool
		}{{alert, true}, {ignored, false}, {over, !onlyWhileOpen(want)}} {
			r, err := Run(t.Context(), Options{Daemon: daemonOf{
				alerts: []control.Alert{tt.alert, tt.alert},
			}})
			if err != nil || len(r.Findings) != map[bool]int{true: 1}[tt.found] ||
				tt.found && r.Findings[0].Kind != want {
				t.Errorf("%+v: %+v, %v", tt.alert, r.Findings, err)
			}
		}
	}
}

// What the logins of a server mean. Each server has its own findings.
func TestDaemonLogins(t *testing.T) {
	used := func(server, account string, change func(*control.AccountUsed)) control.AccountUsed {
		a := control.AccountUsed{Server: server, Account: ami.Quote([]byte(account)), Logins: 1, Networks: 1}
		change(&a)
		return a
	}
	udp := func(a *control.AccountUsed) { a.UDP = true }
	d := daemonOf{logins: control.LoginList{
		Accounts: []control.AccountUsed{
			used("office", "1001", udp),
			used("office", "1002", func(a *control.AccountUsed) { a.UDP, a.TLS = true, true }),
			used("office", "1003", func(a *control.AccountUsed) { a.TLS, a.Networks = true, 9 }),
			used("old", "2001", func(a *control.AccountUsed) { a.UDP, a.ChanSIP = true, true }),
			used("old", "2002", func(a *control.AccountUsed) { a.TCP = true }),
		},
		ChanSIP: []string{"old", "older"},
	}}
	r, err := Run(t.Context(), Options{Daemon: d})
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, f := range r.Findings {
		got = append(got, fmt.Sprint(f.Server, " ", f.Kind, " ", f.Places))
	}
	slices.Sort(got)
	want := []string{
		`office account_many_networks ["1003": at least 9 networks in 7 days]`,
		`office udp_only ["1001"]`, `old chan_sip_seen ["2001"]`, `old no_login_by_tls []`,
		`old udp_only ["2001"]`, `older chan_sip_seen []`,
	}
	if !slices.Equal(got, want) {
		t.Errorf("got  %q\nwant %q", got, want)
	}

	r, err = Run(t.Context(), Options{Daemon: d, Server: "older"})
	if err != nil || len(r.Findings) != 1 {
		t.Errorf("%+v, %v", r.Findings, err)
	}
}

// A PBX that the daemon does not hear is a finding.
func TestDaemonDeaf(t *testing.T) {
	r, err := Run(t.Context(), Options{Daemon: daemonOf{status: control.Status{
		Servers: []control.ServerStatus{{Name: "down", Address: "192.0.2.11:5038"}},
	}}})
	if err != nil || len(r.Findings) != 1 || r.Findings[0].Kind != "server_unheard" {
		t.Errorf("%+v, %v", r.Findings, err)
	}
}

// What the daemon has seen.
func TestDaemon(t *testing.T) {
	d := daemonOf{
		status: control.Status{Servers: []control.ServerStatus{
			{Name: "office", Address: "192.0.2.10:5038", Connected: true, ClockError: -61},
			{Name: "local", Address: "127.0.0.1:5038", Connected: true},
		}},
		alerts: []control.Alert{
			{Kind: "compromised_account", Account: `"1001"`, Source: "198.51.100.7", Server: "office"},
			{Kind: "compromised_account", Account: `"1001"`, Source: "198.51.100.7", Server: "office"},
			{Kind: "account_attacked", Account: `"1002"`, Open: true},
			{Kind: "account_attacked", Account: `"1003"`, Ended: time.Now()},
			{Kind: "misconfigured_endpoint", Source: "10.0.0.5", Ignored: "known"},
			{Kind: "server_down", Server: "down"},
		},
	}
	r, err := Run(t.Context(), Options{Daemon: d})
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"account_attacked", "account_compromised", "ami_without_tls", "clock_wrong"}
	if got := kindsOf(r.Findings); !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	if f := r.Findings[0]; f.Kind != "account_compromised" || len(f.Places) != 1 ||
		f.Places[0] != `"1001" from 198.51.100.7` || f.Server != "office" {
		t.Errorf("%+v", f)
	}
}
