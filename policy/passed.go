package policy

// passed is a ring of the latest attempts of one source that were let pass. Those may count later,
// by the numbers in pair: see arrears. The ring only shows them, so it is not saved.
type passed struct {
	ring [passedKept]Evidence // a place whose time is 0 is empty
	next uint8
}

const (
	passedKept = 4
	maxPassed  = 1 << 12 // sources for which they are kept; the one that was quiet longest is forgotten first
)

// recordPassed remembers an attempt that was let pass.
func (e *Engine) recordPassed(k key, ev Evidence) {
	r := e.passes.Get(k)
	if r == 0 {
		r = e.passes.Add(k, only)
	} else {
		e.passes.Move(r, only)
	}

	p := e.passes.Val(r)
	p.ring[p.next] = ev
	p.next = (p.next + 1) % passedKept
}

// confirmPassed notes that nobody could have chosen the source of an attempt that was let pass.
func (e *Engine) confirmPassed(k key, ev *Evidence) {
	r := e.passes.Get(k)
	if r == 0 {
		return
	}
	for i := range e.passes.Val(r).ring {
		old := &e.passes.Val(r).ring[i]
		if old.At == ev.At && old.Port == ev.Port && old.Server == ev.Server && old.Account == ev.Account {
			old.Chooser = ChooserRoundTrip
		}
	}
}

// countPassed moves the attempts that now count with a from the ring to the evidence of the key of,
// which is the source or its site: the latest on the account of a and on others.
func (e *Engine) countPassed(a *attempt, of key) {
	r := e.passes.Get(a.key)
	if r == 0 {
		return
	}

	// The latest first. What is taken leaves its place empty, so that it counts once.
	p, here, elsewhere := e.passes.Val(r), a.passedHere, a.passedElsewhere
	var taken [passedKept]Evidence
	n := 0
	for i := range passedKept {
		ev := &p.ring[(int(p.next)+passedKept-1-i)%passedKept]
		same := ev.Account == a.ev.Account && ev.Server == a.ev.Server
		switch {
		case ev.At == 0:
			continue
		case same && here > 0:
			here--
		case !same && elsewhere > 0:
			elsewhere--
		default:
			continue
		}

		taken[n] = *ev
		*ev = Evidence{}
		n++
	}

	for i := n - 1; i >= 0; i-- {
		e.recordEvidence(of, taken[i])
	}
}
