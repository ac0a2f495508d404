package judge

import (
	"fmt"
	"log/slog"
	"testing"
	"time"

	"github.com/amifend/amifend/ami/amitest"
	"github.com/amifend/amifend/cmd/amifend/internal/bans"
	"github.com/amifend/amifend/policy"
)

// streams returns typical streams of events, by name.
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
		p := amitest.NewPeer(fmt.Sprintf("[2001:db8:%x::1]:5060", i%64))
		events = append(events, p.GuessAccount(fmt.Sprint(100+i))...)
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
	now := p.clock.Now()
	for _, o := range p.mail.Orders.Take() {
		for _, b := range o.Bans {
			p.mail.Acks.Put(b.Key(), bans.Ack{At: now, Until: b.Expiry})
		}
	}
	p.ineffective.takeAcks()
}

// BenchmarkEvent is bytes to verdict: decoder, translator and engine, an event at a time. While
// others wait, the judge reads the clock once for many.
func BenchmarkEvent(b *testing.B) {
	for name, stream := range streams() {
		benchmarkEvents(b, name, stream, false)
		benchmarkEvents(b, name+" while others wait", stream, true)
	}
}

func benchmarkEvents(b *testing.B, name string, text []byte, others bool) {
	b.Run(name, func(b *testing.B) {
		p := newPath(b, slog.New(slog.DiscardHandler))
		if others {
			p.in <- attempt(p.clock, "203.0.113.200:5060", policy.Label{})
		}
		for range 10 {
			p.play(text)
		}

		ackAll(p)
		p.events = 0
		began := time.Now()
		b.ReportAllocs()
		b.SetBytes(int64(len(text)))
		for b.Loop() {
			p.play(text)
		}

		b.ReportMetric(float64(time.Since(began).Nanoseconds())/float64(p.events), "ns/event")
	})
}
