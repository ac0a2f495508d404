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
				out = append(out, Total{
					Hour: at, Server: "a", Name: fmt.Sprintf("10.0.0.%d", i), Failures: failures, Logins: 1,
				})
			}
		}
		total := func(at time.Time, server, name string, account bool, failures, logins uint64) Total {
			return Total{
				Hour: at, Server: server, Name: name, Account: account, Failures: failures,
				Logins: logins,
			}
		}
		return append(out,
			total(from, "a", "10.1.0.1", false, 0, 5), // it only logs in
			total(from, "a", `"100"`, true, 7, 0), total(from, "b", `"100"`, true, 7, 0),
			total(from, "a", `"204"`, true, 0, 7),
			total(from.Add(-time.Hour), "a", "10.0.0.1", false, 3, 0), // the week before
			total(to, "a", "10.0.0.1", false, 9, 0))                   // and after
	})
	for _, at := range []time.Time{from.Add(-time.Minute), from.Add(time.Minute), to.Add(-time.Minute)} {
		j.Alert(Alert{At: at, Seen: at, Kind: "suspect_login", Count: 1})
	}
	if err := j.WriteTotals(t.Context()); err != nil {
		t.Fatal(err)
	}

	want := Numbers{
		Failures: 7 * 24 * sources * failures, Logins: 7*24*sources + 5, Sources: sources, Accounts: 2,
		Alerts: 2,
	}
	if want.Failures < 1_000_000 {
		t.Error("too few to be a test")
	}

	// WriteTotals writes no more than its budget. The rest comes later.
	eventually(t, func() bool {
		now, err := j.Numbers(t.Context(), from, to)
		if err != nil {
			t.Fatal(err)
		}
		return now == want
	})
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
