package app

import (
	"context"
	"sync/atomic"
	"time"
)

// gauge is what a session measures, for others to read.
type gauge struct {
	lag   atomic.Int64 // nanoseconds that the last event was late
	ahead atomic.Int64 // nanoseconds that the PBX's clock is ahead of ours

	// When vigil told of it the last time, in nanoseconds since the Unix epoch; 0: never.
	distrusted atomic.Int64
	stalled    atomic.Int64
}

// set takes over what the lag meter found. It allocates nothing.
func (g *gauge) set(m *lagMeter) {
	g.lag.Store(int64(m.last))
	g.ahead.Store(-int64(min(m.cur, m.prev)))
}

// rateSpan is over how many seconds a rate is measured.
const rateSpan = 10

// rate tells how fast a counter grows. One goroutine takes the samples.
type rate struct {
	samples [rateSpan + 1]uint64 // a ring, one a second
	n       int                  // samples taken
	now     atomic.Uint64        // thousandths a second
}

// sample takes the counter, once a second.
func (r *rate) sample(count uint64) {
	r.samples[r.n%len(r.samples)] = count
	r.n++
	if span := min(r.n-1, rateSpan); span > 0 {
		first := r.samples[(r.n-1-span)%len(r.samples)]
		r.now.Store((count - first) * 1000 / uint64(span))
	}
}

func (r *rate) perSecond() float64 { return float64(r.now.Load()) / 1000 }

// sampleRates measures how many events a second the sessions hear, until ctx ends.
func (d *daemon) sampleRates(ctx context.Context) {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			for _, s := range d.sessionsNow() {
				s.rate.sample(s.Status().Events)
			}
		}
	}
}
