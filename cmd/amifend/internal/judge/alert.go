package judge

import (
	"slices"

	"github.com/amifend/amifend/ami"
	"github.com/amifend/amifend/cmd/amifend/internal/bans"
	"github.com/amifend/amifend/cmd/amifend/internal/journal"
	"github.com/amifend/amifend/cmd/amifend/internal/wording"
	"github.com/amifend/amifend/policy"
)

// alertsMost limits how many alerts are remembered for the status.
const alertsMost = 100

// Alert is an alert that was logged.
type Alert struct {
	At int64 // by the daemon's clock
	journal.Alert
}

// alert logs something suspicious that does not lead to a ban. The attributes of the line are an
// API.
func (j *Judge) alert(v policy.Verdict) {
	a := journal.Alert{
		Kind: v.Rule.String(), Source: bans.Source(v.Prefix),
		Text: wording.Reason(v, j.policy.Threshold, j.servers), Do: wording.Advice(v),
	}

	// The attacker chose the account's name: it is quoted for the journal, and slog quotes it in
	// the log.
	attrs := []any{"kind", a.Kind, "source", a.Source}
	if v.Account != (policy.Label{}) {
		a.Account = ami.Quote(v.Account.Bytes())
		attrs = append(attrs, "account", wording.Name(v.Account))
	}

	// Account names are of one server, so both are logged together.
	aboutServer := v.Account != (policy.Label{}) || v.Rule == policy.RuleServerAttacked
	if aboutServer && int(v.Server) < len(j.servers) {
		a.Server = j.servers[v.Server]
		attrs = append(attrs, "server", a.Server)
	}
	if v.Rule == policy.RuleBansFull {
		stats := j.engine.Stats()
		attrs = append(attrs, "bans", stats.Bans, "refused", stats.BansRefused)
	}

	attrs = append(attrs, "reason", a.Text, "do", a.Do)
	j.log.Error("alert", attrs...)
	j.recorder.Alert(a)
	j.keepAlert(a)
}

// keepAlert remembers an alert for the status.
func (j *Judge) keepAlert(a journal.Alert) {
	if len(j.alerts) == alertsMost {
		j.alerts = slices.Delete(j.alerts, 0, 1)
	}
	j.alerts = append(j.alerts, Alert{j.clock.Now(), a})
}
