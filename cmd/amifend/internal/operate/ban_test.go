package operate_test

import (
	"errors"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/amifend/amifend/cmd/amifend/internal/control"
)

func TestOperatorBans(t *testing.T) {
	inOffice(t, func(t *testing.T, o *office) {
		b := newBanOf("203.0.113.5/32", "all", 2*time.Hour)
		b.Reason = "calls \x1b[2J from abroad"
		res, err := o.Ban(t.Context(), control.Peer{UID: 1000}, []control.NewBan{
			b, newBanOf("203.0.113.6/32", "sip", 0),
			newBanOf("2001:db8::/64", "all", time.Minute),
		})
		if err != nil || len(res) != 3 {
			t.Fatalf("%+v, %v", res, err)
		}

		for i, want := range []time.Duration{2 * time.Hour, time.Hour, time.Minute} {
			if r := res[i]; r.Error != nil || r.State != control.StateInKernel ||
				time.Until(r.Until).Round(time.Second) != want {
				t.Errorf("result %+v, want %v", r, want)
			}
		}

		got := o.kernel.Has()
		if !slices.Equal(got, []string{"2001:db8::/64 all", "203.0.113.5 all", "203.0.113.6 sip"}) {
			t.Errorf("the kernel has %q", got)
		}

		l := o.said.Count(t, 1, "banned", "203.0.113.5")[0]
		if l.Text("rule") != "operator" ||
			l.Text("evidence") != control.Operator(1000, "")+`: "calls \x1b[2J from abroad"` ||
			l.Text("for") != "2h0m0s" {
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
			res, err := o.Ban(t.Context(), control.Peer{UID: 7}, []control.NewBan{b})
			if err != nil || res[0].Error != nil {
				t.Fatalf("%+v, %v", res, err)
			}
		}

		ban("203.0.113.5/32", "sip", 24*time.Hour, false)
		ban("203.0.113.5/32", "all", time.Minute, false)
		ban("203.0.113.6/32", "sip", 24*time.Hour, false)

		// What was decided elsewhere shortens nothing.
		ban("203.0.113.6/32", "all", time.Minute, true)
		got := o.kernel.Has()
		if !slices.Equal(got, []string{"203.0.113.5 all", "203.0.113.6 all", "203.0.113.6 sip"}) {
			t.Errorf("the kernel has %q", got)
		}
	})
}

func TestOperatorBansRefused(t *testing.T) {
	inOffice(t, func(t *testing.T, o *office) {
		for name, tt := range map[string]struct {
			ban        control.NewBan
			code, says string
		}{
			"protected": {
				newBanOf("198.51.100.7/32", "all", time.Hour), control.CodeProtected,
				"must not be banned: allowlist",
			},
			"loopback": {
				newBanOf("127.0.0.1/32", "all", time.Hour), control.CodeProtected,
				"must not be banned",
			},
			"no length": {
				newBanOf("203.0.112.0/23", "all", time.Hour), control.CodeBadRequest,
				"cannot be banned; those of /32, /24 can",
			},
			"all": {
				newBanOf("0.0.0.0/0", "all", time.Hour), control.CodeBadRequest, "cannot be banned",
			},
			"no scope": {
				newBanOf("203.0.113.5/32", "", time.Hour), control.CodeBadRequest,
				"write all or sip",
			},
			"too long": {
				newBanOf("203.0.113.5/32", "all", 31*24*time.Hour), control.CodeBadRequest,
				"ban_max, which is 30d",
			},
			"negative": {
				newBanOf("203.0.113.5/32", "all", -time.Hour), control.CodeBadRequest, "may last",
			},
			"no prefix": {control.NewBan{Scope: "all"}, control.CodeBadRequest, "is not a prefix"},
			"a long story": {
				control.NewBan{
					Prefix: netip.MustParsePrefix("203.0.113.5/32"), Scope: "all",
					Reason: strings.Repeat("x", 201),
				}, control.CodeBadRequest, "longer than 200",
			},
		} {
			res, err := o.Ban(t.Context(), control.Peer{}, []control.NewBan{tt.ban})
			if err != nil || len(res) != 1 || res[0].Error == nil || res[0].Error.Code != tt.code ||
				!strings.Contains(res[0].Error.Message, tt.says) {
				t.Errorf("%s: %+v, %v", name, res, err)
			}
		}

		if got := o.kernel.Has(); len(got) != 0 {
			t.Errorf("the kernel has %q", got)
		}
	})
}

// While the kernel refuses, the answer says that it does not have it yet; it gets it later.
func TestOperatorIsToldOfAFailingKernel(t *testing.T) {
	inOffice(t, func(t *testing.T, o *office) {
		o.kernel.Set(func() { o.kernel.Broken = errors.New("the kernel is broken") })
		res, err := o.Ban(t.Context(), control.Peer{}, []control.NewBan{
			newBanOf("203.0.113.5/32", "all", time.Hour),
		})
		if err != nil || res[0].Error != nil || res[0].State != control.StatePending {
			t.Fatalf("%+v, %v", res, err)
		}
		if st, _ := o.Status(t.Context()); st.Firewall.State != "failing" ||
			!strings.Contains(st.Firewall.Error, "broken") ||
			len(st.Health) == 0 {
			t.Errorf("status %+v", st)
		}

		o.kernel.Set(func() { o.kernel.Broken = nil })
		time.Sleep(time.Minute)
		synctest.Wait()
		if got := o.kernel.Has(); !slices.Equal(got, []string{"203.0.113.5 all"}) {
			t.Errorf("the kernel has %q", got)
		}
	})
}
