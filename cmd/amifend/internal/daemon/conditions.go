package daemon

import (
	"context"
	"slices"
	"time"

	"github.com/amifend/amifend/ami"
	"github.com/amifend/amifend/cmd/amifend/internal/alerts"
	"github.com/amifend/amifend/cmd/amifend/internal/operate"
)

const (
	// conditionsEvery is the time between two looks at servers and journal, which report nothing of
	// themselves.
	conditionsEvery = 10 * time.Second

	// downFor is how long a server must be down before that is a condition: a restart of Asterisk
	// takes less.
	downFor = time.Minute

	// loadAlerts limits how long the start waits for the journal's open alerts.
	loadAlerts = 5 * time.Second
)

// loadConditions takes in the conditions that were open when amifend stopped. A start ends
// [alerts.RestartNeeded].
func (d *daemon) loadConditions(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, loadAlerts)
	defer cancel()

	if err := d.alerts.Load(ctx); err != nil {
		d.options.Log.Error("the open alerts of the run before are not known", "err", err)
	}
	d.alerts.Resolve(alerts.Key(alerts.RestartNeeded), alerts.Span{})
}

// watchConditions opens and ends the conditions of servers and of the journal, until ctx ends.
func (d *daemon) watchConditions(ctx context.Context) {
	tick := time.NewTicker(conditionsEvery)
	defer tick.Stop()

	for {
		select {
		case <-ctx.Done():
			d.alerts.Save()
			return
		case now := <-tick.C:
			d.lookAtServers(now)
			d.lookAtJournal()
			d.alerts.Expire(now)
			d.alerts.Save()
		}
	}
}

// lookAtServers opens a condition for each server that has been down for long, and ends those of
// servers that are back, or not in the config any more.
func (d *daemon) lookAtServers(now time.Time) {
	var down []string
	for _, s := range d.fleet.Sessions() {
		st := s.Status()
		key := alerts.Key(alerts.ServerDown, s.Name())
		if st.Phase == ami.PhaseConnected {
			continue
		}

		// What was down before a restart stays so until the session is up again.
		down = append(down, key)
		if st.Down.IsZero() || now.Sub(st.Down) < downFor {
			continue
		}
		what, do := operate.WhyDown(st)
		d.alerts.Raise(key, alerts.Alert{
			Kind: alerts.ServerDown, Server: s.Name(), Text: what, Do: do, Logged: true,
		}, alerts.Span{})
	}

	for _, key := range d.alerts.Keys(alerts.ServerDown) {
		if !slices.Contains(down, key) {
			d.alerts.Resolve(key, alerts.Span{})
		}
	}
}

// lookAtJournal opens a condition while the journal cannot be written.
func (d *daemon) lookAtJournal() {
	key := alerts.Key(alerts.JournalFailing)
	if d.journal == nil {
		return
	}

	h := d.journal.Health()
	if h.Problem == "" {
		d.alerts.Resolve(key, alerts.Span{})
		return
	}
	d.alerts.Raise(key, alerts.Alert{
		Kind: alerts.JournalFailing, Text: h.Problem, Do: h.Do, Logged: true,
	}, alerts.Span{})
}
