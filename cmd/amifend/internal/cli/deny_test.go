package cli

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/amifend/amifend/cmd/amifend/internal/control"
)

// TestDeniedText: what is not dropped, or not yet, is not told as if it were.
func TestDeniedText(t *testing.T) {
	for state, want := range map[string]string{
		control.StateInKernel: "203.0.113.0/28 is always dropped; ",
		control.StatePending:  "203.0.113.0/28 will be always dropped; ",
		control.StateTrial:    "203.0.113.0/28 would be always dropped; ",
		control.StateDry:      "203.0.113.0/28 would be always dropped; ",
	} {
		got := deniedText(control.DenyResult{
			Prefix: netip.MustParsePrefix("203.0.113.0/28"), State: state,
		})
		if !strings.HasPrefix(got, want) {
			t.Errorf("%s: %s", state, got)
		}
	}
}
