package enforce

import (
	"net/netip"
	"testing"
	"time"
)

// An amifend in the wrong place makes every ban one that does nothing: that is an alert an hour,
// not one a ban.
func TestFewAlertsOfOneCause(t *testing.T) {
	var r reported
	now := time.Now()
	for _, tt := range []struct {
		server, cause string
		after         time.Duration
		want          bool
	}{
		{"a", causePath, 0, true},
		{"a", causePath, time.Minute, false},
		{"b", causePath, time.Minute, true},
		{"a", causePort, time.Minute, true},
		{"a", causePath, alertLeast, true},
		{"a", causePath, alertLeast + time.Minute, false},
	} {
		if got := r.isDue(tt.server, tt.cause, now.Add(tt.after)); got != tt.want {
			t.Errorf("%+v: %v", tt, got)
		}
	}
}

func TestIneffectiveIsBounded(t *testing.T) {
	var x reported
	for i := range 3 * reportedMost {
		x.isFirst(netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)}), causePath)
	}
	if len(x.lines) > reportedMost || x.count != 3*reportedMost {
		t.Errorf("%d remembered, %d counted", len(x.lines), x.count)
	}
}
