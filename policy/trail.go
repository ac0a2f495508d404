package policy

import (
	"cmp"
	"slices"
)

// evidenceKept is the number of attempts of a source that are kept to explain a ban.
const evidenceKept = 8

// maxTrails bounds the sources whose attempts are kept: some 5 MiB in all. Those with a single
// attempt are forgotten first, so that a flood of random sources does not take away what explains
// the ban of a real one.
const maxTrails = 1 << 13

// trailList names the lists of the table of trails.
type trailList uint8

// The lists, in the order in which they give up records.
const (
	trailsSingle  trailList = iota // one attempt
	trailsSeveral                  // several
)

// trail is a ring of the latest attempts of one source.
type trail struct {
	n    uint32 // how many were ever kept
	ring [evidenceKept]Evidence
}

// recordEvidence remembers an attempt that counts.
func (e *Engine) recordEvidence(k key, ev Evidence) {
	r := e.trails.Get(k)
	if r == 0 {
		r = e.trails.Add(k, trailsSingle)
	} else {
		e.trails.Move(r, trailsSeveral)
	}

	e.trails.Mark(r)
	t := e.trails.Val(r)
	ev.dialled = false // it only mattered to rules
	if ev.Chooser == ChooserRoundTrip && t.confirm(ev) {
		return
	}
	t.ring[t.n%evidenceKept] = ev
	t.n++
}

// confirm puts proven evidence in the place of the same attempt as it was recorded before. It reports
// whether that is there.
func (t *trail) confirm(ev Evidence) bool {
	for i := range t.ring {
		old := &t.ring[i]
		if old.At == ev.At && old.Kind == ev.Kind && old.Port == ev.Port && old.Server == ev.Server &&
			old.Account == ev.Account && !old.Proven() {
			*old = ev
			return true
		}
	}
	return false
}

// exportEvidence returns what is remembered of a source's attempts, oldest first, valid until the
// engine's next call. Attempts from before its score was last zero are left out.
func (e *Engine) exportEvidence(k key, attempts uint16) []Evidence {
	r := e.trails.Get(k)
	if r == 0 {
		return nil
	}

	start := len(e.evidenceOut)
	e.evidenceOut = e.trails.Val(r).latest(e.evidenceOut, uint32(attempts))
	return e.evidenceOut[start:len(e.evidenceOut):len(e.evidenceOut)]
}

// latest appends the latest n attempts to out, as far as they are kept, oldest first.
func (t *trail) latest(out []Evidence, n uint32) []Evidence {
	start := len(out)
	for i := t.n - min(t.n, evidenceKept, n); i != t.n; i++ {
		out = append(out, t.ring[i%evidenceKept])
	}

	// An attempt that was let pass may be older than those recorded before it.
	slices.SortStableFunc(out[start:], func(a, b Evidence) int { return cmp.Compare(a.At, b.At) })
	return out
}
