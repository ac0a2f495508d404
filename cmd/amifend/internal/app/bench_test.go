package app

import (
	"fmt"
	"log/slog"
	"net/netip"
	"testing"
	"time"

	"github.com/amifend/amifend/ami"
	"github.com/amifend/amifend/ami/amitest"
	"github.com/amifend/amifend/cmd/amifend/internal/config"
	"github.com/amifend/amifend/cmd/amifend/internal/protect"
	"github.com/amifend/amifend/firewall"
	"github.com/amifend/amifend/policy"
)

// path is the way of an event from the bytes of a stream to the verdict, without the goroutines between.
type path struct {
	*daemon
	decoder    *ami.Decoder
	translator translator
	emit       func(ami.Event)
	respond    func([]byte)
	events     int
}

func newPath(t testing.TB, log *slog.Logger, change ...func(*policy.Options)) *path {
	t.Helper()
	c := &config.Config{
		Policy:   policy.DefaultOptions(),
		Servers:  []config.Server{{Name: "pbx", Host: "127.0.0.1"}},
		Firewall: config.Firewall{SIPPorts: firewall.DefaultSIPPorts()},
	}
	for _, f := range change {
		f(&c.Policy)
	}
	set := protect.Set{Entries: []protect.Entry{{Prefix: netip.MustParsePrefix("198.51.100.0/24"), Reason: "allowlist"}}}
	d, err := newDaemon(Options{Config: c, Log: log}, newFakeTable(), set)
	if err != nil {
		t.Fatal(err)
	}
	p := &path{daemon: d, decoder: ami.NewDecoder(pbxUser), translator: translator{hasher: d.hasher, clock: d.clock}}
	p.emit = func(ev ami.Event) {
		if s, ok := p.translator.sighting(ev); ok {
			p.judge.observe(&s)
			p.events++
		}
	}
	p.respond = func([]byte) {}
	p.play([]byte("Asterisk Call Manager/11.0.0\r\n"))
	return p
}

func (p *path) play(stream []byte) {
	for len(stream) > 0 {
		b := p.decoder.Buffer()
		n := copy(b[:min(len(b), 16<<10)], stream)
		p.decoder.Advance(n, p.emit, p.respond)
		stream = stream[n:]
	}
}

// streams are what a PBX says all day.
func streams() map[string][]byte {
	var events []amitest.Event
	for i := range 200 {
		p := amitest.NewPeer(fmt.Sprintf("10.0.%d.%d:5060", i/100, i%100+1))
		events = append(events, p.Register(fmt.Sprint(1000+i))...)
		events = append(events, p.Refresh(fmt.Sprint(1000+i))...)
	}
	phones := amitest.Packets(events...)
	events = nil
	for i := range 400 {
		p := amitest.NewPeer(fmt.Sprintf("203.0.113.%d:5060", i%100+1))
		p.Transport = [...]string{"UDP", "TCP"}[i%2]
		events = append(events, p.GuessAccount(fmt.Sprint(100+i))...)
	}
	flood := amitest.Packets(events...)
	events = nil
	for i := range 400 {
		events = append(events, amitest.NewPeer(fmt.Sprintf("[2001:db8:%x::1]:5060", i%64)).GuessAccount(fmt.Sprint(100+i))...)
	}
	return map[string][]byte{"phones": phones, "flood": flood, "flood6": amitest.Packets(events...)}
}

func TestEventAllocatesNothing(t *testing.T) {
	for name, stream := range streams() {
		p := newPath(t, slog.New(slog.DiscardHandler))
		for range 10 { // until who is to be banned is
			p.play(stream)
		}
		ackAll(p)
		if n := testing.AllocsPerRun(20, func() { p.play(stream) }); n != 0 {
			t.Errorf("%s: %v allocations", name, n)
		}
		if p.events == 0 {
			t.Errorf("%s: no event", name)
		}
	}
}

// ackAll lets the judge believe that the kernel has all bans.
func ackAll(p *path) {
	now := p.clock.now()
	for prefix, o := range p.judge.orders.take() {
		if o.ban != nil {
			p.judge.ineffective.acks.put(prefix, ack{at: now, until: o.ban.until, scope: o.ban.Scope})
		}
	}
	p.judge.ineffective.settle()
}

// BenchmarkEvent is bytes to verdict: decoder, translator and engine, an event at a time.
func BenchmarkEvent(b *testing.B) {
	for name, stream := range streams() {
		b.Run(name, func(b *testing.B) {
			p := newPath(b, slog.New(slog.DiscardHandler))
			for range 10 {
				p.play(stream)
			}
			ackAll(p)
			p.events = 0
			began := time.Now()
			b.ReportAllocs()
			b.SetBytes(int64(len(stream)))
			for b.Loop() {
				p.play(stream)
			}
			b.ReportMetric(float64(time.Since(began).Nanoseconds())/float64(p.events), "ns/event")
		})
	}
}

// BenchmarkOrders is what the enforcer needs for a batch of orders besides the kernel, whatever it holds already.
func BenchmarkOrders(b *testing.B) {
	for _, held := range []int{0, 100_000} {
		b.Run(fmt.Sprintf("held=%d", held), func(b *testing.B) {
			e := newEnforcer(dryTable{}, newClock(), slog.New(slog.DiscardHandler))
			ban := func(i int) Ban {
				addr := netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)})
				return testBan(e.clock, netip.PrefixFrom(addr, 32).String(), sip, time.Hour)
			}
			for i := range held {
				e.ledger.ban(ban(i))
			}
			for len(e.ledger.send) > 0 {
				e.work(b.Context())
			}
			orders := make([]Ban, 1000)
			for i := range orders {
				orders[i] = ban(1<<20 + i)
			}
			b.ReportAllocs()
			for b.Loop() {
				for _, o := range orders {
					e.orders.put(o.Prefix, order{ban: &o})
				}
				e.work(b.Context())
				e.acks.take()
			}
		})
	}
}
