package config

import (
	"testing"
	"time"
)

// The next moment is in the future, and at the same hour when the clocks change.
func TestWeeklyNext(t *testing.T) {
	berlin, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		t.Fatal(err)
	}
	w := Weekly{On: true, Day: time.Monday, At: 8 * 60}
	for after, want := range map[string]string{
		"2026-11-23T07:59:59+01:00": "2026-11-23T08:00:00+01:00",
		"2026-11-23T08:00:00+01:00": "2026-11-30T08:00:00+01:00",
		"2026-11-24T00:00:00+01:00": "2026-11-30T08:00:00+01:00",
		"2026-10-19T08:00:00+02:00": "2026-10-26T08:00:00+01:00", // the clocks changed on the 25th
		"2026-03-23T08:00:00+01:00": "2026-03-30T08:00:00+02:00",
		"2026-12-31T23:00:00+01:00": "2027-01-04T08:00:00+01:00",
	} {
		from, err := time.Parse(time.RFC3339, after)
		if err != nil {
			t.Fatal(err)
		}
		if got := w.Next(from.In(berlin)).Format(time.RFC3339); got != want {
			t.Errorf("after %s: %s, want %s", after, got, want)
		}
	}
}
