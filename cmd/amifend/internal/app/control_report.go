package app

import (
	"context"
	"errors"
	"net/netip"
	"time"

	"github.com/amifend/amifend/cmd/amifend/internal/control"
	"github.com/amifend/amifend/cmd/amifend/internal/journal"
	"github.com/amifend/amifend/firewall"
)

// Report tells what happened, by the journal.
func (k *desk) Report(ctx context.Context, q control.ReportQuery) (r control.Report, err error) {
	err = k.remember(ctx, func(ctx context.Context, j *journal.Journal) error {
		k.writeTotals(ctx, j)
		r = control.Report{From: time.Now().Add(-q.Since).Truncate(time.Hour), To: time.Now().Truncate(time.Second)}
		return fillReport(ctx, &r, j, q.Limit)
	})
	if err != nil {
		return control.Report{}, err
	}
	return r, k.markBanned(ctx, r.Sources)
}

func fillReport(ctx context.Context, r *control.Report, j *journal.Journal, most int) error {
	counts, err := j.Counts(ctx, r.From)
	if err != nil {
		return err
	}
	r.Bans = control.BanCounts{ByRule: counts.Bans, Lifted: counts.Lifted, Observed: counts.Observed}
	for _, n := range counts.Bans {
		r.Bans.Made += n
	}
	r.AlertCounts = counts.Alerts
	bans, err := j.Bans(ctx, r.From, most)
	if err != nil {
		return err
	}
	r.Latest = pastBans(bans)
	alerts, err := j.Alerts(ctx, "", r.From, most)
	if err != nil {
		return err
	}
	r.Alerts = toldAlerts(alerts)
	operations, err := j.Operations(ctx, r.From, most)
	if err != nil {
		return err
	}
	r.Operations = make([]control.Operation, 0, len(operations))
	for _, o := range operations {
		r.Operations = append(r.Operations, control.Operation{At: o.At, UID: o.UID, Says: o.Says, What: o.What, Object: o.Object, Reason: o.Reason})
	}
	for by, to := range map[journal.By]*[]control.Sum{journal.ByServer: &r.Servers, journal.BySource: &r.Sources, journal.ByAccount: &r.Accounts} {
		totals, err := j.Totals(ctx, by, r.From, most)
		if err != nil {
			return err
		}
		*to = make([]control.Sum, 0, len(totals))
		for _, t := range totals {
			*to = append(*to, control.Sum{
				Name: t.Name, Server: t.Server, Servers: t.Servers, Failures: t.Failures, Logins: t.Logins, First: t.First, Last: t.Last,
			})
		}
	}
	return nil
}

// Alerts tells of alerts, by the journal.
func (k *desk) Alerts(ctx context.Context, q control.AlertQuery) (out []control.Alert, err error) {
	since := time.Now().Add(-q.Since)
	err = k.remember(ctx, func(ctx context.Context, j *journal.Journal) error {
		read := func() ([]journal.Alert, error) { return j.Alerts(ctx, q.Kind, since, q.Limit) }
		if q.About.IsValid() {
			read = func() ([]journal.Alert, error) { return j.AlertsOf(ctx, q.About, q.Kind, since, q.Limit) }
		}
		found, err := read()
		out = toldAlerts(found)
		return err
	})
	return out, err
}

// remember asks the journal for the past: one at a time, since each question may read much, and with what was told just now on the
// disk, if that is quick.
func (k *desk) remember(ctx context.Context, read func(context.Context, *journal.Journal) error) error {
	if k.records.journal == nil {
		return control.Errorf(control.CodeFailed, "this daemon keeps no journal, so it knows nothing of the past").
			Advise("set [state] directory and restart amifend")
	}
	select {
	case k.remembering <- struct{}{}:
		defer func() { <-k.remembering }()
	case <-ctx.Done():
		return busy("the journal")
	}
	ctx, cancel := context.WithTimeout(ctx, pastTime)
	defer cancel()
	k.publish(ctx)
	err := read(ctx, k.records.journal)
	if errors.Is(err, context.DeadlineExceeded) {
		return control.Errorf(control.CodeBusy, "the journal did not answer in %s", pastTime).Advise("ask for less, such as --since 1h, or try again")
	}
	if err != nil {
		return control.Errorf(control.CodeFailed, "the journal cannot be read: %s", printable(err.Error())).Advise("amifend status says what is wrong with it")
	}
	return nil
}

// writeTotals has what was counted until now written, if that is quick: nothing is where nothing came. Without
// it a report lacks the last minutes.
func (k *desk) writeTotals(ctx context.Context, j *journal.Journal) {
	ctx, cancel := context.WithTimeout(ctx, diskTime)
	defer cancel()
	_, err := ask(ctx, k.judge.asks, askJudge, func() struct{} { k.judge.tally.handOn(k.clock.now()); return struct{}{} })
	if err == nil {
		_ = j.WriteTotals(ctx) // the status says what is wrong with the journal
	}
}

// markBanned says which of the sources are banned now.
func (k *desk) markBanned(ctx context.Context, sources []control.Sum) error {
	_, err := ask(ctx, k.enforcer.asks, askEnforcer, func() struct{} {
		for i := range sources {
			addr, err := netip.ParseAddr(sources[i].Name)
			sources[i].Banned = err == nil && k.enforcer.ledger.covers(addr)
		}
		return struct{}{}
	})
	return err
}

// covers tells whether an address is banned.
func (l *ledger) covers(addr netip.Addr) bool {
	for _, bits := range firewall.SupportedBits(addr.Is6()) {
		prefix := netip.PrefixFrom(addr, bits).Masked()
		for _, scope := range [...]firewall.Scope{firewall.ScopeAll, firewall.ScopeSIP} {
			if l.bans[key{prefix, scope}] != nil {
				return true
			}
		}
	}
	return false
}

func toldAlerts(alerts []journal.Alert) []control.Alert {
	out := make([]control.Alert, 0, len(alerts))
	for _, a := range alerts {
		out = append(out, control.Alert{At: a.At, Kind: a.Kind, Source: a.Source, Account: a.Account, Server: a.Server, Reason: a.Text, Do: a.Do})
	}
	return out
}

func pastBans(bans []journal.Past) []control.PastBan {
	out := make([]control.PastBan, 0, len(bans))
	for _, p := range bans {
		out = append(out, control.PastBan{
			Prefix: p.Prefix, Scope: p.Scope, Rule: p.Rule, Score: round(p.Score), Attempts: p.Attempts, Strike: p.Strike, Evidence: p.Evidence,
			From: p.From, Until: p.Until, Lifted: p.Lifted, By: p.By, Why: p.Why, Observed: p.Observed,
		})
	}
	return out
}

// publish has the journal write what it was told just now, if that is quick. The status says why it cannot.
func (k *desk) publish(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, diskTime)
	defer cancel()
	_ = k.records.journal.Publish(ctx) // as said
}
