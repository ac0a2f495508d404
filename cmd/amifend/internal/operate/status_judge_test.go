package operate

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/amifend/amifend/cmd/amifend/internal/judge"
	"github.com/amifend/amifend/policy"
)

// What went wrong in the last hour is shown; what the judge counts from is tested there.
func TestPolicyWarningsAreOfTheLastHour(t *testing.T) {
	hourAgo := policy.Stats{BansRefused: 3, Postponed: 5, Evicted: 7, AlertsDelayed: 11}
	got := policyWarnings(hourAgo, policy.Stats{})
	if len(got) != 4 || !strings.Contains(got[0].What, "3 times") || got[0].Do == "" {
		t.Errorf("%+v", got)
	}

	now := hourAgo
	now.Evicted += 2
	got = policyWarnings(now, hourAgo)
	if len(got) != 1 || !strings.HasPrefix(got[0].What, "2 sources were forgotten") {
		t.Errorf("an hour later: %+v", got)
	}

	// Prefixes have a room of their own, and are no sources.
	now = hourAgo
	now.EvictedPrefixes += 2
	got = policyWarnings(now, hourAgo)
	if len(got) != 1 || !strings.HasPrefix(got[0].What, "2 prefixes were forgotten") {
		t.Errorf("prefixes: %+v", got)
	}

	if got := policyWarnings(now, now); len(got) != 0 {
		t.Errorf("at last: %+v", got)
	}
}

// A PBX that sees one address for everybody is warned of, with what to do.
func TestHiddenWarnings(t *testing.T) {
	got := hiddenWarnings([]judge.Hidden{{
		Server: "pbx", Addr: netip.MustParseAddr("198.51.100.2"), Reason: "allowlist \x1b[2J",
	}})
	if len(got) != 1 || got[0].About != "server pbx" || got[0].Do != judge.HiddenAdvice ||
		!strings.Contains(got[0].What, "198.51.100.2, which is never banned (allowlist ?[2J)") {
		t.Errorf("%+v", got)
	}
}
