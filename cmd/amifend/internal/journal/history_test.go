package journal

import (
	"net/netip"
	"testing"
	"time"
)

// The past of an address: bans of its own and of prefixes that it is in, those that were lifted, and nobody else's.
func TestHistory(t *testing.T) {
	j := start(t, options(t.TempDir()))
	now := time.Now()
	tell := func(prefix string, ago time.Duration, evidence string) {
		j.Ban(Ban{
			Key: Key{netip.MustParsePrefix(prefix), all}, Rule: "score", Attempts: 4, Evidence: evidence,
			From: now.Add(-ago), Until: now.Add(time.Hour - ago),
		})
		j.written(t)
	}
	tell("203.0.113.5/32", 2*time.Hour, "first")
	tell("203.0.113.6/32", time.Hour, "another's")
	tell("203.0.113.0/24", 30*time.Minute, "his network's")
	tell("203.0.113.5/32", time.Minute, "second")
	j.Lift(Lift{Key: Key{netip.MustParsePrefix("203.0.113.5/32"), all}, At: time.Now(), By: "uid 7", Why: "operator", Known: true})
	j.written(t)
	for most, want := range map[int][]string{10: {"second", "his network's", "first"}, 2: {"second", "his network's"}} {
		got, err := j.History(t.Context(), netip.MustParseAddr("203.0.113.5"), most)
		if err != nil || len(got) != len(want) {
			t.Fatalf("%+v, %v", got, err)
		}
		for i, p := range got {
			if p.Evidence != want[i] || p.Until.Sub(p.From).Round(time.Second) != time.Hour || p.Scope != "all" {
				t.Errorf("%d: %+v, want %s", i, p, want[i])
			}
		}
		if last := got[0]; last.Lifted.IsZero() || last.By != "uid 7" || last.Why != "operator" || !got[1].Lifted.IsZero() {
			t.Errorf("lifted: %+v", got)
		}
	}
	if got, err := j.History(t.Context(), netip.MustParseAddr("2001:db8::1"), 10); err != nil || len(got) != 0 {
		t.Errorf("of somebody else: %+v, %v", got, err)
	}
}

func TestHistoryOfNothing(t *testing.T) {
	if got, err := New(options(t.TempDir())).History(t.Context(), netip.MustParseAddr("203.0.113.5"), 10); err != nil || got != nil {
		t.Errorf("%+v, %v", got, err)
	}
}
