package policy

import (
	"net/netip"

	"github.com/amifend/amifend/policy/internal/table"
)

// ProvedByNobody returns addresses that have proved themselves within the proof window by a success
// whose address nobody could have chosen ([ChooserNobody]). It looks at n records, beginning with the
// one at from, 0 for the first, and returns where to go on; 0: there are no more. Addresses that are
// touched between two calls may be missing or come twice.
func (e *Engine) ProvedByNobody(from, n int) (addrs []netip.Addr, next int) {
	first := table.Ref(from + 1)
	end := min(first+table.Ref(n), table.Ref(e.sources.Slots()+1))
	for r := first; r < end; r++ {
		if !e.sources.Used(r) {
			continue
		}
		if s := e.sources.Val(r); s.flags&firmProof != 0 && e.hasProof(s) {
			addrs = append(addrs, e.sources.Key(r).key().prefix().Addr())
		}
	}

	if int(end) > e.sources.Slots() {
		return addrs, 0
	}
	return addrs, int(end) - 1
}
