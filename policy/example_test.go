package policy_test

import (
	"fmt"
	"net/netip"
	"time"

	"github.com/amifend/amifend/policy"
)

// Judge a list of attempts: four unknown accounts within a minute ban their source. What came over TLS
// cannot have been forged, so the ban is of all traffic.
func Example() {
	engine, err := policy.New(policy.DefaultOptions())
	if err != nil {
		fmt.Println(err)
		return
	}

	hasher := engine.Hasher()
	now := time.Date(2026, 11, 28, 12, 0, 0, 0, time.UTC)
	for i, account := range []string{"100", "101", "102", "103"} {
		verdicts := engine.Observe(policy.Observation{
			At:      now.Add(time.Duration(i) * time.Second).UnixNano(),
			Source:  netip.MustParseAddrPort("203.0.113.5:40000"),
			Kind:    policy.KindInvalidAccountID,
			Service: policy.ServicePJSIP,
			Stream:  true, // over TLS
			Account: hasher.Label([]byte(account)),
			Session: hasher.Session(fmt.Append(nil, "call ", i)),
		})
		for _, v := range verdicts {
			fmt.Printf("attempt %d: %v %v, scope %v, for %v: rule %v, score %.1f\n",
				i+1, v.Action, v.Prefix, v.Scope, v.Duration, v.Rule, v.Score)
		}
	}
	// Output: attempt 4: ban 203.0.113.5/32, scope all, for 1h0m0s: rule proven_score, score 4.0
}

// Prefixes that must never be banned are told to the engine once, and again when they change.
func ExampleEngine_Protect() {
	engine, err := policy.New(policy.DefaultOptions())
	if err != nil {
		fmt.Println(err)
		return
	}

	trunk := policy.ProtectedEntry{Prefix: netip.MustParsePrefix("198.51.100.0/24"), Reason: "trunk"}
	engine.Protect(0, policy.NewProtected([]policy.ProtectedEntry{trunk}, nil))

	ban := netip.MustParsePrefix("198.51.100.7/32")
	_, err = engine.Impose(0, ban, policy.ScopeAll, time.Hour)
	fmt.Println(err)
	// Output: impose ban of 198.51.100.7/32: never banned: trunk
}

// An engine goes on where another one stood from the blocks that it gave, which the caller keeps.
func ExampleRecall() {
	first, err := policy.New(policy.DefaultOptions())
	if err != nil {
		fmt.Println(err)
		return
	}
	source := netip.MustParseAddrPort("203.0.113.5:40000")
	first.Observe(policy.Observation{
		At: 1e18, Source: source, Kind: policy.KindFailedACL, Service: policy.ServicePJSIP, Stream: true,
	})

	var log [][]byte
	for {
		block, n := first.Changes(nil, 1000)
		if n == 0 {
			break
		}
		log = append(log, block)
	}

	blocks := func(yield func([]byte) bool) {
		for _, block := range log {
			if !yield(block) {
				return
			}
		}
	}
	second, found, err := policy.Recall(policy.DefaultOptions(), 1e18, blocks)
	fmt.Println(second.Explain(source.Addr()).Attempts, "attempt,", found.Damaged, "damaged blocks,", err)
	// Output: 1 attempt, 0 damaged blocks, <nil>
}
