package nonce

import (
	"net/netip"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// TestPropertyCleanWentThereOnly: whatever leaves, in whatever order, read or lost, with the rules
// away or not, a nonce that is clean left for one address alone, and nobody else can know it.
func TestPropertyCleanWentThereOnly(t *testing.T) {
	addrs := []netip.Addr{victim, attacker, other, netip.MustParseAddr("2001:db8::7")}
	cleanOnes := 0
	rapid.Check(t, func(t *rapid.T) {
		l := newLab()
		l.wait(time.Second)

		// What really happened: who knows which nonce. Who sends over TLS knows their own.
		knows := map[Nonce]map[netip.Addr]bool{}
		lost := false
		var all []Nonce
		one := rapid.SampledFrom(addrs)
		for range rapid.IntRange(1, 60).Draw(t, "steps") {
			switch rapid.IntRange(0, 9).Draw(t, "step") {
			case 0:
				// Some wait is needed: time is nanoseconds, and nothing happens within the same one.
				l.wait(rapid.SampledFrom([]time.Duration{
					time.Millisecond, 300 * time.Millisecond,
					time.Second, 3 * time.Second,
				}).Draw(t, "wait"))
			case 1:
				if rapid.Bool().Draw(t, "overrun") {
					l.Overrun(l.at)
					lost = true
				}
			case 2:
				if lost {
					l.Drained()
				}
			case 3: // the rules are away for a moment, in which a nonce leaks
				n := nonceOf(l.second(), victim)
				all = append(all, n)
				if knows[n] == nil {
					knows[n] = map[netip.Addr]bool{victim: true}
				}
				knows[n][attacker] = true
				l.Gap(l.at)
			case 4, 5, 6, 7, 8, 9:
				from := one.Draw(t, "from")
				second := l.second() - rapid.SampledFrom([]uint32{0, 0, 0, 0, 1, 4}).Draw(t, "late")
				n := nonceOf(second, from)
				all = append(all, n)
				a := plain(from)
				if rapid.IntRange(0, 3).Draw(t, "maddr") == 0 {
					a = maddr(from, one.Draw(t, "to"))
				}
				if knows[n] == nil {
					knows[n] = map[netip.Addr]bool{from: true}
				}
				knows[n][a.To] = true
				if lost && rapid.Bool().Draw(t, "lose") {
					l.lose()
					break
				}
				l.send(a, n)
				lost = lost && l.tail != tailWhole
			}

			if len(all) == 0 {
				continue
			}
			n, from := rapid.SampledFrom(all).Draw(t, "nonce"), one.Draw(t, "in the name of")
			if l.clean(n, from) {
				cleanOnes++
				if len(knows[n]) != 1 || !knows[n][from] {
					t.Fatalf("%s proves %s, and is known to %v", n, from, knows[n])
				}
			}
		}
	})
	if cleanOnes == 0 {
		t.Error("nothing was ever clean")
	}
}
