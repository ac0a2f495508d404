package allowlist

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/amifend/amifend/cmd/amifend/internal/clock"
	"github.com/amifend/amifend/cmd/amifend/internal/journal"
)

func TestAllowances(t *testing.T) {
	a := New(Options{})
	for i := range Most {
		addr := netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)})
		err := a.add(Subject{Prefix: netip.PrefixFrom(addr, 32)}, Allowance{})
		if err != nil {
			t.Fatal(err)
		}
	}

	more := Subject{Prefix: netip.MustParsePrefix("203.0.113.1/32")}
	if err := a.add(more, Allowance{}); !errors.Is(err, ErrFull) {
		t.Errorf("one too many: %v", err)
	}
	if err := a.add(Subject{Prefix: netip.MustParsePrefix("10.0.0.1/32")},
		Allowance{Until: time.Unix(1e9, 0)}); err != nil {
		t.Errorf("a change: %v", err)
	}

	over := a.expire(time.Unix(1e9, 0), 0)
	if left, names := a.entries(); len(over) != 1 || len(left) != Most-1 || len(names) != 0 {
		t.Errorf("over: %v", over)
	}

	saved := map[string][]byte{}
	a.save(func([]journal.Row) bool { return false })
	a.save(func(rows []journal.Row) bool {
		for _, r := range rows {
			saved[string(r.Key)] = r.Value
		}
		return true
	})

	a.save(func(rows []journal.Row) bool {
		t.Errorf("saved twice: %d rows", len(rows))
		return true
	})
	if len(saved) != Most || saved["allow/10.0.0.1/32"] != nil ||
		saved["allow/10.0.0.2/32"] == nil {
		t.Errorf("%d rows", len(saved))
	}

	// What was taken out, or said anew, before the journal could be read is not brought back by it.
	b := New(Options{})
	if err := b.add(Subject{Prefix: netip.MustParsePrefix("10.0.0.2/32")},
		Allowance{UID: 5}); err != nil {
		t.Fatal(err)
	}
	if err := b.add(Subject{Prefix: netip.MustParsePrefix("10.0.0.3/32")},
		Allowance{}); err != nil {
		t.Fatal(err)
	}

	b.remove(Subject{Prefix: netip.MustParsePrefix("10.0.0.3/32")})
	value, err := json.Marshal(Allowance{UID: 7})
	if err != nil {
		t.Fatal(err)
	}

	for _, key := range []string{
		"allow/10.0.0.2/32", "allow/10.0.0.3/32", "allow/10.0.0.4/32", "allow/0.0.0.0/0",
		"allow/non sense", "allow/Pbx.example", "allow/pbx.example", "other/10.0.0.5/32",
	} {
		b.loadRow(journal.Row{Key: []byte(key), Value: value})
	}

	b.loadRow(journal.Row{Key: []byte("allow/10.0.0.6/32"), Value: []byte("nonsense")})
	got := ""
	for p, n := range b.byWhom.All() {
		got += fmt.Sprintf("%s %d ", p, n.UID)
	}

	if b.byWhom.Len() != 3 || !strings.Contains(got, "pbx.example 7 ") ||
		!strings.Contains(got, "10.0.0.2/32 5 ") || !strings.Contains(got, "10.0.0.4/32 7 ") {
		t.Errorf("loaded %s", got)
	}
}

// A wall clock that is set neither ends nor prolongs what is allowed for a time; what the journal
// has moves along, so that a restart does not either.
func TestAllowWhileTheClockIsSet(t *testing.T) {
	wall := time.Unix(1e9, 0).UTC()
	now := int64(1e18)
	for _, step := range []time.Duration{
		24 * time.Hour, -24 * time.Hour, -31 * 365 * 24 * time.Hour,
	} {
		a := New(Options{})
		whom := Subject{Prefix: netip.MustParsePrefix("203.0.113.5/32")}
		if err := a.add(whom, Allowance{
			Until: wall.Add(2 * time.Hour), Expiry: now + int64(2*time.Hour),
		}); err != nil {
			t.Fatal(err)
		}

		// Between its beginning and its end, somebody sets the wall clock.
		a.save(func([]journal.Row) bool { return true })
		if over := a.expire(wall.Add(time.Hour+step), now+int64(time.Hour)); len(over) != 0 {
			t.Errorf("%v: over after an hour of two", step)
		}

		// The journal gets the end by the new wall clock, and it ends by the daemon's clock.
		var saved Allowance
		a.save(func(rows []journal.Row) bool {
			if len(rows) != 1 || json.Unmarshal(rows[0].Value, &saved) != nil {
				t.Errorf("%v: saved %q", step, rows)
			}
			return true
		})

		if want := wall.Add(2*time.Hour + step); !saved.Until.Equal(want) {
			t.Errorf("%v: the journal has %v, want %v", step, saved.Until, want)
		}
		if over := a.expire(wall.Add(2*time.Hour+step), now+int64(2*time.Hour)); len(over) != 1 {
			t.Errorf("%v: not over after two hours", step)
		}
	}
}

// The wall clock may be set while amifend is down: what is allowed for eight hours is allowed for
// eight hours. After a reboot the wall clock is all there is, and a wrong one prolongs nothing.
func TestAllowOverARestartWithAnotherClock(t *testing.T) {
	whom := Subject{Prefix: netip.MustParsePrefix("203.0.113.5/32")}
	at := time.Unix(1.7e9, 0)
	const uptime = 40 * time.Minute

	// run loads what an earlier run saved, and returns how long the subject is then allowed.
	run := func(rows []journal.Row, boot string, uptime time.Duration, wall time.Time) time.Duration {
		k := New(Options{Clock: clock.New(), Machine: journal.Clock{
			Wall: func() time.Time { return wall }, Uptime: func() time.Duration { return uptime },
			Boot: boot,
		}})
		for _, r := range rows {
			k.loadRow(r)
		}

		now := k.clock.Now()
		for d := time.Duration(0); d < 48*time.Hour; d += time.Minute {
			if over := k.expire(wall.Add(d), now+int64(d)); len(over) > 0 {
				return d
			}
		}
		return -1
	}

	first := New(Options{Clock: clock.New(), Machine: journal.Clock{
		Wall: func() time.Time { return at }, Uptime: func() time.Duration { return uptime },
		Boot: "b1",
	}})
	if err := first.add(whom, Allowance{
		Until: at.Add(8 * time.Hour), Expiry: first.clock.Now() + int64(8*time.Hour),
	}); err != nil {
		t.Fatal(err)
	}
	var rows []journal.Row
	first.save(func(r []journal.Row) bool { rows = r; return true })

	for name, tt := range map[string]struct {
		boot   string
		uptime time.Duration
		wall   time.Time
		want   time.Duration
	}{
		"as it was":                {"b1", uptime + time.Hour, at.Add(time.Hour), 7 * time.Hour},
		"set forward":              {"b1", uptime + time.Hour, at.Add(25 * time.Hour), 7 * time.Hour},
		"set back":                 {"b1", uptime + time.Hour, at.Add(-24 * time.Hour), 7 * time.Hour},
		"over while it was down":   {"b1", uptime + 9*time.Hour, at, 0},
		"rebooted":                 {"b2", time.Minute, at.Add(time.Hour), 7 * time.Hour},
		"rebooted, a wrong clock":  {"b2", time.Minute, at.Add(-9999 * time.Hour), 8 * time.Hour},
		"rebooted, too late":       {"b2", time.Minute, at.Add(9 * time.Hour), 0},
		"no boot is known anymore": {"", time.Minute, at.Add(time.Hour), 7 * time.Hour},
	} {
		got := run(rows, tt.boot, tt.uptime, tt.wall)
		if (got - tt.want).Abs() > time.Minute {
			t.Errorf("%s: allowed for %v more, want %v", name, got, tt.want)
		}
	}
}
