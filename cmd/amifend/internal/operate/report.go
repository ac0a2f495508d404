package operate

import (
	"context"
	"errors"
	"net/netip"
	"time"

	"github.com/amifend/amifend/cmd/amifend/internal/bans"
	"github.com/amifend/amifend/cmd/amifend/internal/control"
	"github.com/amifend/amifend/cmd/amifend/internal/journal"
)

// pastTime limits how long a question about the past may take: the journal may be large, and its
// disk slow.
const pastTime = 5 * time.Second

// Report returns what happened, by the journal.
func (s *Service) Report(ctx context.Context, q control.ReportQuery) (r control.Report, err error) {
	err = s.readPast(ctx, netip.Addr{}, func(ctx context.Context, j *journal.Journal) error {
		s.writeTotals(ctx, j)

		r = control.Report{
			From: time.Now().Add(-q.Since).Truncate(time.Hour),
			To:   time.Now().Truncate(time.Second),
		}
		if err := s.fillReport(ctx, &r, j, q.Limit); err != nil || !q.Trend {
			return err
		}
		trend, err := s.trend(ctx, j, r.From, r.To)
		r.Trend = trend
		return err
	})
	if err != nil {
		return control.Report{}, err
	}

	s.nameSums(ctx, r.Sources)
	return r, s.markBanned(ctx, r.Sources)
}

func (s *Service) fillReport(
	ctx context.Context, r *control.Report, j *journal.Journal, most int,
) error {
	counts, err := j.Counts(ctx, r.From)
	if err != nil {
		return err
	}

	r.Bans = control.BanCounts{
		ByRule: counts.Bans, Lifted: counts.Lifted, Observed: counts.Observed,
	}
	for _, n := range counts.Bans {
		r.Bans.Made += n
	}
	r.AlertCounts = counts.Alerts

	// The counts are of the whole time; of the lists only the latest entries are shown.
	latest, err := j.Bans(ctx, r.From, most)
	if err != nil {
		return err
	}
	r.Latest = pastBans(latest)

	alerts, _, err := j.Alerts(ctx, "", r.From, most)
	if err != nil {
		return err
	}
	r.Alerts = s.pastAlerts(alerts)

	operations, err := j.Operations(ctx, r.From, most)
	if err != nil {
		return err
	}
	r.Operations = pastOperations(operations)

	// The three sums differ only in what they are counted by.
	for by, to := range map[journal.By]*[]control.Sum{
		journal.ByServer: &r.Servers, journal.BySource: &r.Sources, journal.ByAccount: &r.Accounts,
	} {
		totals, err := j.Totals(ctx, by, r.From, most)
		if err != nil {
			return err
		}
		*to = pastSums(totals)
	}

	return nil
}

// readPast asks the journal for the past: one at a time, since each question may read much, and
// with what happened just now on the disk, if that is quick. Of a valid address that is only what
// happened to it.
func (s *Service) readPast(
	ctx context.Context, addr netip.Addr, read func(context.Context, *journal.Journal) error,
) error {
	if s.Journal == nil {
		return control.Errorf(control.CodeFailed,
			"this daemon keeps no journal, so it knows nothing of the past").
			Advise("set [state] directory and restart amifend")
	}

	// The token goes back when the answer is complete. A request that ends first does not take it.
	select {
	case s.past <- struct{}{}:
		defer func() { <-s.past }()
	case <-ctx.Done():
		return control.Errorf(control.CodeBusy, "the journal does not answer").
			Advise("try again; amifend status says what is wrong")
	}

	// What happened just now belongs to the past, too: it is written before it is read.
	ctx, cancel := context.WithTimeout(ctx, pastTime)
	defer cancel()
	s.publish(ctx, addr)

	err := read(ctx, s.Journal)
	if errors.Is(err, context.DeadlineExceeded) {
		return control.Errorf(control.CodeBusy, "the journal did not answer in %s", pastTime).
			Advise("ask for less, such as --since 1h, or try again")
	}
	if err != nil {
		return control.Errorf(control.CodeFailed, "the journal cannot be read: %s",
			bans.Printable(err.Error())).
			Advise("amifend status says what is wrong with it")
	}

	return nil
}

// publish has the journal write what it was handed just now, if that is quick. The status shows why
// it cannot.
func (s *Service) publish(ctx context.Context, addr netip.Addr) {
	ctx, cancel := context.WithTimeout(ctx, diskTime)
	defer cancel()

	if addr.IsValid() {
		_ = s.Journal.PublishOf(ctx, addr) // the status shows it
		return
	}
	_ = s.Journal.Publish(ctx) // so does it here
}

// writeTotals has what was counted until now written, if that is quick. Without it a report lacks
// the last minutes.
func (s *Service) writeTotals(ctx context.Context, j *journal.Journal) {
	ctx, cancel := context.WithTimeout(ctx, diskTime)
	defer cancel()

	if s.Judge.HandOverCounts(ctx) == nil {
		_ = j.WriteTotals(ctx) // the status shows what is wrong with the journal
	}
}

// markBanned notes which of the sources are banned now.
func (s *Service) markBanned(ctx context.Context, sources []control.Sum) error {
	addrs := make([]netip.Addr, len(sources))
	for i := range sources {
		addrs[i], _ = netip.ParseAddr(sources[i].Name) // else the zero Addr: all others
	}

	banned, err := s.Enforcer.AreBanned(ctx, addrs)
	if err != nil {
		return Refusal(err)
	}

	for i := range sources {
		sources[i].Banned = banned[i]
	}
	return nil
}

func pastBans(found []journal.Past) []control.PastBan {
	out := make([]control.PastBan, 0, len(found))
	for _, p := range found {
		out = append(out, control.PastBan{
			Prefix: p.Prefix, Scope: p.Scope, Rule: p.Rule, Score: bans.Round(p.Score),
			Attempts: p.Attempts, Strike: p.Strike, Evidence: p.Evidence, From: p.From,
			Until: p.Until, Lifted: p.Lifted, By: p.By, Why: p.Why, Observed: p.Observed,
		})
	}

	return out
}

func pastOperations(operations []journal.Operation) []control.Operation {
	out := make([]control.Operation, 0, len(operations))
	for _, o := range operations {
		out = append(out, control.Operation{
			At: o.At, UID: o.UID, Says: o.Says, What: o.What, Object: o.Object,
			Reason: o.Reason,
		})
	}
	return out
}

func pastSums(totals []journal.Sum) []control.Sum {
	out := make([]control.Sum, 0, len(totals))
	for _, t := range totals {
		out = append(out, control.Sum{
			Name: t.Name, Server: t.Server, Servers: t.Servers, Failures: t.Failures,
			Logins: t.Logins, First: t.First, Last: t.Last,
		})
	}
	return out
}
