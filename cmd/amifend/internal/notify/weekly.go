package notify

import (
	"context"
	"slices"
	"time"

	"github.com/amifend/amifend/cmd/amifend/internal/alerts"
	"github.com/amifend/amifend/cmd/amifend/internal/config"
	"github.com/amifend/amifend/cmd/amifend/internal/control"
)

// How a weekly report is made.
const (
	reportTime  = 3 * time.Minute // the PBXs are looked at for it, see package audit
	reportRetry = 5 * time.Minute // after one that could not be made
	// farthest is more than the next report can be away, unless the clock was set.
	farthest  = 8 * 24 * time.Hour
	mostSlots = 8
)

// weekly makes a report each week. A moment of [report] weekly is a slot.
type weekly struct {
	when  config.Weekly
	build func(ctx context.Context) (control.Report, error) // nil: there are no reports
	row   weeklyRow
	busy  bool
	retry time.Time // not before
	built chan built
}

// weeklyRow is what the journal keeps, so that a restart neither leaves out a report nor sends it
// twice.
type weeklyRow struct {
	When config.Weekly `json:"when"`
	Next time.Time     `json:"next"`
	Sent []int64       `json:"sent"` // the last slots that were reported, seconds since 1970
}

// built is the end of an attempt to make a report.
type built struct {
	report control.Report
	err    error
}

// SetReport sets what makes a weekly report. It may be called before [Notifier.Run] only.
func (n *Notifier) SetReport(build func(ctx context.Context) (control.Report, error)) {
	n.weekly.build = build
}

// SetWeekly changes when the weekly report is sent. It does not wait.
func (n *Notifier) SetWeekly(w config.Weekly) { n.nextWeekly.Set(w) }

// plan sets the next slot if there is none, or if it cannot be right: the config or the clock has
// changed. It reports whether that changed something.
func (w *weekly) plan(now time.Time) bool {
	r := &w.row
	if !w.when.On || w.build == nil {
		changed := !r.Next.IsZero()
		*r = weeklyRow{}
		return changed
	}
	if r.When == w.when && !r.Next.IsZero() && r.Next.Sub(now) <= farthest {
		return false
	}

	before := r.Next
	r.When, r.Next = w.when, w.after(now)
	return !before.Equal(r.Next)
}

// after returns the first slot after a time that was not reported. The clock may have been set back
// since it was.
func (w *weekly) after(now time.Time) time.Time {
	next := w.when.Next(now.Round(0))
	for slices.Contains(w.row.Sent, next.Unix()) {
		next = w.when.Next(next)
	}
	return next
}

// done notes that the last slot was reported. Those that were missed before are left out: the report
// is about the last seven days in any case.
func (w *weekly) done(now time.Time) {
	w.row.Sent = append(w.row.Sent, w.when.Last(now.Round(0)).Unix())
	w.row.Sent = w.row.Sent[max(0, len(w.row.Sent)-mostSlots):]
	w.row.Next = w.after(now)
}

// reportInTime begins to make the weekly report, if it is time.
func (n *Notifier) reportInTime(ctx context.Context, now time.Time) {
	w := &n.weekly
	n.changed = w.plan(now) || n.changed
	slot := w.row.Next
	if slot.IsZero() || w.busy || now.Before(slot) || now.Before(w.retry) {
		return
	}

	wanted := slices.ContainsFunc(n.targets, func(t *target) bool { return wantsReport(t) })
	if !wanted {
		w.done(now)
		n.changed = true
		return
	}

	w.busy = true
	go func() {
		ctx, cancel := context.WithTimeout(ctx, reportTime)
		defer cancel()
		var b built
		b.report, b.err = w.build(ctx)
		select {
		case w.built <- b:
		case <-n.ended:
		}
	}()
}

func wantsReport(t *target) bool {
	return t.Wants(config.KindReport) && severe(&Item{Severity: alerts.Notice.String()}, t.MinSeverity)
}

// reported hands a report to the targets. The journal gets it in one go with the note that it was
// made. Each target gets it as a message of its own, however many it had: it has a page.
func (n *Notifier) reported(b *built, now time.Time) {
	w := &n.weekly
	w.busy = false
	if b.err != nil {
		if w.retry.IsZero() {
			n.o.Log.Error("the weekly report could not be made: it is tried again", "err", b.err,
				"retry", reportRetry.String())
		}
		w.retry = now.Add(reportRetry)
		return
	}

	w.retry = time.Time{}
	w.done(now)
	n.changed = true
	for _, t := range n.targets {
		if wantsReport(t) {
			t.put([]Item{{
				Kind: config.KindReport, Phase: "event", Severity: alerts.Notice.String(),
				Since: b.report.From, Last: b.report.To, Count: 1, Report: &b.report,
			}}, 0, false, now, n.o.Observing)
		}
	}
}
