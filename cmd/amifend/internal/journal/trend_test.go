package journal

import (
	"fmt"
	"testing"
	"time"
)

// A week of a million events, and the week before: each counts its own hours, to the hour.
func TestNumbersAndHours(t *testing.T) {
	j := start(t, options(t.TempDir()))
	from := time.Now().Truncate(time.Hour).Add(-7 * 24 * time.Hour)
	to := from.Add(7 * 24 * time.Hour)
	const sources, failures = 50, 120
	j.Count(func() (out []Total) {
		for h := range 7 * 24 {
			for i := range sources {
				at := from.Add(time.Duration(h) * time.Hour)
				out = append(out, Total{at, "a", fmt.Sprintf("10.0.0.%d", i), false, failures, 1})
			}
		}
		return append(out,
			Total{from, "a", "10.1.0.1", false, 0, 5}, // it only logs in
			Total{from, "a", `"100"`, true, 7, 0}, Total{from, "b", `"100"`, true, 7, 0},
			Total{from, "a", `"204"`, true, 0, 7},
			Total{from.Add(-time.Hour), "a", "10.0.0.1", false, 3, 0}, // the week before
			Total{to, "a", "10.0.0.1", false, 9, 0})                   // and after
	})
	for _, at := range []time.Time{from.Add(-time.Minute), from.Add(time.Minute), to.Add(-time.Minute)} {
		j.Alert(Alert{At: at, Seen: at, Kind: "suspect_login", Count: 1})
	}
	if err := j.WriteTotals(t.Context()); err != nil {
		t.Fatal(err)
	}

	now, err := j.Numbers(t.Context(), from, to)
	want := Numbers{
		Failures: 7 * 24 * sources * failures, Logins: 7*24*sources + 5, Sources: sources, Accounts: 2,
		Alerts: 2,
	}
	if err != nil || now != want || now.Failures < 1_000_000 {
		t.Errorf("%+v, %v; want %+v", now, err, want)
	}
	before, err := j.Numbers(t.Context(), from.Add(-7*24*time.Hour), from)
	if want := (Numbers{Failures: 3, Sources: 1, Alerts: 1}); err != nil || before != want {
		t.Errorf("before: %+v, %v; want %+v", before, err, want)
	}

	hours, err := j.Hours(t.Context(), from, to)
	if err != nil || len(hours) != 7*24 || hours[1].Failures != sources*failures ||
		!hours[1].At.Equal(from.Add(time.Hour)) {
		t.Errorf("%d hours, %v", len(hours), err)
	}
}

// A journal without a past has numbers, all zero.
func TestNumbersOfNothing(t *testing.T) {
	j := start(t, options(t.TempDir()))
	if err := j.WriteTotals(t.Context()); err != nil { // the database is there
		t.Fatal(err)
	}
	from := time.Now().Add(-time.Hour)
	if n, err := j.Numbers(t.Context(), from, time.Now()); err != nil || n != (Numbers{}) {
		t.Errorf("%+v, %v", n, err)
	}
	if h, err := j.Hours(t.Context(), from, time.Now()); err != nil || len(h) != 0 {
		t.Errorf("%+v, %v", h, err)
	}
}
