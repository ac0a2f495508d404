package cli

import (
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/amifend/amifend/cmd/amifend/internal/control"
)

func TestLimiterText(t *testing.T) {
	counts := control.Beyond{Dropped: 3, StrangersDropped: 4, Passed: 1}
	for want, l := range map[string]control.Limiter{
		"off: it is a dry run": {Mode: "off", Problem: "it is a dry run"},
		"observes: it drops nothing; 1 source logged in and exempt; 7 packets dropped; 1 packet would " +
			"have been dropped": {Mode: "observe", Known: 1, Counts: counts},
		"on; 24 sources logged in and exempt": {Mode: "on", Known: 24},
		"observes: it drops nothing; 9 sources logged in and exempt; it only observes: full": {
			Mode: "observe", Known: 9, Problem: "it only observes: full",
		},
	} {
		if got := limiterText(l); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

// What was only counted is never told as if it had been dropped.
func TestLimitedLines(t *testing.T) {
	now := time.Now()
	got := limitedLines([]control.Limited{
		{Source: netip.MustParsePrefix("203.0.113.5/32"), Packets: 1830, Last: now.Add(-3 * time.Second)},
		{
			Source: netip.MustParsePrefix("2001:db8::/64"), Packets: 2, Dropped: true,
			Last: now.Add(-5 * time.Minute),
		},
	}, now)
	want := []string{
		"SOURCE STATE PACKETS LAST", "203.0.113.5 would limit 1830 3s ago",
		"2001:db8::/64 limited 2 5m0s ago",
	}
	for i := range got {
		got[i] = strings.ReplaceAll(got[i], "\t", " ")
	}
	if !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}
