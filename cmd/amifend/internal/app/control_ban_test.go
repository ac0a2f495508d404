package app

import (
	"context"
	"errors"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/amifend/amifend/cmd/amifend/internal/control"
	"github.com/amifend/amifend/cmd/amifend/internal/protect"
	"github.com/amifend/amifend/firewall"
	"github.com/amifend/amifend/policy"
)

// office is a desk at work on a fake kernel, within a synctest bubble.
type office struct {
	*desk
	kernel *fakeTable
	said   interface {
		count(t *testing.T, n int, msg, source string) []logLine
	}
}

func inOffice(t *testing.T, test func(t *testing.T, o *office)) {
	synctest.Test(t, func(t *testing.T) {
		said, log := newJournal()
		p := newPath(t, log)
		kernel := newFakeTable()
		p.enforcer.table, p.table = kernel, kernel
		o := &office{newDesk(p.daemon, protect.New(protect.Config{})), kernel, said}
		o.Config.Policy = policy.DefaultOptions()
		ctx, cancel := context.WithCancel(t.Context())
		judge, enforcer := make(chan struct{}), make(chan struct{})
		go func() { defer close(judge); p.judge.run() }()
		go func() { defer close(enforcer); p.enforcer.run(ctx) }()
		defer func() {
			close(p.in)
			<-judge
			cancel()
			<-enforcer
		}()
		synctest.Wait()
		test(t, o)
	})
}

func newBanOf(prefix, scope string, d time.Duration) control.NewBan {
	return control.NewBan{Prefix: netip.MustParsePrefix(prefix), Scope: scope, For: d.Seconds()}
}

func TestOperatorBans(t *testing.T) {
	inOffice(t, func(t *testing.T, o *office) {
		b := newBanOf("203.0.113.5/32", "all", 2*time.Hour)
		b.Reason = "calls \x1b[2J from abroad"
		res, err := o.Ban(t.Context(), control.Peer{UID: 1000}, []control.NewBan{b, newBanOf("203.0.113.6/32", "sip", 0), newBanOf("2001:db8::/64", "all", time.Minute)})
		if err != nil || len(res) != 3 {
			t.Fatalf("%+v, %v", res, err)
		}
		for i, want := range []time.Duration{2 * time.Hour, time.Hour, time.Minute} {
			if r := res[i]; r.Error != nil || r.State != control.StateInKernel || time.Until(r.Until).Round(time.Second) != want {
				t.Errorf("result %+v, want %v", r, want)
			}
		}
		if got := o.kernel.has(); !slices.Equal(got, []string{"2001:db8::/64 all", "203.0.113.5 all", "203.0.113.6 sip"}) {
			t.Errorf("the kernel has %q", got)
		}
		l := o.said.count(t, 1, "banned", "203.0.113.5")[0]
		if l.text("rule") != "operator" || l.text("evidence") != `uid 1000: "calls \x1b[2J from abroad"` || l.text("for") != "2h0m0s" {
			t.Errorf("said %v", l)
		}
	})
}

// An operator's ban replaces one of a smaller scope, too, that would last longer.
func TestOperatorShortensABanOfTheSIPPorts(t *testing.T) {
	inOffice(t, func(t *testing.T, o *office) {
		ban := func(prefix, scope string, d time.Duration, imported bool) {
			b := newBanOf(prefix, scope, d)
			b.Import = imported
			if res, err := o.Ban(t.Context(), control.Peer{UID: 7}, []control.NewBan{b}); err != nil || res[0].Error != nil {
				t.Fatalf("%+v, %v", res, err)
			}
		}
		ban("203.0.113.5/32", "sip", 24*time.Hour, false)
		ban("203.0.113.5/32", "all", time.Minute, false)
		ban("203.0.113.6/32", "sip", 24*time.Hour, false)
		ban("203.0.113.6/32", "all", time.Minute, true) // what was decided elsewhere shortens nothing
		if got := o.kernel.has(); !slices.Equal(got, []string{"203.0.113.5 all", "203.0.113.6 all", "203.0.113.6 sip"}) {
			t.Errorf("the kernel has %q", got)
		}
	})
}

func TestOperatorBansRefused(t *testing.T) {
	inOffice(t, func(t *testing.T, o *office) {
		o.judge.masked.protected = newProtected(protect.Set{Entries: []protect.Entry{{Prefix: netip.MustParsePrefix("198.51.100.0/24"), Reason: "allowlist"}}})
		for name, tt := range map[string]struct {
			ban        control.NewBan
			code, says string
		}{
			"protected":    {newBanOf("198.51.100.7/32", "all", time.Hour), control.CodeProtected, "must not be banned: allowlist"},
			"loopback":     {newBanOf("127.0.0.1/32", "all", time.Hour), control.CodeProtected, "must not be banned"},
			"no length":    {newBanOf("203.0.112.0/23", "all", time.Hour), control.CodeBadRequest, "cannot be banned; those of /32, /24 can"},
			"all":          {newBanOf("0.0.0.0/0", "all", time.Hour), control.CodeBadRequest, "cannot be banned"},
			"no scope":     {newBanOf("203.0.113.5/32", "", time.Hour), control.CodeBadRequest, "write all or sip"},
			"too long":     {newBanOf("203.0.113.5/32", "all", 31*24*time.Hour), control.CodeBadRequest, "ban_max, which is 30d"},
			"negative":     {newBanOf("203.0.113.5/32", "all", -time.Hour), control.CodeBadRequest, "may last"},
			"no prefix":    {control.NewBan{Scope: "all"}, control.CodeBadRequest, "is no prefix"},
			"a long story": {control.NewBan{Prefix: netip.MustParsePrefix("203.0.113.5/32"), Scope: "all", Reason: strings.Repeat("x", 201)}, control.CodeBadRequest, "longer than 200"},
		} {
			res, err := o.Ban(t.Context(), control.Peer{}, []control.NewBan{tt.ban})
			if err != nil || len(res) != 1 || res[0].Error == nil || res[0].Error.Code != tt.code || !strings.Contains(res[0].Error.Message, tt.says) {
				t.Errorf("%s: %+v, %v", name, res, err)
			}
		}
		if got := o.kernel.has(); len(got) != 0 {
			t.Errorf("the kernel has %q", got)
		}
	})
}

func TestUnban(t *testing.T) {
	one := netip.MustParsePrefix("203.0.113.5/32")
	for name, tt := range map[string]struct {
		within netip.Prefix
		lifted int
		left   []string
	}{
		"one":            {one, 1, []string{"198.51.100.9 sip", "2001:db8::/64 all", "203.0.113.6 sip"}},
		"a network":      {netip.MustParsePrefix("203.0.113.0/24"), 2, []string{"198.51.100.9 sip", "2001:db8::/64 all"}},
		"what covers it": {netip.MustParsePrefix("2001:db8::7/128"), 1, []string{"198.51.100.9 sip", "203.0.113.5 all", "203.0.113.6 sip"}},
		"all":            {netip.Prefix{}, 4, []string{}},
	} {
		t.Run(name, func(t *testing.T) {
			inOffice(t, func(t *testing.T, o *office) {
				by := control.Peer{UID: 7}
				if _, err := o.Ban(t.Context(), by, []control.NewBan{
					newBanOf("203.0.113.5/32", "all", time.Hour), newBanOf("203.0.113.6/32", "sip", time.Hour), newBanOf("2001:db8::/64", "all", time.Hour),
				}); err != nil {
					t.Fatal(err)
				}
				// One that the engine does not know, as after an adoption without room.
				b := testBan(o.clock, "198.51.100.9/32", firewall.ScopeSIP, time.Hour)
				o.enforcer.orders.put(b.Prefix, order{ban: &b})
				synctest.Wait()
				l, err := o.Unban(t.Context(), by, tt.within)
				if err != nil || l.Count != tt.lifted || len(l.Lifted) != tt.lifted || l.Pending != 0 {
					t.Fatalf("%+v, %v", l, err)
				}
				if got := o.kernel.has(); !slices.Equal(got, tt.left) {
					t.Errorf("the kernel has %q", got)
				}
				for _, p := range l.Lifted {
					if line := o.said.count(t, 1, "ban lifted", source(p))[0]; line.text("why") != "operator: uid 7" {
						t.Errorf("said %v", line)
					}
				}
			})
		})
	}
}

// Who is not banned cannot be unbanned, but what is held against him is forgotten.
func TestUnbanOfASuspect(t *testing.T) {
	inOffice(t, func(t *testing.T, o *office) {
		for range 6 {
			o.in <- attempt(o.clock, "203.0.113.5:5060", policy.Label{})
		}
		synctest.Wait()
		if _, err := o.Unban(t.Context(), control.Peer{}, netip.MustParsePrefix("203.0.113.5/32")); control.CodeOf(err) != control.CodeNotBanned {
			t.Errorf("error %v", err)
		}
		if l, err := o.Unban(t.Context(), control.Peer{}, netip.Prefix{}); err != nil || l.Count != 0 {
			t.Errorf("all of none: %+v, %v", l, err)
		}
	})
}

// While the kernel refuses, the answer says that it does not have it yet; it gets it later.
func TestOperatorIsToldOfAFailingKernel(t *testing.T) {
	inOffice(t, func(t *testing.T, o *office) {
		o.kernel.set(func() { o.kernel.broken = errors.New("the kernel is broken") })
		res, err := o.Ban(t.Context(), control.Peer{}, []control.NewBan{newBanOf("203.0.113.5/32", "all", time.Hour)})
		if err != nil || res[0].Error != nil || res[0].State != control.StatePending {
			t.Fatalf("%+v, %v", res, err)
		}
		if st, _ := o.Status(t.Context()); st.Firewall.State != "failing" || !strings.Contains(st.Firewall.Error, "broken") || len(st.Health) == 0 {
			t.Errorf("status %+v", st)
		}
		o.kernel.set(func() { o.kernel.broken = nil })
		time.Sleep(time.Minute)
		synctest.Wait()
		if got := o.kernel.has(); !slices.Equal(got, []string{"203.0.113.5 all"}) {
			t.Errorf("the kernel has %q", got)
		}
	})
}
