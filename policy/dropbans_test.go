package policy

import (
	"net/netip"
	"reflect"
	"testing"
)

// Whoever only watched knows the scores, and holds no ban against anybody that was never made.
func TestDropBans(t *testing.T) {
	for _, tt := range []struct {
		struck bool
		strike int // of the next ban
	}{{true, 1}, {false, 2}} {
		l := newLab(t)
		l.scan("203.0.113.5")
		l.scan(host6(0))
		if v := l.got[0]; v.Action != ActionBan || v.Strike != 1 {
			t.Fatalf("got %v", l.told())
		}

		l.e.DropBans(tt.struck)
		for b := range l.e.Bans() {
			t.Errorf("struck %v: left %+v", tt.struck, b)
		}
		if s := l.e.Stats(); s.Bans != 0 || s.Observed != 0 || s.Sources == 0 {
			t.Errorf("struck %v: %+v", tt.struck, s)
		}

		// A second address of the prefix would be a second offender of the first.
		n := l.e.networks.Val(l.e.networks.Get(hostKey(netip.MustParseAddr(host6(0))).masked(64)))
		if (n.offenders == 0) != tt.struck {
			t.Errorf("struck %v: %d offenders", tt.struck, n.offenders)
		}

		// The score is still there, so one attempt is enough.
		l.got = nil
		l.quiet()
		l.feed(event(KindInvalidAccountID, ServiceAMI, "203.0.113.5", "z", ""))
		if len(l.got) != 1 || l.got[0].Action != ActionBan || l.got[0].Strike != tt.strike {
			t.Errorf("struck %v: the next attempt: %v", tt.struck, l.told())
		}

		if err := l.e.bans.Check(); err != nil {
			t.Error(err)
		}
	}
}

// All that is left goes into the next log, although the log before had it.
func TestDropBansGoesIntoAnotherLog(t *testing.T) {
	l := newLab(t)
	l.feed(registered("203.0.113.77"))
	l.scan("203.0.113.5")
	var before, after saved
	before.all(l.e)
	if out, n := l.e.Changes(nil, 100); n != 0 {
		t.Fatalf("%d changed entries are left, %d bytes", n, len(out))
	}

	l.e.DropBans(true)
	after.stop(l.e)
	again, got := after.recall(t, l.e.opt, l.now)
	if got.Damaged+got.Foreign+got.Dropped != 0 {
		t.Errorf("recalled %+v", got)
	}
	for _, text := range []string{"203.0.113.77", "203.0.113.5"} {
		a := netip.MustParseAddr(text)
		if want, is := l.e.Explain(a), again.Explain(a); !reflect.DeepEqual(is, want) {
			t.Errorf("%s: got %+v, want %+v", text, is, want)
		}
	}
}
