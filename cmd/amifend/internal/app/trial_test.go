package app

import (
	"net/netip"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/amifend/amifend/cmd/amifend/internal/config"
	"github.com/amifend/amifend/cmd/amifend/internal/control"
	"github.com/amifend/amifend/policy"
)

// onTrial is an office whose trial begins, with an older ban of 203.0.113.1 for two hours.
func onTrial(t *testing.T, d time.Duration, test func(t *testing.T, o *office)) {
	inOffice(t, func(t *testing.T, o *office) {
		o.impose(t, "203.0.113.1/32", "sip", 2*time.Hour)
		o.Trial = d
		_, err := ask(t.Context(), o.judge.asks, askJudge, func() bool { o.judge.begin(o.clock.now(), d); return true })
		if err != nil {
			t.Fatal(err)
		}
		test(t, o)
	})
}

func (o *office) impose(t *testing.T, prefix, scope string, d time.Duration) control.BanResult {
	t.Helper()
	res, err := o.Ban(t.Context(), control.Peer{UID: 1000}, []control.NewBan{newBanOf(prefix, scope, d)})
	if err != nil || res[0].Error != nil {
		t.Fatalf("%+v, %v", res, err)
	}
	return res[0]
}

// attempts has an address fail over TCP, each time on another account.
func (o *office) attempts(addr string, n int) {
	for range n {
		o.in <- attempt(o.clock, addr+":5060", policy.Label{})
	}
	synctest.Wait()
}

func (o *office) wantKernel(t *testing.T, elements ...string) {
	t.Helper()
	if got := o.kernel.has(); !slices.Equal(got, elements) {
		t.Errorf("the kernel has %q, want %q", got, elements)
	}
}

// A trial's bans end with it in the kernel by themselves, older ones do not, and from then on nobody is banned.
func TestTrialEnds(t *testing.T) {
	onTrial(t, 10*time.Minute, func(t *testing.T, o *office) {
		r := o.impose(t, "203.0.113.2/32", "all", time.Hour)
		if left := time.Until(r.Until).Round(time.Second); left != 10*time.Minute || r.State != control.StateInKernel {
			t.Errorf("%+v, ends in %v", r, left)
		}
		o.impose(t, "203.0.113.3/32", "all", time.Minute)
		o.impose(t, "203.0.113.1/32", "sip", 5*time.Hour) // it replaces an older ban: that was for two hours
		o.attempts("203.0.113.7", 7)
		o.wantKernel(t, "203.0.113.1 sip", "203.0.113.2 all", "203.0.113.3 all", "203.0.113.7 all")
		st, err := o.Status(t.Context())
		if err != nil || st.Trial == nil || st.Trial.Over || st.Trial.Bans != 4 || len(st.Health) != 1 || !strings.Contains(st.Health[0].Do, "amifend keep") {
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
		if l := o.said.count(t, 1, "would ban", "203.0.113.8")[0]; !strings.Contains(l.text("trial"), "amifend keep") {
			t.Errorf("said %v", l)
		}
		o.said.count(t, 1, "the trial is over, and nobody has said amifend keep: its bans have ended, and amifend only watches", "")
		if st, err = o.Status(t.Context()); err != nil || st.Trial == nil || !st.Trial.Over || !strings.Contains(st.Health[0].What, "nobody is banned now") {
			t.Errorf("%+v %+v, %v", st.Trial, st.Health, err)
		}
		bans, err := o.Bans(t.Context())
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

// keep gives the bans their whole time, in the trial and after it, but not those that were lifted or have ended.
func TestTrialIsKept(t *testing.T) {
	for name, after := range map[string]time.Duration{"in time": 5 * time.Minute, "late": 15 * time.Minute} {
		t.Run(name, func(t *testing.T) {
			onTrial(t, 10*time.Minute, func(t *testing.T, o *office) {
				o.impose(t, "203.0.113.2/32", "all", time.Hour)
				o.impose(t, "203.0.113.3/32", "all", time.Minute)
				o.impose(t, "203.0.113.4/32", "all", time.Hour)
				time.Sleep(after)
				if _, err := o.Unban(t.Context(), control.Peer{}, netip.MustParsePrefix("203.0.113.4/32")); err != nil {
					t.Error(err)
				}
				k, err := o.Keep(t.Context(), control.Peer{UID: 1000})
				if err != nil || k.Bans != 1 {
					t.Fatalf("%+v, %v", k, err)
				}
				if _, err := o.Keep(t.Context(), control.Peer{}); control.CodeOf(err) != control.CodeNoTrial {
					t.Errorf("again: %v", err)
				}
				o.wantKernel(t, "203.0.113.1 sip", "203.0.113.2 all")
				if st, err := o.Status(t.Context()); err != nil || st.Trial != nil || len(st.Health) != 0 {
					t.Errorf("%+v %+v, %v", st.Trial, st.Health, err)
				}
				r := o.impose(t, "203.0.113.5/32", "all", time.Hour)
				if left := time.Until(r.Until).Round(time.Second); left != time.Hour || r.State != control.StateInKernel {
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
		if _, err := o.Keep(t.Context(), control.Peer{}); control.CodeOf(err) != control.CodeNoTrial {
			t.Errorf("%v", err)
		}
	})
}

// In the real kernel a trial's ban ends with it, and what is watched from then on does not come back by a reconciliation or a flush.
func TestTrialEndsInTheKernel(t *testing.T) {
	s := newSite(t, 1)
	s.config.State = config.State{Directory: t.TempDir(), Retain: 24 * time.Hour, MaxSize: 1 << 24}
	s.trial = 2 * time.Second
	c := s.withControl(t)
	r := s.start(t)
	ready(t, c)
	table := s.table(t)
	guess(s.pbxs[0], "203.0.113.6:5062", "TCP", 4)
	r.wait(t, "banned", "203.0.113.6")
	if el := s.element(t, table, "203.0.113.6/32", all); el == nil || el.Expires > 2*time.Second {
		t.Fatalf("in the trial the kernel has %+v", el)
	}
	eventually(t, "the ban ends", func() bool { return s.element(t, table, "203.0.113.6/32", all) == nil })
	r.wait(t, "the trial is over, and nobody has said amifend keep: its bans have ended, and amifend only watches", "")
	guess(s.pbxs[0], "203.0.113.7:5062", "TCP", 4)
	r.wait(t, "would ban", "203.0.113.7")
	if _, err := table.Remove(t.Context()); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the table is laid out again", func() bool {
		_, err := table.Bans(t.Context())
		return err == nil
	})
	l, err := c.Bans(t.Context(), control.BanQuery{})
	if err != nil || len(l.Bans) != 2 || l.Bans[0].State != control.StateDry || l.Bans[1].State != control.StateDry {
		t.Errorf("%+v, %v", l, err)
	}
	if elements, err := table.Bans(t.Context()); err != nil || len(elements) != 0 {
		t.Errorf("the kernel has %+v, %v", elements, err)
	}
	if k, err := c.Keep(t.Context()); err != nil || k.Bans != 2 {
		t.Errorf("%+v, %v", k, err)
	}
	if elements, err := table.Bans(t.Context()); err != nil || len(elements) != 2 {
		t.Errorf("kept: the kernel has %+v, %v", elements, err)
	}
}

// A trial's ban ends with it also when amifend did not live to see that: kernel and journal know no other end. What was kept
// stays over a restart.
func TestTrialSurvivesACrash(t *testing.T) {
	s := newSite(t, 1)
	s.config.State = config.State{Directory: t.TempDir(), Retain: 24 * time.Hour, MaxSize: 1 << 24}
	s.trial = 10 * time.Minute
	c := s.withControl(t)
	ends := func(address string) time.Duration {
		t.Helper()
		x, err := c.Explain(t.Context(), netip.MustParseAddr(address))
		if err != nil || len(x.Bans) != 1 || len(x.Past) == 0 {
			t.Fatalf("%s: %+v, %v", address, x, err)
		}
		if x.Past[0].Until.Sub(x.Bans[0].Until).Abs() > 2*time.Second {
			t.Errorf("the journal has %v, the ledger %v", x.Past[0].Until, x.Bans[0].Until)
		}
		return time.Until(x.Bans[0].Until).Round(time.Minute)
	}
	r := s.start(t)
	ready(t, c)
	guess(s.pbxs[0], "203.0.113.6:5062", "TCP", 4)
	r.wait(t, "banned", "203.0.113.6")
	if got := ends("203.0.113.6"); got != 10*time.Minute {
		t.Errorf("in the trial: %v", got)
	}
	r.stop(t)

	s.trial = 0
	r = s.start(t)
	ready(t, c)
	if got := ends("203.0.113.6"); got != 10*time.Minute {
		t.Errorf("after a restart: %v", got)
	}
	r.stop(t)

	s.trial = 5 * time.Minute
	r = s.start(t)
	ready(t, c)
	if got := ends("203.0.113.6"); got != 10*time.Minute {
		t.Errorf("an older ban in a new trial: %v", got)
	}
	guess(s.pbxs[0], "203.0.113.7:5062", "TCP", 4)
	r.wait(t, "banned", "203.0.113.7")
	if got := ends("203.0.113.7"); got != 5*time.Minute {
		t.Errorf("in the second trial: %v", got)
	}
	if k, err := c.Keep(t.Context()); err != nil || k.Bans != 1 || k.Note != "" {
		t.Fatalf("%+v, %v", k, err)
	}
	if el := s.element(t, s.table(t), "203.0.113.7/32", all); el == nil || el.Expires.Round(time.Minute) != time.Hour {
		t.Errorf("kept: the kernel has %+v", el)
	}
	r.stop(t)

	s.trial = 0
	s.start(t)
	ready(t, c)
	if got := ends("203.0.113.7"); got != time.Hour {
		t.Errorf("kept, after a restart: %v", got)
	}
}
