package judge

import (
	"context"
	"fmt"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"github.com/amifend/amifend/cmd/amifend/internal/bans"
	"github.com/amifend/amifend/cmd/amifend/internal/enforce/enforcetest"
	"github.com/amifend/amifend/cmd/amifend/internal/stream"
	"github.com/amifend/amifend/firewall"
	"github.com/amifend/amifend/policy"
)

// watched is the judge's half and the enforcer, which together notice ineffective bans. The judge's
// goroutine does not run.
type watched struct {
	*court
}

func inWatch(t *testing.T, test func(t *testing.T, w *watched)) {
	synctest.Test(t, func(t *testing.T) {
		c := newCourt(t)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { defer close(done); c.enforcer.Run(ctx) }()
		defer func() { cancel(); <-done }()
		synctest.Wait()
		test(t, &watched{court: c})
	})
}

// order gives an order to ban, and waits until it is dealt with.
func (w *watched) order(prefix string, scope firewall.Scope, d time.Duration) {
	b := enforcetest.Ban(w.clock, prefix, scope, d)
	w.mail.Orders.Put(b.Prefix, bans.OrderOf(&b))
	synctest.Wait()
}

func (w *watched) liftIt(prefix string) {
	w.mail.Orders.Put(netip.MustParsePrefix(prefix), bans.Order{Lift: true, Why: "proved"})
	synctest.Wait()
}

func (*watched) pass(d time.Duration) { enforcetest.Pass(d) }

// What the enforcer finds out, and when.
const (
	causePort = "port not in sip_ports"
	causeTCP  = "port not in sip_ports or ws_ports"
	causePath = "traffic does not pass this machine"
	causePart = "some packets get through"
	patience  = 15 * time.Second
	grace     = bans.Grace
)

// overTCP makes what is seen come over TCP.
func overTCP(s *stream.Sighting) { s.Stream = true }

// see has the PBX tell of a packet of a source.
func (w *watched) see(addr string, change ...func(*stream.Sighting)) {
	s := attempt(w.clock, addr, policy.Label{})
	s.Stream = false
	for _, c := range change {
		c(&s)
	}

	w.ineffective.takeAcks()
	w.ineffective.check(&s, w.servers)
	synctest.Wait()
}

func port(n uint16) func(*stream.Sighting) { return func(s *stream.Sighting) { s.LocalPort = n } }
func late(d time.Duration) func(*stream.Sighting) {
	return func(s *stream.Sighting) { s.Made -= int64(d) }
}

func TestCauses(t *testing.T) {
	const src = "192.0.2.1:5060"
	prefix := netip.MustParsePrefix("192.0.2.1/32")
	dropped := func(w *watched, scope firewall.Scope) {
		w.kernel.Set(func() { w.kernel.Packets[bans.Key{Prefix: prefix, Scope: scope}] = 7 })
	}

	for name, test := range map[string]struct {
		scope firewall.Scope
		play  func(w *watched)
		cause string // "": nothing is said
	}{
		"within the grace": {sip, func(w *watched) { w.pass(grace - 1); w.see(src) }, ""},
		"made within the grace": {
			sip, func(w *watched) { w.pass(time.Minute); w.see(src, late(59*time.Second)) }, "",
		},
		"does not pass": {
			sip, func(w *watched) { w.pass(grace); w.see(src) }, causePath,
		},
		"two seconds later": {
			sip, func(w *watched) { w.pass(2 * time.Second); w.see(src) }, causePath,
		},
		"does not pass, scope all": {
			all, func(w *watched) { w.pass(grace); w.see(src, port(5070)) }, causePath,
		},
		"another port": {
			sip, func(w *watched) { dropped(w, sip); w.pass(grace); w.see(src, port(5070)) },
			causePort,
		},
		"scope sip is not for WebSocket": {
			sip, func(w *watched) { w.pass(grace); w.see(src, port(8089), overTCP) }, "",
		},
		"scope stream is not for UDP": {
			tcp, func(w *watched) { w.pass(grace); w.see(src) }, "",
		},
		"a WebSocket": {
			tcp, func(w *watched) { w.pass(grace); w.see(src, port(8089), overTCP) }, causePath,
		},
		"a WebSocket at another port": {
			tcp,
			func(w *watched) { dropped(w, tcp); w.pass(grace); w.see(src, port(8443), overTCP) },
			causeTCP,
		},
		"AMI, scope stream": {
			tcp,
			func(w *watched) {
				w.pass(grace)
				w.see(src, port(5038), overTCP, func(s *stream.Sighting) {
					s.Service = policy.ServiceAMI
				})
			},
			causePath,
		},
		"port unknown": {
			sip, func(w *watched) { w.pass(grace); w.see(src, port(0)) }, causePath,
		},
		"told late by a flooded PBX": {
			sip, func(w *watched) { dropped(w, sip); w.pass(grace); w.see(src) }, "",
		},
		"some get through": {
			sip,
			func(w *watched) {
				dropped(w, sip)
				w.pass(grace)
				w.see(src)
				w.pass(patience)
				w.see(src)
			},
			causePart,
		},
		"no counters": {
			sip, func(w *watched) { w.kernel.Uncount = true; w.pass(grace); w.see(src) }, "",
		},
		"no counters, for long": {
			sip, func(w *watched) { w.kernel.Uncount = true; w.pass(patience); w.see(src) },
			causePart,
		},
		"AMI is on no SIP port": {sip, func(w *watched) {
			w.pass(grace)
			w.see(src, func(s *stream.Sighting) { s.Service = policy.ServiceAMI })
		}, ""},
		"AMI, scope all": {all, func(w *watched) {
			w.pass(grace)
			w.see(src, func(s *stream.Sighting) { s.Service = policy.ServiceAMI })
		}, causePath},
		"somebody else's": {
			sip, func(w *watched) { w.pass(grace); w.see("192.0.2.2:5060") }, "",
		},
		"lifted, and not yet settled": {
			sip,
			func(w *watched) {
				w.pass(grace)
				w.ineffective.takeAcks()
				w.liftIt(prefix.String())
				w.see(src)
			},
			"",
		},
		"run out": {
			sip, func(w *watched) { w.pass(time.Hour); w.see(src) }, "",
		},
		"out of the kernel for a while": {sip, func(w *watched) {
			w.pass(time.Minute)
			w.kernel.Set(func() { clear(w.kernel.Elems) })
			w.enforcer.Damaged()
			synctest.Wait()
			w.see(src)
		}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			inWatch(t, func(t *testing.T, w *watched) {
				w.order(prefix.String(), test.scope, time.Hour)
				test.play(w)
				if test.cause == "" {
					w.said.Count(t, 0, "ban is ineffective", "")
					return
				}

				l := w.said.Count(t, 1, "ban is ineffective", "192.0.2.1")[0]
				if l.Text("cause") != test.cause || l.Text("do") == "" {
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

		w.said.Count(t, 1, "ban is ineffective", "2001:db8::1")
		for range 100 {
			w.pass(time.Minute)
			w.see("[2001:db8::2]:5060", port(5070))
		}

		l := w.said.Count(t, 1, "ban is ineffective", "2001:db8::2")[0]
		if l.Text("ban") != "2001:db8::/64" || l.Text("cause") != causePort ||
			l.Text("ineffective") != "2" {
			t.Errorf("said %v", l)
		}
	})
}

func TestIneffectiveIsBounded(t *testing.T) {
	inWatch(t, func(t *testing.T, w *watched) {
		for i := range 500 {
			w.order(fmt.Sprintf("10.0.%d.%d/32", i/250, i%250), sip, time.Minute)
		}

		w.ineffective.takeAcks()
		if len(w.ineffective.bans) != 500 {
			t.Fatalf("%d bans", len(w.ineffective.bans))
		}

		w.pass(2 * time.Minute)
		w.ineffective.sweep(w.clock.Now())
		if len(w.ineffective.bans) != 0 {
			t.Errorf("%d bans that ran out are remembered", len(w.ineffective.bans))
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
		w.ineffective.takeAcks()
		for i := range many {
			s := attempt(w.clock, fmt.Sprintf("10.0.%d.%d:5060", i/250, i%250), policy.Label{})
			w.ineffective.check(&s, w.servers)
		}

		synctest.Wait()
		w.said.Count(t, many, "ban is ineffective", "")
	})
}
