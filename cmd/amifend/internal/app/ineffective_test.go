package app

import (
	"fmt"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"github.com/amifend/amifend/firewall"
	"github.com/amifend/amifend/policy"
)

// watched is the judge's and the enforcer's halves of what notices ineffective bans.
type watched struct {
	*workshop
	judge *ineffective
}

func inWatch(t *testing.T, test func(t *testing.T, w *watched)) {
	inWorkshop(t, func(t *testing.T, w *workshop) {
		test(t, &watched{w, newIneffective(w.enforcer, firewall.DefaultSIPPorts(), []string{"pbx"})})
	})
}

// see has the PBX tell of a packet of a source.
func (w *watched) see(addr string, change ...func(*sighting)) {
	s := attempt(w.clock, addr, policy.Label{})
	s.Stream = false
	for _, c := range change {
		c(&s)
	}
	w.judge.settle()
	w.judge.check(&s)
	synctest.Wait()
}

func port(n uint16) func(*sighting)        { return func(s *sighting) { s.LocalPort = n } }
func late(d time.Duration) func(*sighting) { return func(s *sighting) { s.made -= int64(d) } }

func TestCauses(t *testing.T) {
	const src = "192.0.2.1:5060"
	prefix := netip.MustParsePrefix("192.0.2.1/32")
	dropped := func(w *watched, scope firewall.Scope) {
		w.kernel.set(func() { w.kernel.packets[key{prefix, scope}] = 7 })
	}
	for name, test := range map[string]struct {
		scope firewall.Scope
		play  func(w *watched)
		cause string // "": nothing is said
	}{
		"within the grace":            {sip, func(w *watched) { w.pass(grace - 1); w.see(src) }, ""},
		"made within the grace":       {sip, func(w *watched) { w.pass(time.Minute); w.see(src, late(59*time.Second)) }, ""},
		"does not pass":               {sip, func(w *watched) { w.pass(grace); w.see(src) }, causePath},
		"two seconds later":           {sip, func(w *watched) { w.pass(2 * time.Second); w.see(src) }, causePath},
		"does not pass, scope all":    {all, func(w *watched) { w.pass(grace); w.see(src, port(5070)) }, causePath},
		"another port":                {sip, func(w *watched) { dropped(w, sip); w.pass(grace); w.see(src, port(5070)) }, causePort},
		"a WebSocket":                 {sip, func(w *watched) { w.pass(grace); w.see(src, port(8089), func(s *sighting) { s.Stream = true }) }, causePort},
		"port unknown":                {sip, func(w *watched) { w.pass(grace); w.see(src, port(0)) }, causePath},
		"told late by a flooded PBX":  {sip, func(w *watched) { dropped(w, sip); w.pass(grace); w.see(src) }, ""},
		"some get through":            {sip, func(w *watched) { dropped(w, sip); w.pass(grace); w.see(src); w.pass(patience); w.see(src) }, causePart},
		"no counters":                 {sip, func(w *watched) { w.kernel.uncount = true; w.pass(grace); w.see(src) }, ""},
		"no counters, for long":       {sip, func(w *watched) { w.kernel.uncount = true; w.pass(patience); w.see(src) }, causePart},
		"AMI is on no SIP port":       {sip, func(w *watched) { w.pass(grace); w.see(src, func(s *sighting) { s.Service = policy.ServiceAMI }) }, ""},
		"AMI, scope all":              {all, func(w *watched) { w.pass(grace); w.see(src, func(s *sighting) { s.Service = policy.ServiceAMI }) }, causePath},
		"somebody else's":             {sip, func(w *watched) { w.pass(grace); w.see("192.0.2.2:5060") }, ""},
		"lifted, and not yet settled": {sip, func(w *watched) { w.pass(grace); w.judge.settle(); w.lift(prefix.String()); w.see(src) }, ""},
		"run out":                     {sip, func(w *watched) { w.pass(time.Hour); w.see(src) }, ""},
		"out of the kernel for a while": {sip, func(w *watched) {
			w.pass(time.Minute)
			w.kernel.set(func() { clear(w.kernel.elems) })
			offer(w.damaged, struct{}{})
			synctest.Wait()
			w.see(src)
		}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			inWatch(t, func(t *testing.T, w *watched) {
				w.order(prefix.String(), test.scope, time.Hour)
				test.play(w)
				if test.cause == "" {
					w.said.count(t, 0, "ban is ineffective", "")
					return
				}
				if l := w.said.count(t, 1, "ban is ineffective", "192.0.2.1")[0]; l.text("cause") != test.cause || l.text("do") == "" {
					t.Errorf("said %v", l)
				}
			})
		})
	}
}

func TestIneffectiveIsSaidOnceASourceAndCause(t *testing.T) {
	inWatch(t, func(t *testing.T, w *watched) {
		w.order("2001:db8::/64", sip, 24*time.Hour)
		for range 100 {
			w.pass(time.Minute)
			w.see("[2001:db8::1]:5060")
		}
		w.said.count(t, 1, "ban is ineffective", "2001:db8::1")
		for range 100 {
			w.pass(time.Minute)
			w.see("[2001:db8::2]:5060", port(5070))
		}
		l := w.said.count(t, 1, "ban is ineffective", "2001:db8::2")[0]
		if l.text("ban") != "2001:db8::/64" || l.text("cause") != causePort || l.text("ineffective") != "2" {
			t.Errorf("said %v", l)
		}
	})
}

func TestIneffectiveIsBounded(t *testing.T) {
	var x told
	for i := range 3 * toldMost {
		x.first(netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)}), causePath)
	}
	if len(x.lines) > toldMost || x.count != 3*toldMost {
		t.Errorf("%d remembered, %d counted", len(x.lines), x.count)
	}
	inWatch(t, func(t *testing.T, w *watched) {
		for i := range 500 {
			w.order(fmt.Sprintf("10.0.%d.%d/32", i/250, i%250), sip, time.Minute)
		}
		w.judge.settle()
		if len(w.judge.bans) != 500 {
			t.Fatalf("%d bans", len(w.judge.bans))
		}
		w.pass(2 * time.Minute)
		w.judge.sweep(w.clock.now())
		if len(w.judge.bans) != 0 {
			t.Errorf("%d bans that ran out are remembered", len(w.judge.bans))
		}
	})
}

// Many doubts at once are all answered, and an order comes in between.
func TestManyDoubts(t *testing.T) {
	inWatch(t, func(t *testing.T, w *watched) {
		const many = 1000
		for i := range many {
			w.order(fmt.Sprintf("10.0.%d.%d/32", i/250, i%250), sip, time.Hour)
		}
		w.pass(grace)
		w.judge.settle()
		for i := range many {
			s := attempt(w.clock, fmt.Sprintf("10.0.%d.%d:5060", i/250, i%250), policy.Label{})
			w.judge.check(&s)
		}
		synctest.Wait()
		w.said.count(t, many, "ban is ineffective", "")
	})
}
