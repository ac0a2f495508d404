package stream

import (
	"sync/atomic"
	"time"
)

// lagMeter measures how far an event stream is behind, although the PBX's clock may be wrong. The
// smallest difference between reception and the event's own time in the last minutes is the error
// of the clock. Any further delay is lag.
type lagMeter struct {
	cur, prev time.Duration // smallest differences of this window and the one before
	until     int64         // end of this window
	last      time.Duration // the last lag
}

const lagWindow = int64(5 * time.Minute)

func (m *lagMeter) measure(now int64, made time.Time) time.Duration {
	if made.IsZero() {
		return 0
	}

	// Two windows, so that a clock that was set is believed after ten minutes at most.
	diff := time.Duration(now - made.UnixNano())
	if now >= m.until {
		m.prev = m.cur
		if now >= m.until+lagWindow { // also the very first event
			m.prev = diff
		}
		m.cur = diff
		m.until = now + lagWindow
	}

	m.cur = min(m.cur, diff)
	m.last = diff - min(m.cur, m.prev)
	return m.last
}

// gauge holds what a session measures, for others to read.
type gauge struct {
	lag   atomic.Int64 // nanoseconds that the last event was late
	ahead atomic.Int64 // nanoseconds that the PBX's clock is ahead of ours

	// When the watch over the stream complained last, in nanoseconds since the Unix epoch; 0:
	// never.
	distrusted atomic.Int64
	stalled    atomic.Int64

	chanSIP atomic.Bool // an event of chan_sip came
}

// set takes over what the lag meter measured. It allocates nothing.
func (g *gauge) set(m *lagMeter) {
	g.lag.Store(int64(m.last))
	g.ahead.Store(-int64(min(m.cur, m.prev)))
}

// rateSpan is the number of seconds over which a rate is measured.
const rateSpan = 10

// rate measures how fast a counter grows. One goroutine takes the samples.
type rate struct {
	samples [rateSpan + 1]uint64 // a ring, one a second
	n       int                  // samples taken
	now     atomic.Uint64        // thousandths a second
}

// sample takes the counter. It must be called once a second.
func (r *rate) sample(count uint64) {
	r.samples[r.n%len(r.samples)] = count
	r.n++

	if span := min(r.n-1, rateSpan); span > 0 {
		first := r.samples[(r.n-1-span)%len(r.samples)]
		r.now.Store((count - first) * 1000 / uint64(span))
	}
}

func (r *rate) perSecond() float64 { return float64(r.now.Load()) / 1000 }
