package journal

import (
	"maps"
	"net/netip"
	"slices"
	"strconv"
	"testing"
	"time"
)

// The past of an address: bans of its own and of prefixes that it is in, those that were lifted,
// and nobody else's.
func TestHistory(t *testing.T) {
	j := start(t, options(t.TempDir()))
	now := time.Now()
	tell := func(prefix string, ago time.Duration, evidence string) {
		j.Ban(Ban{
			Key: Key{netip.MustParsePrefix(prefix), all}, Rule: "score", Attempts: 4,
			Evidence: evidence,
			From:     now.Add(-ago), Until: now.Add(time.Hour - ago),
		})
		j.written(t)
	}

	// Of these bans, one is that of another address, and the last one is lifted.
	tell("203.0.113.5/32", 2*time.Hour, "first")
	tell("203.0.113.6/32", time.Hour, "another's")
	tell("203.0.113.0/24", 30*time.Minute, "its network's")
	tell("203.0.113.5/32", time.Minute, "second")
	j.Lift(Lift{
		Key: Key{netip.MustParsePrefix("203.0.113.5/32"), all}, At: time.Now(), By: "uid 7",
		Why: "operator", Known: true,
	})

	j.written(t)
	for most, want := range map[int][]string{
		10: {"second", "its network's", "first"},
		2:  {"second", "its network's"},
	} {
		got, err := j.History(t.Context(), netip.MustParseAddr("203.0.113.5"), most)
		if err != nil || len(got) != len(want) {
			t.Fatalf("%+v, %v", got, err)
		}

		for i, p := range got {
			if p.Evidence != want[i] || p.Until.Sub(p.From).Round(time.Second) != time.Hour ||
				p.Scope != "all" {
				t.Errorf("%d: %+v, want %s", i, p, want[i])
			}
		}

		if last := got[0]; last.Lifted.IsZero() || last.By != "uid 7" || last.Why != "operator" ||
			!got[1].Lifted.IsZero() {
			t.Errorf("lifted: %+v", got)
		}
	}

	if got, err := j.History(t.Context(), netip.MustParseAddr("2001:db8::1"), 10); err != nil ||
		len(got) != 0 {
		t.Errorf("of somebody else: %+v, %v", got, err)
	}
}

func TestHistoryOfNothing(t *testing.T) {
	if got, err := New(options(t.TempDir())).History(t.Context(),
		netip.MustParseAddr("203.0.113.5"), 10); err != nil || got != nil {
		t.Errorf("%+v, %v", got, err)
	}
}

// What was told is read back in full: bans and alerts since a time, the last one first, most of
// them at most.
func TestBansAndAlertsSince(t *testing.T) {
	j := start(t, options(t.TempDir()))
	now := time.Now()

	// An alert and a ban an hour, the last ones first.
	var want []Alert
	for i := range 5 {
		ago := time.Duration(i) * time.Hour
		a := Alert{
			At: now.Add(-ago), Kind: "suspect_login", Source: "203.0.113.5",
			Account: `"10` + strconv.Itoa(i) + `"`, Server: "office",
			Text: `a stranger logged in to account "100" of office`, Do: "ask the account's user",
		}

		j.Alert(a)
		want = append(want, a)
		b := ban("203.0.113."+strconv.Itoa(i)+"/32", sip, time.Hour)
		b.From, b.Until, b.Strike, b.Score = now.Add(-ago), now.Add(time.Hour), i+1, 3.5
		j.Ban(b)
		j.written(t)
	}

	// Those of the last two and a half hours are three.
	alerts, total, err := j.Alerts(t.Context(), "", now.Add(-150*time.Minute), 10)
	if err != nil || len(alerts) != 3 || total != 3 {
		t.Fatalf("%+v, %v", alerts, err)
	}

	for i, a := range alerts {
		if d := a.At.Sub(want[i].At); d < -time.Second || d > time.Second {
			t.Errorf("at %s, want %s", a.At, want[i].At)
		}
		if d := a.Seen.Sub(want[i].At); d < -time.Second || d > time.Second || a.Count != 1 {
			t.Errorf("seen %s, %d times", a.Seen, a.Count)
		}
		a.At, a.Seen, a.Count = want[i].At, time.Time{}, 0
		if a != want[i] {
			t.Errorf("%+v, want %+v", a, want[i])
		}
	}

	// Of three bans, two are asked for.
	bans, err := j.Bans(t.Context(), now.Add(-150*time.Minute), 2)
	if err != nil || len(bans) != 2 {
		t.Fatalf("%+v, %v", bans, err)
	}

	for i, b := range bans {
		if b.Prefix.Addr().As4()[3] != byte(i) || b.Scope != "sip" || b.Strike != i+1 ||
			b.Score != 3.5 || b.Evidence == "" {
			t.Errorf("%+v", b)
		}
	}

	if got, _, err := New(options(t.TempDir())).Alerts(t.Context(), "", now, 10); err != nil ||
		got != nil {
		t.Errorf("of nothing: %+v, %v", got, err)
	}
}

// Hours are summed up by source, by account and by server, the worst first.
func TestTotalsBy(t *testing.T) {
	j := start(t, options(t.TempDir()))
	hour := time.Date(2026, 11, 23, 8, 0, 0, 0, time.UTC)
	total := func(h int, server, name string, account bool, failures, logins uint64) Total {
		return Total{
			Hour: hour.Add(time.Duration(h) * time.Hour), Server: server, Name: name,
			Account: account, Failures: failures, Logins: logins,
		}
	}

	j.Count(func() []Total {
		return []Total{
			total(-1, "a", "10.0.0.1", false, 100, 0), // before
			total(0, "a", "10.0.0.1", false, 3, 0), total(1, "a", "10.0.0.1", false, 4, 1),
			total(1, "b", "10.0.0.1", false, 5, 0),
			total(0, "b", "10.0.0.2", false, 20, 2), total(0, "a", Others, false, 1, 0),
			total(0, "a", `"100"`, true, 8, 1), total(0, "b", `"100"`, true, 25, 2),
			total(2, "b", `"100"`, true, 1, 0),
		}
	})
	if err := j.ask(t.Context(), func(*store) error {
		j.due.totals = time.Time{}
		return nil
	}); err != nil {
		t.Fatal(err)
	}

	at := func(h int) time.Time { return hour.Add(time.Duration(h) * time.Hour).Local() }
	for _, tt := range []struct {
		by   By
		most int
		want []Sum
	}{
		{BySource, 10, []Sum{
			{"10.0.0.2", "", 1, 20, 2, at(0), at(0)},
			{"10.0.0.1", "", 2, 12, 1, at(0), at(1)},
			{Others, "", 1, 1, 0, at(0), at(0)},
		}},
		{BySource, 1, []Sum{{"10.0.0.2", "", 1, 20, 2, at(0), at(0)}}},
		{
			ByAccount, 10,
			[]Sum{{`"100"`, "b", 1, 26, 2, at(0), at(2)}, {`"100"`, "a", 1, 8, 1, at(0), at(0)}},
		},
		{ByServer, 10, []Sum{{"b", "", 1, 25, 2, at(0), at(1)}, {"a", "", 1, 8, 1, at(0), at(1)}}},
	} {
		var got []Sum
		eventually(t, func() (ok bool) {
			var err error
			if got, err = j.Totals(t.Context(), tt.by, hour.Add(17*time.Minute),
				tt.most); err != nil {
				t.Fatal(err)
			}
			return slices.Equal(got, tt.want)
		})
		if !slices.Equal(got, tt.want) {
			t.Errorf("by %d: %+v\nwant %+v", tt.by, got, tt.want)
		}
	}

	if _, err := j.Totals(t.Context(), 77, hour, 1); err == nil {
		t.Error("by nothing: no error")
	}
}

// What is told since a time can be counted, what operators did is read back, and what was told of
// an address is found.
func TestSince(t *testing.T) {
	j := start(t, options(t.TempDir()))
	now := time.Now()
	for i, ago := range []time.Duration{time.Minute, time.Hour, 5 * time.Hour} {
		b := ban("203.0.113."+strconv.Itoa(i)+"/32", sip, time.Hour)
		b.From, b.Until, b.Observed = now.Add(-ago), now.Add(10*time.Hour), i == 1
		j.Ban(b)
		j.Alert(Alert{
			At: now.Add(-ago), Kind: "suspect_login",
			Source: []string{"203.0.113.9", "203.0.113.0/24", "203.0.113.9"}[i],
			Text:   strconv.Itoa(i),
		})

		j.Operation(Operation{
			At: now.Add(-ago), UID: i, What: "unban", Object: "203.0.113.9",
			Reason: `"x"`,
		})
	}

	j.Alert(Alert{At: now, Kind: "bans_full", Source: "203.0.113.90"})
	j.Lift(Lift{
		Key: Key{netip.MustParsePrefix("203.0.113.0/32"), sip}, At: time.Now(), By: "uid 7",
		Known: true,
	})

	j.Count(func() []Total {
		return []Total{{
			Hour: now.UTC().Truncate(time.Hour), Server: "office", Name: "203.0.113.9",
			Failures: 3,
		}}
	})

	j.written(t)
	since := now.Add(-2 * time.Hour)
	c, err := j.Counts(t.Context(), since)

	if err != nil || !maps.Equal(c.Bans, map[string]int{"score": 2}) || c.Observed != 1 ||
		c.Lifted != 1 ||
		!maps.Equal(c.Alerts, map[string]int{"suspect_login": 2, "bans_full": 1}) {
		t.Errorf("counts %+v, %v", c, err)
	}

	of, _, err := j.AlertsOf(t.Context(), netip.MustParseAddr("203.0.113.9"), "", since, 10)
	if err != nil || len(of) != 2 || of[0].Text != "0" || of[1].Text != "1" {
		t.Errorf("alerts of it: %+v, %v", of, err)
	}

	kind, _, err := j.Alerts(t.Context(), "suspect_login", since, 1) // the last one is of another kind
	if err != nil || len(kind) != 1 || kind[0].Text != "0" {
		t.Errorf("alerts of a kind: %+v, %v", kind, err)
	}

	if of, _, err := j.AlertsOf(t.Context(), netip.MustParseAddr("203.0.113.9"), "bans_full", since,
		10); err != nil || len(of) != 0 {
		t.Errorf("alerts of it of another kind: %+v, %v", of, err)
	}

	ops, err := j.Operations(t.Context(), since, 10)
	if err != nil || len(ops) != 2 || ops[0].UID != 0 || ops[1].What != "unban" ||
		ops[1].Reason != `"x"` {
		t.Errorf("operations %+v, %v", ops, err)
	}

	if err := j.WriteTotals(t.Context()); err != nil {
		t.Fatal(err)
	}

	if sums, err := j.Totals(t.Context(), BySource, since, 10); err != nil || len(sums) != 1 ||
		sums[0].Failures != 3 {
		t.Errorf("totals %+v, %v", sums, err)
	}
}
