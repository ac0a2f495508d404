package app

import (
	"errors"
	"fmt"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"github.com/amifend/amifend/firewall"
)

const (
	all = firewall.ScopeAll
	sip = firewall.ScopeSIP
)

var errKernel = errors.New("no buffer space")

func TestBanIsToldAfterTheKernelHasIt(t *testing.T) {
	inWorkshop(t, func(t *testing.T, w *workshop) {
		var acked []Ban
		w.banned = func(b Ban) { acked = append(acked, b) }
		w.kernel.gate = make(chan struct{})
		w.order("192.0.2.1/32", sip, time.Hour)
		w.said.count(t, 0, "banned", "")
		if n := len(w.acks.take()); n != 0 || len(acked) != 0 {
			t.Fatalf("%d acknowledgements before the kernel's", n)
		}
		close(w.kernel.gate)
		synctest.Wait()
		w.want(t, "192.0.2.1 sip")
		l := w.said.count(t, 1, "banned", "192.0.2.1")[0]
		for k, v := range map[string]string{
			"scope": "sip", "rule": "score", "score": "4", "attempts": "4", "strike": "1", "for": "1h0m0s", "evidence": `pbx: InvalidAccountID "100"`,
			"undo": "amifend unban 192.0.2.1", "until": time.Now().Add(time.Hour).UTC().Format(time.RFC3339),
		} {
			if l.text(k) != v {
				t.Errorf("%s is %q, want %q", k, l.text(k), v)
			}
		}
		if len(acked) != 1 || acked[0].Evidence == "" {
			t.Errorf("told %v", acked)
		}
		if a, ok := w.acks.take()[netip.MustParsePrefix("192.0.2.1/32")]; !ok || a.scope != sip || a.at == 0 {
			t.Errorf("acknowledged %v", a)
		}
		if h := w.ledger.bans[key{netip.MustParsePrefix("192.0.2.1/32"), sip}]; h.Evidence != "" {
			t.Error("the evidence is kept for as long as the ban")
		}
	})
}

func TestLiftSurvivesFailures(t *testing.T) {
	inWorkshop(t, func(t *testing.T, w *workshop) {
		w.order("192.0.2.1/32", all, time.Hour)
		w.kernel.set(func() { w.kernel.fail = []error{errKernel, errKernel, errKernel} })
		w.lift("192.0.2.1/32")
		w.want(t, "192.0.2.1 all")
		w.said.count(t, 0, "ban lifted", "")
		w.pass(5 * time.Second)
		w.want(t)
		if l := w.said.count(t, 1, "ban lifted", "192.0.2.1")[0]; l.text("why") != "proved" || l.text("scope") != "all" {
			t.Errorf("said %v", l)
		}
		w.said.count(t, 1, "banned", "192.0.2.1") // restored silently
	})
}

// A failing kernel is not asked more often because an attacker causes bans.
func TestBackoffWhateverComesIn(t *testing.T) {
	inWorkshop(t, func(t *testing.T, w *workshop) {
		w.kernel.set(func() { w.kernel.broken = errKernel })
		for i := range 2000 {
			w.order(fmt.Sprintf("192.0.%d.%d/32", i/250, i%250), sip, time.Hour)
			w.pass(10 * time.Millisecond)
		}
		if n := w.kernel.attempts; n < 5 || n > 10 { // 0.25 + 0.5 + 1 + 2 + 4 + 8 s
			t.Errorf("%d attempts in 20 s", n)
		}
		if n := len(w.said.said("firewall: cannot lay out the table", "")); n < 4 || n > 10 {
			t.Errorf("told %d times\n", n)
		}
		w.kernel.set(func() { w.kernel.broken = nil })
		w.pass(retryLast)
		if n := len(w.kernel.has()); n != 2000 {
			t.Errorf("%d of 2000 bans reached the kernel", n)
		}
		w.said.count(t, 2000, "banned", "")
		w.said.count(t, 1, "firewall restored", "")
	})
}

// Addresses that come and go while the table is gone do not keep it from being put back.
func TestAllowlistPutsNothingOff(t *testing.T) {
	inWorkshop(t, func(t *testing.T, w *workshop) {
		w.order("192.0.2.1/32", sip, time.Hour)
		w.kernel.set(func() {
			w.kernel.gone, w.kernel.elems, w.kernel.fail = true, map[key]time.Time{}, []error{errKernel, errKernel}
		})
		for i := range 100 {
			w.allow <- []netip.Prefix{netip.MustParsePrefix(fmt.Sprintf("203.0.113.%d/32", i))}
			w.pass(100 * time.Millisecond)
		}
		w.want(t, "192.0.2.1 sip")
		if n := len(w.said.said("firewall: cannot set the allowlist", "")); n > 1 {
			t.Errorf("told %d times", n)
		}
	})
}

func TestOrdersCoalesce(t *testing.T) {
	const p = "192.0.2.1/32"
	ban := func(w *workshop, scope firewall.Scope) order {
		b := testBan(w.clock, p, scope, time.Hour)
		return order{ban: &b}
	}
	lift := func(*workshop, firewall.Scope) order { return order{lift: true, why: "protected"} }
	type step struct {
		do    func(*workshop, firewall.Scope) order
		scope firewall.Scope
	}
	for name, test := range map[string]struct {
		before []step // each dealt with
		steps  []step // together
		want   []string
	}{
		"ban and lift":                   {steps: []step{{ban, sip}, {lift, 0}}},
		"lift and ban":                   {before: []step{{ban, sip}}, steps: []step{{lift, 0}, {ban, sip}}, want: []string{"192.0.2.1 sip"}},
		"lift and a narrower ban":        {before: []step{{ban, all}}, steps: []step{{lift, 0}, {ban, sip}}, want: []string{"192.0.2.1 sip"}},
		"lift, ban and lift":             {before: []step{{ban, all}}, steps: []step{{lift, 0}, {ban, sip}, {lift, 0}}},
		"ban, lift and ban":              {steps: []step{{ban, all}, {lift, 0}, {ban, sip}}, want: []string{"192.0.2.1 sip"}},
		"narrow and wide":                {steps: []step{{ban, sip}, {ban, all}}, want: []string{"192.0.2.1 all"}},
		"lift of what was never there":   {steps: []step{{lift, 0}}},
		"lift of two scopes (by a race)": {before: []step{{ban, all}, {ban, sip}}, steps: []step{{lift, 0}}},
	} {
		t.Run(name, func(t *testing.T) {
			inWorkshop(t, func(t *testing.T, w *workshop) {
				for _, s := range test.before {
					w.orders.put(netip.MustParsePrefix(p), s.do(w, s.scope))
					synctest.Wait()
				}
				w.kernel.set(func() { // no order is taken between the steps
					for _, s := range test.steps {
						w.orders.mu.Lock()
						o := s.do(w, s.scope)
						if old, ok := w.orders.vals[netip.MustParsePrefix(p)]; ok {
							o = mergeOrders(old, o)
						}
						w.orders.vals[netip.MustParsePrefix(p)] = o
						w.orders.mu.Unlock()
					}
				})
				w.orders.wake <- struct{}{}
				synctest.Wait()
				w.want(t, test.want...)
			})
		})
	}
}

func TestBanThatRanOutIsForgotten(t *testing.T) {
	inWorkshop(t, func(t *testing.T, w *workshop) {
		w.order("192.0.2.1/32", sip, time.Minute)
		w.pass(3 * time.Minute)
		if n := len(w.ledger.bans); n != 0 {
			t.Errorf("%d bans are remembered", n)
		}
		w.kernel.set(func() { w.kernel.broken = errKernel })
		w.order("192.0.2.2/32", sip, time.Second)
		w.pass(2 * time.Second)
		w.kernel.set(func() { w.kernel.broken = nil })
		w.pass(time.Minute)
		w.want(t)
		w.said.count(t, 0, "banned", "192.0.2.2")
	})
}

func TestLastBansAreDelivered(t *testing.T) {
	inWorkshop(t, func(t *testing.T, w *workshop) {
		w.kernel.set(func() { w.kernel.broken = errKernel })
		w.order("192.0.2.1/32", sip, time.Hour)
		w.pass(10 * time.Second) // the backoff is long by now
		w.kernel.set(func() { w.kernel.broken, w.kernel.fail = nil, []error{errKernel} })
		b := testBan(w.clock, "192.0.2.2/32", sip, time.Hour)
		w.orders.put(b.Prefix, order{ban: &b})
		w.stop()
		w.want(t, "192.0.2.1 sip", "192.0.2.2 sip")
		w.said.count(t, 1, "banned", "192.0.2.2")
	})
}

func TestShutdownDoesNotWaitForEver(t *testing.T) {
	inWorkshop(t, func(t *testing.T, w *workshop) {
		w.kernel.set(func() { w.kernel.broken = errKernel })
		w.order("192.0.2.1/32", sip, time.Hour)
		began := time.Now()
		w.stop()
		if took := time.Since(began); took > drainTime {
			t.Errorf("took %s", took)
		}
		if l := w.said.count(t, 1, "firewall: the last changes did not reach the kernel", "")[0]; l.text("bans") != "1" {
			t.Errorf("said %v", l)
		}
	})
}

func TestInvalidChangeIsDropped(t *testing.T) {
	inWorkshop(t, func(t *testing.T, w *workshop) {
		b := testBan(w.clock, "192.0.2.0/25", sip, time.Hour)
		w.ledger.ban(b)
		c := firewall.Change{Ban: firewall.Ban{Prefix: b.Prefix, Scope: sip}}
		w.applied([]firewall.Change{c}, []firewall.Rejected{{Change: c, Err: errKernel}})
		if len(w.ledger.bans)+len(w.ledger.send) != 0 {
			t.Error("kept, and tried for ever")
		}
		w.said.count(t, 1, "firewall: the kernel cannot have a change", "192.0.2.0/25")
	})
}

func TestDryRunTells(t *testing.T) {
	inWorkshop(t, func(t *testing.T, w *workshop) {
		w.dry = true
		w.order("192.0.2.1/32", sip, time.Hour)
		w.lift("192.0.2.1/32")
		w.said.count(t, 1, "would ban", "192.0.2.1")
		w.said.count(t, 1, "would lift ban", "192.0.2.1")
		w.said.count(t, 0, "banned", "")
		if len(w.acks.take()) != 0 {
			t.Error("the judge waits for an effect")
		}
	})
}
