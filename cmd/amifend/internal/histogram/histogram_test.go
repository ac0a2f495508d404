package histogram

import (
	"testing"
	"time"
)

// Each duration counts once, in all buckets from its own on; what is longer than all counts too.
func TestHistogram(t *testing.T) {
	var h Histogram
	for _, d := range []time.Duration{
		-time.Second, 0, 10 * time.Microsecond, 10*time.Microsecond + 1, time.Second, time.Hour,
	} {
		h.Observe(d)
	}

	c := h.Counts()
	if c.Count != 6 || c.Sum != time.Hour+time.Second+20*time.Microsecond+1 {
		t.Errorf("count %d, sum %s", c.Count, c.Sum)
	}
	if len(c.Buckets) != len(bounds) || c.Buckets[1e-5] != 3 || c.Buckets[2.5e-5] != 4 ||
		c.Buckets[0.5] != 4 || c.Buckets[1] != 5 || c.Buckets[10] != 5 {
		t.Errorf("buckets %v", c.Buckets)
	}
}

// A batch counts the same as its events one by one.
func TestBatch(t *testing.T) {
	var b Batch
	var h Histogram
	now := int64(time.Hour)
	for round := range 3 {
		for i := 0; ; i++ {
			began := now - int64(i*i)*int64(time.Millisecond)
			h.Observe(time.Duration(now - began))
			if full := b.Add(began); full || round == 1 {
				if full != (i == batch-1) && round != 1 {
					t.Fatalf("full after %d", i+1)
				}
				break
			}
		}
		b.End(now)
	}

	got, want := b.Counts(), h.Counts()
	if got.Count != want.Count || got.Count != 2*batch+1 || got.Sum != want.Sum {
		t.Errorf("%d in %s, want %d in %s", got.Count, got.Sum, want.Count, want.Sum)
	}
	for bound, n := range want.Buckets {
		if got.Buckets[bound] != n {
			t.Errorf("up to %v: %d, want %d", bound, got.Buckets[bound], n)
		}
	}

	if n := testing.AllocsPerRun(10, func() {
		for !b.Add(now) {
		}
		b.End(now)
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
