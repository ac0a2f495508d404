package journal

import (
	"fmt"
	"slices"
	"testing"
	"time"
)

// flush has a journal write all that it was handed.
func flush(t *testing.T, j *running) {
	t.Helper()
	if err := j.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// condition is the state of a condition.
func condition(key string, began time.Time, count int) Alert {
	return Alert{
		At: began, Kind: "misconfigured_endpoint", Source: "192.0.2.1", Key: key, Text: "why",
		Seen: began.Add(time.Duration(count) * time.Minute), Count: count, Severity: 3,
		Forgeable: true,
	}
}

// A condition has one row from its beginning to its end, whatever was merged on the way; when it
// comes again, it has another one.
func TestConditionHasOneRow(t *testing.T) {
	for _, merged := range []bool{false, true} {
		j := start(t, options(t.TempDir()))
		began := time.Now().Add(-time.Hour)
		put := func(a Alert) {
			j.Alert(a)
			if !merged {
				flush(t, j)
			}
		}

		// Two conditions begin, and one goes on.
		put(condition("k", began, 1))
		put(condition("other", began, 1))
		put(condition("k", began, 20))
		open, err := j.OpenAlerts(t.Context())
		if !merged && (err != nil || len(open) != 2) {
			t.Errorf("open: %+v, %v", open, err)
		}

		// The one ends, and begins again, which is a row of its own.
		over := condition("k", began, 30)
		over.Ended = began.Add(40 * time.Minute)
		put(over)
		put(condition("k", began.Add(50*time.Minute), 1))
		flush(t, j)

		got, total, err := j.Alerts(t.Context(), "", began.Add(-time.Minute), 10)
		if err != nil || total != 3 || len(got) != 3 {
			t.Fatalf("merged %v: %d of %d, %v", merged, len(got), total, err)
		}

		// The row that ended has its last count, its end, and its first beginning.
		counts := []int{got[0].Count, got[1].Count, got[2].Count}
		slices.Sort(counts[1:])
		if !slices.Equal(counts, []int{1, 1, 30}) || !got[0].Open() {
			t.Errorf("merged %v: %+v", merged, got)
		}
		for _, a := range got {
			if a.Count == 30 && (a.Open() || a.Ended.Sub(over.Ended).Abs() > time.Second ||
				a.At.Sub(began).Abs() > time.Second) {
				t.Errorf("merged %v: the end is %+v", merged, a)
			}
		}
	}
}

// What forged packets raise does not push out what they cannot raise: not where it waits for the
// disk, not in a list, and not where the database is too large.
func TestForgeableAlertsCrowdOutNothing(t *testing.T) {
	// In the queue.
	var waiting []Alert
	for i := range 3 * mostAlerts {
		waiting = addAlert(waiting,
			&Alert{Kind: "spoof_suspected", Forgeable: true, Text: fmt.Sprint(i)})
	}
	waiting = addAlert(waiting, &Alert{Kind: "compromised_account"})
	if n := len(waiting); n != mostForgeable+1 {
		t.Errorf("%d wait", n)
	}

	// In a list of 100: the two alerts that cannot be forged are older than 301 that can.
	j := start(t, options(t.TempDir()))
	now := time.Now()
	j.Alert(Alert{At: now.Add(-time.Hour), Kind: "compromised_account", Severity: 1})
	j.Alert(condition("open", now.Add(-50*time.Hour), 1))
	for i := range 301 {
		j.Alert(Alert{
			At: now.Add(-time.Duration(i) * time.Second), Kind: "spoof_suspected", Severity: 3,
			Forgeable: true,
		})
		if i%100 == 0 {
			flush(t, j)
		}
	}
	flush(t, j)

	got, total, err := j.Alerts(t.Context(), "", now.Add(-24*time.Hour), 100)
	if err != nil || len(got) != 100 || total != 303 {
		t.Fatalf("%d of %d, %v", len(got), total, err)
	}
	kinds := map[string]int{}
	for _, a := range got {
		kinds[a.Kind]++
	}
	if kinds["compromised_account"] != 1 || kinds["misconfigured_endpoint"] != 1 {
		t.Errorf("listed: %v", kinds)
	}
}
