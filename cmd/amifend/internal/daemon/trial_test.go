package daemon

import (
	"net/netip"
	"testing"
	"time"

	"github.com/amifend/amifend/cmd/amifend/internal/config"
	"github.com/amifend/amifend/cmd/amifend/internal/control"
)

// In the real kernel a trial's ban ends with it, and what is watched from then on does not come
// back by a reconciliation or a flush.
func TestTrialEndsInTheKernel(t *testing.T) {
	s := newSite(t, 1)
	s.config.State = config.State{Directory: t.TempDir(), Retain: 24 * time.Hour, MaxSize: 1 << 24}
	s.trial = 2 * time.Second
	c := s.withControl(t)
	r := s.start(t)
	ready(t, c)
	table := s.table(t)
	guess(s.pbxs[0], "203.0.113.6:5062", "TCP", 4)
	r.Wait(t, "banned", "203.0.113.6")
	if el := s.element(t, table, "203.0.113.6/32", all); el == nil || el.Expires > 2*time.Second {
		t.Fatalf("in the trial the kernel has %+v", el)
	}

	eventually(t, "the ban ends", func() bool {
		return s.element(t, table, "203.0.113.6/32", all) == nil
	})
	r.Wait(t, "the trial is over, and nobody has said amifend keep: its bans have ended, and "+
		"amifend only watches", "")
	guess(s.pbxs[0], "203.0.113.7:5062", "TCP", 4)
	r.Wait(t, "would ban", "203.0.113.7")
	if _, err := table.Remove(t.Context()); err != nil {
		t.Fatal(err)
	}

	eventually(t, "the table is laid out again", func() bool {
		_, err := table.Bans(t.Context())
		return err == nil
	})
	l, err := c.Bans(t.Context(), control.BanQuery{})
	if err != nil || len(l.Bans) != 2 || l.Bans[0].State != control.StateDry ||
		l.Bans[1].State != control.StateDry {
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

// A trial's ban ends with it also when amifend did not live to see that: kernel and journal know no
// other end. What was kept stays over a restart.
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
	r.Wait(t, "banned", "203.0.113.6")
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
	r.Wait(t, "banned", "203.0.113.7")
	if got := ends("203.0.113.7"); got != 5*time.Minute {
		t.Errorf("in the second trial: %v", got)
	}
	if k, err := c.Keep(t.Context()); err != nil || k.Bans != 1 || k.Note != "" {
		t.Fatalf("%+v, %v", k, err)
	}

	if el := s.element(t, s.table(t), "203.0.113.7/32", all); el == nil ||
		el.Expires.Round(time.Minute) != time.Hour {
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
