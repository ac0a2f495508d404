package policy

import (
	"net/netip"
	"testing"
	"time"
)

// Bans that are taken over by a start do not make what is saved of their sources be saved again,
// unless they say more.
func TestAdoptedBansAreNoChange(t *testing.T) {
	o := fixedOptions()
	e := mustNew(t, func(*Options) {})
	ban := func(last byte, strike int) Ban {
		return Ban{
			Prefix: netip.PrefixFrom(
				netip.AddrFrom4([4]byte{203, 0, last, 5}),
				32,
			), Scope: ScopeAll, From: start, Until: start + int64(time.Hour),
			Rule: RuleScore, Score: 4, Attempts: 4, Strike: strike,
		}
	}
	for i := range byte(100) {
		e.AdoptBan(start, ban(i, 2))
	}
	var log saved
	log.all(e)
	next, got := log.recall(t, o, start+int64(time.Minute))
	if got.Entries < 100 {
		t.Fatalf("%+v", got)
	}
	next.AdoptBan(start+int64(time.Minute), ban(7, 3)) // more is known of this one
	for i := range byte(100) {
		if i != 7 {
			b := ban(i, 2)
			b.Until += int64(time.Second) // by the clocks of two runs
			next.AdoptBan(start+int64(time.Minute), b)
		}
	}
	if _, n := next.Changes(nil, 5000); n != 1 {
		t.Errorf("%d entries changed, want 1", n)
	}
	if x := next.Explain(netip.AddrFrom4([4]byte{203, 0, 7, 5})); x.Strikes != 3 || !x.Banned {
		t.Errorf("%+v", x)
	}
}
