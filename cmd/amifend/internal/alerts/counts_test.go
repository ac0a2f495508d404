package alerts_test

import (
	"log/slog"
	"testing"

	"github.com/amifend/amifend/cmd/amifend/internal/alerts"
)

// Events and beginnings count once, also of kinds that nobody knows; an ignored condition is not
// open.
func TestCounts(t *testing.T) {
	b := alerts.New(alerts.Options{Log: slog.New(slog.DiscardHandler)})
	b.Event(alerts.Alert{Kind: "compromised_account"})
	b.Event(alerts.Alert{Kind: "of_another_version"})
	down := alerts.Key(alerts.ServerDown, "pbx")
	for range 3 {
		b.Raise(down, alerts.Alert{Kind: alerts.ServerDown}, alerts.Span{})
	}
	b.Raise("other", alerts.Alert{Kind: alerts.ServerDown}, alerts.Span{})
	if _, err := b.Ignore(alerts.ID("other"), "uid 0", ""); err != nil {
		t.Fatal(err)
	}

	got := b.Counts()
	if len(got) != len(alerts.Kinds())+1 || got["compromised_account"].Reported != 1 ||
		got[alerts.OtherKind].Reported != 1 || got[alerts.ServerDown] != (alerts.Counts{2, 1}) {
		t.Errorf("%+v", got)
	}

	b.Resolve(down, alerts.Span{})
	if got := b.Counts()[alerts.ServerDown]; got != (alerts.Counts{Reported: 2}) {
		t.Errorf("after the end: %+v", got)
	}
}
