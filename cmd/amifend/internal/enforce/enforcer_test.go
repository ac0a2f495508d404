package enforce

import (
	"errors"
	"fmt"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"github.com/amifend/amifend/cmd/amifend/internal/bans"
	"github.com/amifend/amifend/cmd/amifend/internal/enforce/enforcetest"
	"github.com/amifend/amifend/cmd/amifend/internal/owner"
	"github.com/amifend/amifend/firewall"
)

const (
	all = firewall.ScopeAll
	sip = firewall.ScopeSIP

	stream = firewall.ScopeStream
)

var errKernel = errors.New("no buffer space")

func TestBanIsToldAfterTheKernelHasIt(t *testing.T) {
	inWorkshop(t, func(t *testing.T, w *workshop) {
		w.kernel.Gate = make(chan struct{})
		w.order("192.0.2.1/32", sip, time.Hour)
		w.said.Count(t, 0, "banned", "")
		if n := len(w.mail.Acks.Take()); n != 0 || len(w.acked) != 0 {
			t.Fatalf("%d acknowledgements before the kernel's", n)
		}

		close(w.kernel.Gate)
		synctest.Wait()
		w.want(t, "192.0.2.1 sip")

		l := w.said.Count(t, 1, "banned", "192.0.2.1")[0]
		for k, v := range map[string]string{
			"scope": "sip", "rule": "score", "score": "4", "attempts": "4", "strike": "1",
			"for": "1h0m0s", "evidence": `pbx: InvalidAccountID "100"`,
			"undo":  "amifend unban 192.0.2.1",
			"until": time.Now().Add(time.Hour).UTC().Format(time.RFC3339),
		} {
			if l.Text(k) != v {
				t.Errorf("%s is %q, want %q", k, l.Text(k), v)
			}
		}

		if len(w.acked) != 1 || w.acked[0].Evidence == "" {
			t.Errorf("told %v", w.acked)
		}
		if a, ok := w.mail.Acks.Take()[enforcetest.Key("192.0.2.1/32", sip)]; !ok || a.At == 0 {
			t.Errorf("acknowledged %v", a)
		}
		if h := w.ledger.get(netip.MustParsePrefix("192.0.2.1/32"), sip); h.details != nil {
			t.Error("the evidence is kept for as long as the ban")
		}
	})
}

func TestLiftSurvivesFailures(t *testing.T) {
	inWorkshop(t, func(t *testing.T, w *workshop) {
		w.order("192.0.2.1/32", all, time.Hour)
		w.kernel.Set(func() { w.kernel.Fail = []error{errKernel, errKernel, errKernel} })
		w.lift("192.0.2.1/32")
		w.want(t, "192.0.2.1 all")
		w.said.Count(t, 0, "ban lifted", "")
		w.pass(5 * time.Second)
		w.want(t)
		if l := w.said.Count(t, 1, "ban lifted", "192.0.2.1")[0]; l.Text("why") != "proved" ||
			l.Text("scope") != "all" {
			t.Errorf("said %v", l)
		}

		w.said.Count(t, 1, "banned", "192.0.2.1") // restored silently
	})
}

// A failing kernel is not asked more often because an attacker causes bans.
func TestBackoffWhateverComesIn(t *testing.T) {
	inWorkshop(t, func(t *testing.T, w *workshop) {
		w.kernel.Set(func() { w.kernel.Broken = errKernel })
		for i := range 2000 {
			w.order(fmt.Sprintf("192.0.%d.%d/32", i/250, i%250), sip, time.Hour)
			w.pass(10 * time.Millisecond)
		}

		if n := w.kernel.Attempts; n < 5 || n > 10 { // 0.25 + 0.5 + 1 + 2 + 4 + 8 s
			t.Errorf("%d attempts in 20 s", n)
		}
		if n := len(w.said.Said("firewall: cannot lay out the table", "")); n < 4 || n > 10 {
			t.Errorf("told %d times\n", n)
		}

		w.kernel.Set(func() { w.kernel.Broken = nil })
		w.pass(retryLast)
		if n := len(w.kernel.Has()); n != 2000 {
			t.Errorf("%d of 2000 bans reached the kernel", n)
		}

		w.said.Count(t, 2000, "banned", "")
		w.said.Count(t, 1, "firewall restored", "")
	})
}

// Addresses that come and go while the table is gone do not keep it from being put back.
func TestAllowlistPutsNothingOff(t *testing.T) {
	inWorkshop(t, func(t *testing.T, w *workshop) {
		w.order("192.0.2.1/32", sip, time.Hour)
		w.kernel.Set(func() {
			w.kernel.Gone = true
			w.kernel.Elems = map[bans.Key]time.Time{}
			w.kernel.Fail = []error{errKernel, errKernel}
		})

		for i := range 100 {
			w.SetAllow([]netip.Prefix{netip.MustParsePrefix(fmt.Sprintf("203.0.113.%d/32", i))})
			w.pass(100 * time.Millisecond)
		}

		w.want(t, "192.0.2.1 sip")
		if n := len(w.said.Said("firewall: cannot set the allowlist", "")); n > 1 {
			t.Errorf("told %d times", n)
		}
	})
}

func TestOrdersCoalesce(t *testing.T) {
	const p = "192.0.2.1/32"
	ban := func(w *workshop, scope firewall.Scope) bans.Order {
		b := enforcetest.Ban(w.clock, p, scope, time.Hour)
		return bans.OrderOf(&b)
	}
	lift := func(*workshop, firewall.Scope) bans.Order {
		return bans.Order{Lift: true, Why: "protected"}
	}
	type step struct {
		do    func(*workshop, firewall.Scope) bans.Order
		scope firewall.Scope
	}

	for name, test := range map[string]struct {
		before []step // each dealt with
		steps  []step // together
		want   []string
	}{
		"ban and lift": {steps: []step{{ban, sip}, {lift, 0}}},
		"lift and ban": {
			before: []step{{ban, sip}}, steps: []step{{lift, 0}, {ban, sip}},
			want: []string{"192.0.2.1 sip"},
		},
		"lift and a narrower ban": {
			before: []step{{ban, all}}, steps: []step{{lift, 0}, {ban, sip}},
			want: []string{"192.0.2.1 sip"},
		},
		"lift, ban and lift": {
			before: []step{{ban, all}}, steps: []step{{lift, 0}, {ban, sip}, {lift, 0}},
		},
		"ban, lift and ban": {
			steps: []step{{ban, all}, {lift, 0}, {ban, sip}}, want: []string{"192.0.2.1 sip"},
		},
		"narrow and wide": {
			steps: []step{{ban, sip}, {ban, all}}, want: []string{"192.0.2.1 all"},
		},
		"two scopes at once": {
			steps: []step{{ban, sip}, {ban, stream}},
			want:  []string{"192.0.2.1 sip", "192.0.2.1 stream"},
		},
		"two scopes and all": {
			before: []step{{ban, sip}, {ban, stream}}, steps: []step{{ban, all}},
			want: []string{"192.0.2.1 all"},
		},
		"lift of three scopes": {
			before: []step{{ban, sip}, {ban, stream}, {ban, all}}, steps: []step{{lift, 0}},
		},
		"lift of what was never there": {steps: []step{{lift, 0}}},
		"lift of two scopes (by a race)": {
			before: []step{{ban, all}, {ban, sip}}, steps: []step{{lift, 0}},
		},
	} {
		t.Run(name, func(t *testing.T) {
			inWorkshop(t, func(t *testing.T, w *workshop) {
				for _, s := range test.before {
					w.mail.Orders.Put(netip.MustParsePrefix(p), s.do(w, s.scope))
					synctest.Wait()
				}

				hold, held := make(chan struct{}), make(chan struct{})
				go func() { // no order is taken between the steps
					_, _ = owner.Do(t.Context(), w.calls, func() bool {
						close(held)
						<-hold
						return true
					})
				}()

				<-held
				for _, s := range test.steps {
					w.mail.Orders.Put(netip.MustParsePrefix(p), s.do(w, s.scope))
				}

				close(hold)
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

		w.kernel.Set(func() { w.kernel.Broken = errKernel })
		w.order("192.0.2.2/32", sip, time.Second)
		w.pass(2 * time.Second)
		w.kernel.Set(func() { w.kernel.Broken = nil })
		w.pass(time.Minute)
		w.want(t)
		w.said.Count(t, 0, "banned", "192.0.2.2")
	})
}

func TestLastBansAreDelivered(t *testing.T) {
	inWorkshop(t, func(t *testing.T, w *workshop) {
		w.kernel.Set(func() { w.kernel.Broken = errKernel })
		w.order("192.0.2.1/32", sip, time.Hour)
		w.pass(10 * time.Second) // the backoff is long by now
		w.kernel.Set(func() { w.kernel.Broken, w.kernel.Fail = nil, []error{errKernel} })
		b := enforcetest.Ban(w.clock, "192.0.2.2/32", sip, time.Hour)
		w.mail.Orders.Put(b.Prefix, bans.OrderOf(&b))
		w.stop()
		w.want(t, "192.0.2.1 sip", "192.0.2.2 sip")
		w.said.Count(t, 1, "banned", "192.0.2.2")
	})
}

func TestShutdownDoesNotWaitForEver(t *testing.T) {
	inWorkshop(t, func(t *testing.T, w *workshop) {
		w.kernel.Set(func() { w.kernel.Broken = errKernel })
		w.order("192.0.2.1/32", sip, time.Hour)
		began := time.Now()
		w.stop()
		if took := time.Since(began); took > drainTime {
			t.Errorf("took %s", took)
		}

		l := w.said.Count(t, 1, "firewall: the last changes did not reach the kernel", "")[0]
		if l.Text("bans") != "1" {
			t.Errorf("said %v", l)
		}
	})
}

func TestInvalidChangeIsDropped(t *testing.T) {
	inWorkshop(t, func(t *testing.T, w *workshop) {
		b := enforcetest.Ban(w.clock, "192.0.2.0/25", sip, time.Hour)
		w.ledger.ban(&b)
		c := firewall.Change{Ban: firewall.Ban{Prefix: b.Prefix, Scope: sip}}
		w.applied([]firewall.Change{c}, []firewall.Rejected{{Change: c, Err: errKernel}})
		if len(w.ledger.bans)+w.ledger.sending != 0 {
			t.Error("kept, and tried for ever")
		}

		w.said.Count(t, 1, "firewall: the kernel cannot have a change", "192.0.2.0/25")
	})
}

func TestDryRunTells(t *testing.T) {
	inWorkshop(t, func(t *testing.T, w *workshop) {
		w.dry = true
		w.order("192.0.2.1/32", sip, time.Hour)
		w.lift("192.0.2.1/32")
		w.said.Count(t, 1, "would ban", "192.0.2.1")
		w.said.Count(t, 1, "would lift ban", "192.0.2.1")
		w.said.Count(t, 0, "banned", "")
		if len(w.mail.Acks.Take()) != 0 {
			t.Error("the judge waits for an effect")
		}
	})
}
