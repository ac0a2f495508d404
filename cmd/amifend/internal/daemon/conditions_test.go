package daemon

import (
	"log/slog"
	"testing"

	"github.com/amifend/amifend/cmd/amifend/internal/alerts"
)

// A change that waits for a restart is an open condition, until the config has its old values again.
func TestRestartNeededIsACondition(t *testing.T) {
	r := &reloader{shared: &shared{
		alerts: alerts.New(alerts.Options{Log: slog.New(slog.DiscardHandler)}),
	}}
	r.tellRestart([]string{"[state]", "[log]"})
	r.tellRestart([]string{"[state]"})
	open := r.alerts.Open()
	if len(open) != 1 || open[0].Kind != alerts.RestartNeeded || open[0].Count != 2 ||
		open[0].Text != "the config has changes that a reload cannot put in force: [state]" {
		t.Errorf("open: %+v", open)
	}

	r.tellRestart(nil)
	if open := r.alerts.Open(); len(open) != 0 {
		t.Errorf("still open: %+v", open)
	}
}
