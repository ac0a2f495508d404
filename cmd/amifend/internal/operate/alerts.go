package operate

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"time"

	"github.com/amifend/amifend/cmd/amifend/internal/alerts"
	"github.com/amifend/amifend/cmd/amifend/internal/bans"
	"github.com/amifend/amifend/cmd/amifend/internal/control"
	"github.com/amifend/amifend/cmd/amifend/internal/journal"
)

// Alerts returns alerts of the past and those that are open, by the journal.
func (s *Service) Alerts(
	ctx context.Context, q control.AlertQuery,
) (out control.AlertList, err error) {
	since := time.Now().Add(-q.Since)
	err = s.readPast(ctx, netip.Addr{}, func(ctx context.Context, j *journal.Journal) (err error) {
		var found []journal.Alert
		if q.About.IsValid() {
			found, out.Total, err = j.AlertsOf(ctx, q.About, q.Kind, since, q.Limit)
		} else {
			found, out.Total, err = j.Alerts(ctx, q.Kind, since, q.Limit)
		}
		out.Alerts = s.pastAlerts(found)
		return err
	})

	out.Ignored = s.ignoredAlerts()
	return out, err
}

// pastAlerts returns alerts as the API has them. What the book knows of the open ones is newer than
// what the journal has.
func (s *Service) pastAlerts(found []journal.Alert) []control.Alert {
	open := make(map[string]alerts.Condition)
	for _, c := range s.Book.Open() {
		open[c.Key] = c
	}
	ignored := make(map[string]string)
	for _, i := range s.Book.Ignored() {
		ignored[i.Key] = i.Note
	}

	out := make([]control.Alert, 0, len(found))
	for _, a := range found {
		shown := control.Alert{
			At: a.At, Kind: a.Kind, Source: a.Source, Account: a.Account, Server: a.Server,
			Reason: a.Text, Do: a.Do, Severity: alerts.Severity(a.Severity).String(),
		}
		if a.Key != "" {
			shown.ID, shown.Open, shown.Ended = alerts.ID(a.Key), a.Open(), a.Ended
			shown.Last, shown.Count = a.Seen, a.Count
			shown.Ignored = ignored[a.Key]
		}
		if c, ok := open[a.Key]; ok && shown.Open {
			shown.Reason, shown.Last, shown.Count = c.Text, c.Last, c.Count
		}
		out = append(out, shown)
	}
	return out
}

// IgnoreAlert silences an open condition.
func (s *Service) IgnoreAlert(
	ctx context.Context, by control.Peer, q control.IgnoreAlert,
) (control.IgnoredAlert, error) {
	i, err := s.Book.Ignore(q.ID, by.String(), bans.Printable(q.Note))
	if errors.Is(err, alerts.ErrUnknown) {
		return control.IgnoredAlert{}, control.Errorf(control.CodeNoAlert,
			"no alert with the id %.20q is open", q.ID).
			Advise("amifend alerts shows the id of each that is")
	}
	if err != nil {
		return control.IgnoredAlert{}, control.Errorf(control.CodeFailed, "%s", err).
			Advise("amifend alerts --ignored lists them; amifend alerts ignore --remove ID takes " +
				"one out")
	}
	return s.saveIgnored(ctx, by, "ignore alert", &i, q.Note), nil
}

// HeedAlert undoes IgnoreAlert.
func (s *Service) HeedAlert(
	ctx context.Context, by control.Peer, id string,
) (control.IgnoredAlert, error) {
	i, err := s.Book.Heed(id)
	if err != nil {
		return control.IgnoredAlert{}, control.Errorf(control.CodeNoAlert,
			"no alert with the id %.20q is ignored", id).
			Advise("amifend alerts --ignored lists them")
	}
	return s.saveIgnored(ctx, by, "heed alert", &i, ""), nil
}

// saveIgnored waits until the journal has written what an operator changed.
func (s *Service) saveIgnored(
	ctx context.Context, by control.Peer, what string, i *alerts.Ignored, note string,
) control.IgnoredAlert {
	s.record(by, what, subjectOf(i), note)
	s.Book.Save()

	out := ignoredAlert(i)
	if !s.isWritten(ctx) {
		out.Warning = "it is not on the disk yet: amifend status says why"
	}
	return out
}

// subjectOf names a condition for the list of operations.
func subjectOf(i *alerts.Ignored) string {
	parts := []string{i.Kind}
	for _, part := range []string{i.Source, i.Account, i.Server} {
		if part != "" {
			parts = append(parts, part)
		}
	}
	return strings.Join(parts, " ")
}

func ignoredAlert(i *alerts.Ignored) control.IgnoredAlert {
	return control.IgnoredAlert{
		ID: i.ID(), Kind: i.Kind, Source: i.Source, Account: i.Account, Server: i.Server, At: i.At,
		By: i.By, Note: i.Note,
	}
}

func (s *Service) ignoredAlerts() []control.IgnoredAlert {
	ignored := s.Book.Ignored()
	out := make([]control.IgnoredAlert, len(ignored))
	for i := range ignored {
		out[i] = ignoredAlert(&ignored[i])
	}
	return out
}

// shownElsewhere reports whether the status shows conditions of a kind among its other warnings.
func shownElsewhere(kind string) bool {
	switch kind {
	case alerts.ServerDown, alerts.SourcesHidden, alerts.IneffectiveBan, alerts.JournalFailing,
		alerts.RestartNeeded:
		return true
	}
	return false
}

// alertWarnings shows the worst open condition of each kind, then the latest alert of the last day
// of the other kinds.
func alertWarnings(open []alerts.Condition, latest []alerts.Seen) (out []control.Warning) {
	warn := func(a *alerts.Alert, n int, many string) {
		what := a.Source + ": " + a.Text
		if a.Source == "" {
			what = a.Text
		}
		if n > 1 {
			what += fmt.Sprintf(many, n)
		}
		out = append(out, control.Warning{About: "alert " + a.Kind, What: what, Do: a.Do})
	}

	counts := make(map[string]int)
	for _, c := range open {
		counts[c.Kind]++
	}
	shown := make(map[string]bool)
	for _, c := range open {
		if !shown[c.Kind] && !shownElsewhere(c.Kind) {
			warn(&c.Alert, counts[c.Kind], " (%d such alerts are open: amifend alerts)")
		}
		shown[c.Kind] = true
	}

	for _, s := range latest {
		if !shown[s.Kind] && !shownElsewhere(s.Kind) {
			warn(&s.Alert, s.Count, " (%d such alerts in the last day: amifend alerts)")
		}
	}
	return out
}
