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
	next = e.walkSources(from, n, func(k key, s *source) {
		if s.flags&firmProof != 0 && e.hasProof(s) {
			addrs = append(addrs, k.prefix().Addr())
		}
	})
	return addrs, next
}

// Proof is an address that has proved itself by a success, and when it did so last.
type Proof struct {
	Addr netip.Addr
	At   int64 // in nanoseconds since 1970, in whole seconds
}

// Proved returns the addresses that have proved themselves within the proof window, whoever could have
// chosen the address of the success. from, n and next are those of [Engine.ProvedByNobody].
func (e *Engine) Proved(from, n int) (proofs []Proof, next int) {
	next = e.walkSources(from, n, func(k key, s *source) {
		if e.hasProof(s) {
			proofs = append(proofs, Proof{k.prefix().Addr(), nanos(s.proofAt)})
		}
	})
	return proofs, next
}

// walkSources calls visit with the records of n places of the table of sources, from one on. It returns
// where to go on; 0: there are no more.
func (e *Engine) walkSources(from, n int, visit func(key, *source)) (next int) {
	first := table.Ref(from + 1)
	end := min(first+table.Ref(n), table.Ref(e.sources.Slots()+1))
	for r := first; r < end; r++ {
		if e.sources.Used(r) {
			visit(e.sources.Key(r).key(), e.sources.Val(r))
		}
	}
	if int(end) > e.sources.Slots() {
		return 0
	}
	return int(end) - 1
}
