package notify

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/amifend/amifend/cmd/amifend/internal/config"
	"github.com/amifend/amifend/cmd/amifend/internal/control"
)

// reporting is a notifier whose clock the test sets.
type reporting struct {
	*Notifier
	now  time.Time
	fail error
	made int
}

func newReporting(row string) *reporting {
	r := &reporting{now: noon}
	r.Notifier = New(Options{
		Log:    slog.New(slog.DiscardHandler),
		Weekly: config.Weekly{On: true, Day: time.Monday, At: 8 * 60},
	})
	r.SetReport(func(context.Context) (control.Report, error) {
		r.made++
		return control.Report{From: r.now.AddDate(0, 0, -7), To: r.now}, r.fail
	})
	to := newTarget(func(c *config.Target) { c.PerHour = 1 })
	to.made = []time.Time{noon} // the limit does not hold up a report
	r.targets = []*target{to, newTarget(func(c *config.Target) { c.MinSeverity = "critical" })}
	if row != "" {
		_ = json.Unmarshal([]byte(row), &r.weekly.row)
	}
	return r
}

// at sets the clock and lets the notifier work. It returns the number of messages that were made.
func (r *reporting) at(now time.Time) int {
	r.now = now
	before := len(r.targets[0].messages)
	r.reportInTime(context.Background(), now)
	if r.weekly.busy {
		b := <-r.weekly.built
		r.reported(&b, now)
	}
	return len(r.targets[0].messages) - before
}

// slot is the first Monday at eight after noon, a Saturday.
var slot = time.Date(2026, 11, 30, 8, 0, 0, 0, time.Local)

// A report is made at its time, once, for the targets that want it.
func TestWeeklyReport(t *testing.T) {
	r := newReporting("")
	week := 7 * 24 * time.Hour
	for _, step := range []struct {
		at   time.Time
		want int
	}{
		{noon, 0}, // a new daemon has nothing to make up for
		{slot.Add(-time.Second), 0},
		{slot.Add(time.Second), 1},
		{slot.Add(time.Minute), 0},
		{slot.Add(week - time.Second), 0},
		{slot.Add(week), 1},
		{slot.Add(4*week + time.Hour), 1}, // it was off: one for all that it missed
		{slot.Add(4*week + 2*time.Hour), 0},
		{slot.Add(5 * week), 1},
	} {
		if got := r.at(step.at); got != step.want {
			t.Errorf("at %s: %d reports, want %d", step.at, got, step.want)
		}
	}
	if n := len(r.targets[1].messages); n != 0 {
		t.Errorf("%d reports to a target of critical messages", n)
	}
}

// A clock that is set sends no report twice, and does not keep the next one away for long.
func TestWeeklyReportAndTheClock(t *testing.T) {
	r := newReporting("")
	r.at(noon)
	if r.at(slot) != 1 {
		t.Fatal("no report")
	}
	for _, back := range []time.Duration{time.Second, time.Hour, 3 * 24 * time.Hour} {
		if r.at(slot.Add(-back)) != 0 || r.at(slot) != 0 || r.at(slot.Add(time.Second)) != 0 {
			t.Errorf("a clock that was set back by %s made it report twice", back)
		}
	}

	// A year ahead and back again.
	if r.at(slot.AddDate(1, 0, 0)) != 1 {
		t.Error("no report a year later")
	}
	if r.at(slot.Add(time.Hour)) != 0 || r.at(slot.AddDate(0, 0, 7)) != 1 {
		t.Error("after the clock was right again")
	}
}

// What the journal has is what decides after a restart.
func TestWeeklyReportAfterARestart(t *testing.T) {
	r := newReporting("")
	r.at(noon)
	row := r.state()[keyWeekly]
	if row == "" {
		t.Fatal("nothing for the journal")
	}

	// It was off at the time of the report.
	r = newReporting(row)
	if r.at(slot.Add(50*time.Hour)) != 1 {
		t.Fatal("no report after it was off")
	}
	sent := r.state()[keyWeekly]
	if r = newReporting(sent); r.at(slot.Add(51*time.Hour)) != 0 {
		t.Error("a second report after another restart")
	}

	// Another day in the config is no reason for a report now.
	r = newReporting(row)
	r.weekly.when.Day = time.Wednesday
	if r.at(slot.Add(24*time.Hour)) != 0 || r.at(slot.AddDate(0, 0, 2)) != 1 {
		t.Error("after the day was changed")
	}
	r.weekly.when = config.Weekly{}
	if r.at(slot.AddDate(0, 1, 0)) != 0 || r.state()[keyWeekly] != "" {
		t.Error("after it was switched off")
	}
}

// A journal that does not answer delays a report, and no more.
func TestWeeklyReportIsTriedAgain(t *testing.T) {
	r := newReporting("")
	r.at(noon)
	r.fail = errors.New("busy")
	if r.at(slot) != 0 || r.at(slot.Add(time.Minute)) != 0 || r.made != 1 {
		t.Errorf("made %d times", r.made)
	}
	r.fail = nil
	if r.at(slot.Add(reportRetry)) != 1 {
		t.Error("it was not tried again")
	}
}

// A report is text everywhere, and a page in a mail. Its subject has no name of an attacker.
func TestFormOfAReport(t *testing.T) {
	r := newReporting("")
	m := &Message{ID: "x", At: noon, Items: []Item{{
		Kind: config.KindReport, Report: &control.Report{
			Accounts: []control.Sum{{Name: `"<script>@everyone"`, Server: "office", Failures: 7}},
			Trend:    &control.Trend{Now: control.Numbers{Failures: 7, Sources: 1}},
		},
	}}}
	out := r.form(m)
	if !strings.HasSuffix(out.Subject, "weekly report: no bans, 7 failed events from 1 source") {
		t.Errorf("subject: %s", out.Subject)
	}
	if !strings.Contains(out.Text, `"<script>@everyone": 7 failed`) ||
		strings.Contains(string(out.HTML), "<script") || !strings.Contains(string(out.HTML), "</html>") {
		t.Errorf("text:\n%s\npage:\n%s", out.Text, out.HTML)
	}
	var body struct {
		Items []struct{ Report control.Report }
	}
	if err := json.Unmarshal(out.Body, &body); err != nil || body.Items[0].Report.Accounts[0].Failures != 7 {
		t.Errorf("%v, %s", err, out.Body)
	}

	m.Items = append(m.Items, itemOfKind("attack", ""))
	if out = r.form(m); out.HTML != nil {
		t.Error("a page hides the other item")
	}
}
