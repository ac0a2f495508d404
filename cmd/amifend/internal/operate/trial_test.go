package operate_test

import (
	"context"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/amifend/amifend/cmd/amifend/internal/control"
)

// A trial's bans end with it in the kernel by themselves, older ones do not, and from then on
// nobody is banned.
func TestTrialEnds(t *testing.T) {
	onTrial(t, 10*time.Minute, func(t *testing.T, o *office) {
		r := o.impose(t, "203.0.113.2/32", "all", time.Hour)
		if left := time.Until(r.Until).Round(time.Second); left != 10*time.Minute ||
			r.State != control.StateInKernel {
			t.Errorf("%+v, ends in %v", r, left)
		}

		o.impose(t, "203.0.113.3/32", "all", time.Minute)

		// This one replaces an older ban, which was for two hours.
		o.impose(t, "203.0.113.1/32", "sip", 5*time.Hour)
		o.attempts("203.0.113.7", 7)
		o.wantKernel(t, "203.0.113.1 sip", "203.0.113.2 all", "203.0.113.3 all", "203.0.113.7 all")
		st, err := o.Status(t.Context())
		if err != nil || st.Trial == nil || st.Trial.Over || st.Trial.Bans != 4 ||
			len(st.Health) != 1 || !strings.Contains(st.Health[0].Do, "amifend keep") {
			t.Errorf("%+v %+v, %v", st.Trial, st.Health, err)
		}

		time.Sleep(2 * time.Minute)
		o.wantKernel(t, "203.0.113.1 sip", "203.0.113.2 all", "203.0.113.7 all")
		time.Sleep(8*time.Minute + time.Second)
		o.wantKernel(t, "203.0.113.1 sip")

		o.attempts("203.0.113.8", 7)
		r = o.impose(t, "203.0.113.9/32", "all", time.Hour)
		if r.State != control.StateDry {
			t.Errorf("banned after the trial: %+v", r)
		}

		o.wantKernel(t, "203.0.113.1 sip")
		l := o.said.Count(t, 1, "would ban", "203.0.113.8")[0]
		if !strings.Contains(l.Text("trial"), "amifend keep") {
			t.Errorf("said %v", l)
		}

		o.said.Count(t, 1, "the trial is over, and nobody has said amifend keep: its bans have "+
			"ended, and amifend only watches", "")
		if st, err = o.Status(t.Context()); err != nil || st.Trial == nil || !st.Trial.Over ||
			!strings.Contains(st.Health[0].What, "nobody is banned now") {
			t.Errorf("%+v %+v, %v", st.Trial, st.Health, err)
		}

		list, err := o.Bans(t.Context(), control.BanQuery{})
		bans := list.Bans
		dry := 0
		for _, b := range bans {
			if b.State == control.StateDry {
				dry++
			}
		}

		if err != nil || dry != 5 { // 1 for longer, 2, 7, 8 and 9; 3 would have ended
			t.Errorf("%d of %+v, %v", dry, bans, err)
		}

		time.Sleep(2 * time.Hour)
		o.wantKernel(t)
	})
}

// keep gives the bans their whole time, in the trial and after it, but not those that were lifted
// or have ended.
func TestTrialIsKept(t *testing.T) {
	for name, after := range map[string]time.Duration{
		"in time": 5 * time.Minute, "late": 15 * time.Minute,
	} {
		t.Run(name, func(t *testing.T) {
			onTrial(t, 10*time.Minute, func(t *testing.T, o *office) {
				o.impose(t, "203.0.113.2/32", "all", time.Hour)
				o.impose(t, "203.0.113.3/32", "all", time.Minute)
				o.impose(t, "203.0.113.4/32", "all", time.Hour)
				time.Sleep(after)
				if _, err := o.Unban(t.Context(), control.Peer{},
					netip.MustParsePrefix("203.0.113.4/32")); err != nil {
					t.Error(err)
				}

				k, err := o.Keep(t.Context(), control.Peer{UID: 1000})
				if err != nil || k.Bans != 1 {
					t.Fatalf("%+v, %v", k, err)
				}
				if _, err := o.Keep(t.Context(), control.Peer{}); control.CodeOf(err) !=
					control.CodeNoTrial {
					t.Errorf("again: %v", err)
				}

				o.wantKernel(t, "203.0.113.1 sip", "203.0.113.2 all")
				if st, err := o.Status(t.Context()); err != nil || st.Trial != nil ||
					len(st.Health) != 0 {
					t.Errorf("%+v %+v, %v", st.Trial, st.Health, err)
				}

				r := o.impose(t, "203.0.113.5/32", "all", time.Hour)
				if left := time.Until(r.Until).Round(time.Second); left != time.Hour ||
					r.State != control.StateInKernel {
					t.Errorf("a ban after it: %+v", r)
				}

				time.Sleep(59*time.Minute - after)
				o.wantKernel(t, "203.0.113.1 sip", "203.0.113.2 all", "203.0.113.5 all")
				time.Sleep(2 * time.Minute)
				o.wantKernel(t, "203.0.113.1 sip", "203.0.113.5 all")
			})
		})
	}
}

func TestKeepWithoutATrial(t *testing.T) {
	inOffice(t, func(t *testing.T, o *office) {
		if _, err := o.Keep(t.Context(), control.Peer{}); control.CodeOf(err) !=
			control.CodeNoTrial {
			t.Errorf("%v", err)
		}
	})
}

// Who asks for a reload or to keep a trial's bans may go: it is done whole.
func TestKeepOutlastsWhoAsked(t *testing.T) {
	onTrial(t, 10*time.Minute, func(t *testing.T, o *office) {
		o.impose(t, "203.0.113.2/32", "all", time.Hour)
		gone, cancel := context.WithCancel(t.Context())
		cancel()
		if k, err := o.Keep(gone, control.Peer{}); err != nil || k.Bans != 1 {
			t.Errorf("%+v, %v", k, err)
		}

		time.Sleep(20 * time.Minute)
		o.wantKernel(t, "203.0.113.1 sip", "203.0.113.2 all")
	})
}
