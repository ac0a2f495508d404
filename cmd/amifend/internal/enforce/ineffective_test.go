package enforce

import (
	"net/netip"
	"testing"
)

func TestIneffectiveIsBounded(t *testing.T) {
	var x reported
	for i := range 3 * reportedMost {
		x.isFirst(netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)}), causePath)
	}
	if len(x.lines) > reportedMost || x.count != 3*reportedMost {
		t.Errorf("%d remembered, %d counted", len(x.lines), x.count)
	}
}
