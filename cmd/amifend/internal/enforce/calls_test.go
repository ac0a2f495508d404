package enforce

import (
	"context"
	"fmt"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"github.com/amifend/amifend/cmd/amifend/internal/enforce/enforcetest"
)

// The list of bans is made in parts, while bans come and go.
func TestWalk(t *testing.T) {
	inWorkshop(t, func(t *testing.T, w *workshop) {
		const many = 5 * walkMost
		for i := range many {
			w.order(fmt.Sprintf("10.%d.%d.%d/32", i>>16, i>>8&255, i&255), all, time.Hour)
		}
		w.order("203.0.113.1/32", sip, time.Minute)
		w.kernel.Set(func() { w.kernel.Packets[enforcetest.Key("203.0.113.1/32", sip)] = 7 })
		listed, err := w.each(t)
		if err != nil || len(listed) != many+1 {
			t.Fatalf("%d bans, %v", len(listed), err)
		}
		seen := map[netip.Prefix]bool{}
		for _, b := range listed {
			if seen[b.Prefix] || b.State != InKernel {
				t.Fatalf("ban %+v", b)
			}
			seen[b.Prefix] = true
		}
		if n, ok := w.Counters(t.Context())[enforcetest.Key("203.0.113.1/32", sip)]; !ok || n != 7 {
			t.Errorf("%d packets, %v", n, ok)
		}
		w.pass(2 * time.Minute)
		if listed, err := w.each(t); err != nil || len(listed) != many {
			t.Errorf("%d bans after one has ended, %v", len(listed), err)
		}
	})
}

// each returns all bans.
func (w *workshop) each(t *testing.T) (out []Ban, err error) {
	t.Helper()
	err = w.Each(t.Context(), func(part []Ban) {
		if len(part) > walkMost {
			t.Errorf("%d bans at a time", len(part))
		}
		out = append(out, part...)
	})
	return out, err
}

// What the kernel counts of a ban is compared with the reading before, whoever made that one.
func TestDrops(t *testing.T) {
	inWorkshop(t, func(t *testing.T, w *workshop) {
		addr, k := netip.MustParseAddr("203.0.113.1"), enforcetest.Key("203.0.113.1/32", all)
		read := func(packets uint64) *Drops {
			t.Helper()
			w.kernel.Set(func() { w.kernel.Packets[k] = packets })
			covering, err := w.Covering(t.Context(), addr)
			if err != nil || len(covering) != 1 {
				t.Fatalf("%+v, %v", covering, err)
			}
			return covering[0].Drops
		}
		w.order("203.0.113.1/32", all, 24*time.Hour)
		if d := read(40); *d != (Drops{Packets: 40}) {
			t.Errorf("at first: %+v", d)
		}
		w.pass(3 * time.Second)
		if d := read(43); *d != (Drops{Packets: 43, Lately: 3, Span: 3 * time.Second}) {
			t.Errorf("3 s later: %+v", d)
		}

		w.pass(time.Minute)
		w.Counters(t.Context()) // a list of all bans is a reading, too
		w.pass(time.Second)
		if d := read(50); *d != (Drops{Packets: 50, Lately: 7, Span: time.Second}) {
			t.Errorf("after a list: %+v", d)
		}

		w.pass(time.Minute)
		w.order("203.0.113.1/32", all, 48*time.Hour) // a new element: its counter is another
		if d := read(1); *d != (Drops{Packets: 1}) {
			t.Errorf("of a new element: %+v", d)
		}
		w.pass(time.Second)
		if d := read(0); *d != (Drops{}) { // somebody else made a new one
			t.Errorf("of one that counts from 0 again: %+v", d)
		}
		w.kernel.Set(func() { w.kernel.Uncount = true })
		if d := read(0); d != nil {
			t.Errorf("without counters: %+v", d)
		}
	})
}

// A comparison that nobody waits for in the end does not keep the next one from being answered.
func TestCompareAnswersAllWhoWait(t *testing.T) {
	inWorkshop(t, func(t *testing.T, w *workshop) {
		w.kernel.Set(func() { w.comparison.journal = newPlayed() })
		gone, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := w.Compare(gone); err == nil {
			t.Error("answered although nobody waits")
		}
		synctest.Wait() // it may be made all the same
		w.kernel.Set(func() { w.kernel.Elems[keyed("192.0.2.1/32")] = time.Now().Add(time.Hour) })
		if c, err := w.Compare(t.Context()); err != nil || c.Failed != "" || c.Found != (Differences{Adopted: 1}) {
			t.Errorf("%+v, %v", c, err)
		}
		if c, err := w.Compare(t.Context()); err != nil || c.Failed != "" || c.Found != (Differences{}) {
			t.Errorf("again: %+v, %v", c, err)
		}
	})
}
