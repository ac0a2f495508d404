package app

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/amifend/amifend/cmd/amifend/internal/control"
	"github.com/amifend/amifend/cmd/amifend/internal/journal"
)

// A ban is lifted by the command that allows its source, comes no more while that holds, and can come again afterwards.
func TestAllowForATime(t *testing.T) {
	s := newSite(t, 1)
	s.config.State.Directory, s.config.State.Retain, s.config.State.MaxSize = t.TempDir(), time.Hour, 10<<20
	c := s.withControl(t)
	r := s.start(t)
	ready(t, c)
	guess(s.pbxs[0], "203.0.113.6:5062", "TCP", 4)
	r.wait(t, "banned", "203.0.113.6")
	prefix := netip.MustParsePrefix("203.0.113.6/32")
	a, err := c.Allow(t.Context(), control.NewAllow{Prefix: prefix, For: 3600, Reason: "a customer \x1b[2J"})
	if err != nil || a.Reason != `allowed by uid 0 (amifend allow): "a customer \x1b[2J"` || !a.Command || time.Until(a.Until).Round(time.Minute) != time.Hour {
		t.Fatalf("%+v, %v", a, err)
	}
	r.wait(t, "ban lifted", "203.0.113.6")
	guess(s.pbxs[0], "203.0.113.6:5063", "TCP", 20)
	guess(s.pbxs[0], "203.0.113.7:5063", "TCP", 4)
	r.wait(t, "banned", "203.0.113.7")
	if n := len(r.said("banned", "203.0.113.6")); n != 1 {
		t.Errorf("banned %d times", n)
	}
	listed := func() *control.Allowed {
		l, err := c.Allowed(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if i := slices.IndexFunc(l.Entries, func(e control.Allowed) bool { return e.Prefix == prefix }); i >= 0 {
			return &l.Entries[i]
		}
		return nil
	}
	if e := listed(); e == nil || !e.Command || e.Reason != a.Reason || !e.Until.Equal(a.Until) {
		t.Errorf("listed as %+v", e)
	}
	time.Sleep(1500 * time.Millisecond) // it is saved within a second
	r.stop(t)

	r = s.start(t) // it outlives a restart
	ready(t, c)
	if e := listed(); e == nil || !e.Command || !e.Until.Equal(a.Until) { // before the first event can come
		t.Errorf("what was allowed is not known after the start: %+v", e)
	}
	if _, err := c.Disallow(t.Context(), prefix); err != nil {
		t.Fatal(err)
	}
	eventually(t, "it is no longer allowed", func() bool { return listed() == nil })
	if _, err := c.Disallow(t.Context(), prefix); control.CodeOf(err) != control.CodeNotAllowed {
		t.Errorf("a second time: %v", err)
	}
	eventually(t, "it can be banned again", func() bool {
		guess(s.pbxs[0], "203.0.113.6:5064", "TCP", 1)
		return len(r.said("banned", "203.0.113.6")) > 0
	})
}

func TestAllowRefused(t *testing.T) {
	inOffice(t, func(t *testing.T, o *office) {
		for name, tt := range map[string]struct {
			allow control.NewAllow
			says  string
		}{
			"everything": {control.NewAllow{Prefix: netip.MustParsePrefix("0.0.0.0/0")}, "is every address"},
			"all of v6":  {control.NewAllow{Prefix: netip.MustParsePrefix("::/0")}, "is every address"},
			"host bits":  {control.NewAllow{Prefix: netip.MustParsePrefix("203.0.113.5/24")}, "is no prefix"},
			"nothing":    {control.NewAllow{}, "is no prefix"},
			"too long":   {control.NewAllow{Prefix: netip.MustParsePrefix("203.0.113.5/32"), For: 1e10}, "may be allowed for"},
			"no time":    {control.NewAllow{Prefix: netip.MustParsePrefix("203.0.113.5/32"), For: -1}, "may be allowed for"},
			"a story":    {control.NewAllow{Prefix: netip.MustParsePrefix("203.0.113.5/32"), Reason: strings.Repeat("x", 201)}, "longer than"},
		} {
			if _, err := o.Allow(t.Context(), control.Peer{}, tt.allow); control.CodeOf(err) != control.CodeBadRequest || !strings.Contains(err.Error(), tt.says) {
				t.Errorf("%s: %v", name, err)
			}
		}
	})
}

func TestAllowances(t *testing.T) {
	var a allowances
	for i := range mostAllowances {
		if err := a.add(subject{prefix: netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)}), 32)}, allowance{}); err != nil {
			t.Fatal(err)
		}
	}
	if err := a.add(subject{prefix: netip.MustParsePrefix("203.0.113.1/32")}, allowance{}); control.CodeOf(err) != control.CodeFailed {
		t.Errorf("one too many: %v", err)
	}
	if err := a.add(subject{prefix: netip.MustParsePrefix("10.0.0.1/32")}, allowance{Until: time.Unix(1e9, 0)}); err != nil {
		t.Errorf("a change: %v", err)
	}
	over := a.expire(time.Unix(1e9, 0), 0)
	if left, names := a.entries(); len(over) != 1 || len(left) != mostAllowances-1 || len(names) != 0 {
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
	a.save(func(rows []journal.Row) bool { t.Errorf("saved twice: %d rows", len(rows)); return true })
	if len(saved) != mostAllowances || saved["allow/10.0.0.1/32"] != nil || saved["allow/10.0.0.2/32"] == nil {
		t.Errorf("%d rows", len(saved))
	}

	// What was taken out, or said anew, before the journal could be read is not brought back by it.
	var b allowances
	if err := b.add(subject{prefix: netip.MustParsePrefix("10.0.0.2/32")}, allowance{UID: 5}); err != nil {
		t.Fatal(err)
	}
	if err := b.add(subject{prefix: netip.MustParsePrefix("10.0.0.3/32")}, allowance{}); err != nil {
		t.Fatal(err)
	}
	b.remove(subject{prefix: netip.MustParsePrefix("10.0.0.3/32")})
	value, err := json.Marshal(allowance{UID: 7})
	if err != nil {
		t.Fatal(err)
	}
	for _, key := range []string{"allow/10.0.0.2/32", "allow/10.0.0.3/32", "allow/10.0.0.4/32", "allow/0.0.0.0/0", "allow/non sense", "allow/Pbx.example", "allow/pbx.example", "other/10.0.0.5/32"} {
		if err := b.load(journal.Row{Key: []byte(key), Value: value}); err != nil {
			t.Error(err)
		}
	}
	if err := b.load(journal.Row{Key: []byte("allow/10.0.0.6/32"), Value: []byte("nonsense")}); err != nil {
		t.Error(err)
	}
	got := ""
	for p, n := range b.byWhom {
		got += fmt.Sprintf("%s %d ", p, n.UID)
	}
	if len(b.byWhom) != 3 || !strings.Contains(got, "pbx.example 7 ") || !strings.Contains(got, "10.0.0.2/32 5 ") || !strings.Contains(got, "10.0.0.4/32 7 ") {
		t.Errorf("loaded %s", got)
	}
}

// A wall clock that is set neither ends nor prolongs what is allowed for a time; what the journal has moves along, so that a
// restart does not either.
func TestAllowWhileTheClockIsSet(t *testing.T) {
	wall, now := time.Unix(1e9, 0).UTC(), int64(1e18)
	for _, step := range []time.Duration{24 * time.Hour, -24 * time.Hour, -31 * 365 * 24 * time.Hour} {
		var a allowances
		whom := subject{prefix: netip.MustParsePrefix("203.0.113.5/32")}
		if err := a.add(whom, allowance{Until: wall.Add(2 * time.Hour), until: now + int64(2*time.Hour)}); err != nil {
			t.Fatal(err)
		}
		a.save(func([]journal.Row) bool { return true })
		if over := a.expire(wall.Add(time.Hour+step), now+int64(time.Hour)); len(over) != 0 {
			t.Errorf("%v: over after an hour of two", step)
		}
		var saved allowance
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
