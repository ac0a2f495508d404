package allowlist

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

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
	for p, n := range b.byWhom {
		got += fmt.Sprintf("%s %d ", p, n.UID)
	}

	if len(b.byWhom) != 3 || !strings.Contains(got, "pbx.example 7 ") ||
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

		a.save(func([]journal.Row) bool { return true })
		if over := a.expire(wall.Add(time.Hour+step), now+int64(time.Hour)); len(over) != 0 {
			t.Errorf("%v: over after an hour of two", step)
		}

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
