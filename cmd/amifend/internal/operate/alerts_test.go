package operate

import (
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/amifend/amifend/cmd/amifend/internal/alerts"
)

// The status shows the worst open condition of each kind, then the latest event of the others. A
// flood of one kind hides none of another, and what the status says elsewhere it does not say twice.
func TestAlertWarnings(t *testing.T) {
	b := alerts.New(alerts.Options{Log: slog.New(slog.DiscardHandler)})
	b.Event(alerts.Alert{Kind: "compromised_account", Source: "203.0.113.9", Text: "why"})
	b.Raise(alerts.Key(alerts.RestartNeeded), alerts.Alert{
		Kind: alerts.RestartNeeded, Text: "changed", Do: "restart",
	}, alerts.Span{})
	b.Raise(alerts.Key(alerts.ServerDown, "pbx"), alerts.Alert{
		Kind: alerts.ServerDown, Server: "pbx", Text: "down",
	}, alerts.Span{})
	for i := range 300 {
		b.Event(alerts.Alert{Kind: "spoof_suspected", Source: fmt.Sprint("10.0.0.", i), Text: "s"})
	}
	for i := range 3 {
		addr := fmt.Sprint("192.0.2.", i)
		b.Raise(alerts.Key("misconfigured_endpoint", addr), alerts.Alert{
			Kind: "misconfigured_endpoint", Source: addr, Text: "wrong",
		}, alerts.Span{})
	}

	var got []string
	for _, w := range alertWarnings(b.Open(), b.Latest()) {
		got = append(got, w.About+"|"+w.What+"|"+w.Do)
	}
	want := []string{
		"alert misconfigured_endpoint|192.0.2.2: wrong (3 such alerts are open: amifend alerts)|",
		"alert compromised_account|203.0.113.9: why|",
		"alert spoof_suspected|10.0.0.299: s (300 such alerts in the last day: amifend alerts)|",
	}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("got:\n%s\nwant:\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// On the live screen the worst alert comes first, be it an event or a condition.
func TestLiveAlerts(t *testing.T) {
	b := alerts.New(alerts.Options{Log: slog.New(slog.DiscardHandler)})
	b.Raise(alerts.Key(alerts.FeedStale, "mine"), alerts.Alert{
		Kind: alerts.FeedStale, Text: "the list is old",
	}, alerts.Span{})
	b.Event(alerts.Alert{Kind: "compromised_account", Source: "203.0.113.9", Text: "why"})

	s := &Service{Options: Options{Book: b}}
	got := s.liveAlerts(1)
	if len(got) != 1 || got[0].Kind != "compromised_account" {
		t.Errorf("%+v", got)
	}
	if got := s.liveAlerts(5); len(got) != 2 || !got[1].Open {
		t.Errorf("%+v", got)
	}
}
