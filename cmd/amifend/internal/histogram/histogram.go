// Package histogram counts durations in buckets. One goroutine counts, and any may read meanwhile:
// neither waits for the other, and counting allocates nothing.
package histogram

import (
	"sync/atomic"
	"time"
)

// bounds are the upper bounds of the buckets: steps of 1, 2.5 and 5 from 10 µs to 10 s.
var bounds = [...]time.Duration{
	10 * time.Microsecond, 25 * time.Microsecond, 50 * time.Microsecond,
	100 * time.Microsecond, 250 * time.Microsecond, 500 * time.Microsecond,
	time.Millisecond, 2500 * time.Microsecond, 5 * time.Millisecond,
	10 * time.Millisecond, 25 * time.Millisecond, 50 * time.Millisecond,
	100 * time.Millisecond, 250 * time.Millisecond, 500 * time.Millisecond,
	time.Second, 2500 * time.Millisecond, 5 * time.Second, 10 * time.Second,
}

// Histogram counts durations. Its zero value is empty.
type Histogram struct {
	counts [len(bounds) + 1]atomic.Uint64 // the last one: above all bounds
	sum    atomic.Int64                   // nanoseconds
}

// Observe counts one duration. A negative one counts as 0.
func (h *Histogram) Observe(d time.Duration) {
	d = max(d, 0)
	h.counts[bucket(d)].Add(1)
	h.sum.Add(int64(d))
}

// bucket returns the number of the bucket of d. Most durations are in the first ones.
func bucket(d time.Duration) int {
	for i, b := range bounds {
		if d <= b {
			return i
		}
	}
	return len(bounds)
}

// Counts is what a Histogram has counted.
type Counts struct {
	Sum   time.Duration
	Count uint64
	// Buckets holds how many durations were at most as long, by upper bound in seconds.
	Buckets map[float64]uint64
}

// Counts returns what was counted until now. The sum may be ahead of the counts by what is being
// counted at that moment.
func (h *Histogram) Counts() Counts {
	out := Counts{Buckets: make(map[float64]uint64, len(bounds))}
	for i := range h.counts {
		out.Count += h.counts[i].Load()
		if i < len(bounds) {
			out.Buckets[bounds[i].Seconds()] = out.Count
		}
	}
	out.Sum = time.Duration(h.sum.Load())
	return out
}

// batch is the number of beginnings that a Batch holds: so many events share one reading of the
// clock and one round of atomic additions.
const batch = 64

// Batch counts how long events took that follow each other closely. One goroutine uses it.
type Batch struct {
	Histogram

	began [batch]int64
	n     int
}

// Add notes an event that began at that time and has just ended. It reports whether the batch is
// full: then End must be called.
func (b *Batch) Add(began int64) (full bool) {
	b.began[b.n] = began
	b.n++
	return b.n == batch
}

// End counts the events of the batch, all of which have ended by now. Those that ended first are
// overrated, by the time that the rest of the batch took.
func (b *Batch) End(now int64) {
	if b.n == 1 {
		b.n = 0
		b.Observe(time.Duration(now - b.began[0]))
		return
	}

	// The atomic additions are the costly part, so there is one for each bucket.
	var counts [len(bounds) + 1]uint64
	var sum int64
	for _, began := range b.began[:b.n] {
		d := max(now-began, 0)
		counts[bucket(time.Duration(d))]++
		sum += d
	}
	b.n = 0

	for i, n := range counts {
		if n > 0 {
			b.counts[i].Add(n)
		}
	}
	b.sum.Add(sum)
}
