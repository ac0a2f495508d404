package stream

import (
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"github.com/amifend/amifend/ami"
	"github.com/amifend/amifend/cmd/amifend/internal/clock"
	"github.com/amifend/amifend/policy"
)

func TestLag(t *testing.T) {
	start := time.Date(2026, 11, 23, 6, 0, 0, 0, time.UTC)
	type event struct {
		after time.Duration // since the one before
		made  time.Duration // the PBX's clock, relative to reception
		lag   time.Duration
	}

	for name, events := range map[string][]event{
		"in time": {{0, 0, 0}, {time.Second, -time.Millisecond, time.Millisecond}},
		"late":    {{0, 0, 0}, {time.Second, -3 * time.Second, 3 * time.Second}},
		"a clock that is behind": {
			{0, -time.Hour, 0}, {time.Second, -time.Hour - time.Second, time.Second},
		},
		"a clock that is ahead": {
			{0, time.Hour, 0}, {time.Second, time.Hour - time.Second, time.Second},
		},
		"set forward": {
			{0, 0, 0},
			{time.Second, time.Hour, 0},
			{time.Second, time.Hour - time.Second, time.Second},
		},
		"set back, and in the end believed": {
			{0, 0, 0},
			{time.Second, -time.Hour, time.Hour},
			{6 * time.Minute, -time.Hour, time.Hour},
			{6 * time.Minute, -time.Hour, 0},
		},
		"after a silence": {{0, 0, 0}, {time.Hour, -time.Minute, 0}},
	} {
		t.Run(name, func(t *testing.T) {
			var m lagMeter
			now := start
			for i, e := range events {
				now = now.Add(e.after)
				if got := m.measure(now.UnixNano(), now.Add(e.made)); got != e.lag {
					t.Errorf("event %d: lag %s, want %s", i, got, e.lag)
				}
			}

			if got := m.measure(now.UnixNano(), time.Time{}); got != 0 {
				t.Errorf("an event without a time lags %s", got)
			}
		})
	}
}

// An attacker's EventTV does not move what the real ones are measured against.
func TestLagOfAnInjection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tr := NewTranslator(0, policy.Hasher{}, clock.New())
		src := netip.MustParseAddrPort("203.0.113.5:5061")
		tr.Sighting(ami.Event{Source: src, Time: time.Now()})
		tr.Sighting(ami.Event{
			Source: src, Time: time.Now().Add(1000 * time.Hour), Taint: ami.TaintDuplicate,
		})
		if s, _ := tr.Sighting(ami.Event{Source: src, Time: time.Now()}); s.Made != s.At {
			t.Errorf("a real event seems %s late", time.Duration(s.At-s.Made))
		}
	})
}
