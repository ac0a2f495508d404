package policy

// A debt is what some failures have added to their source's scores, kept apart by whether they were
// proven: a success that could have been forged takes back only what could have been forged.
type debt struct {
	proven, forgeable         float32
	slowProven, slowForgeable float32 // the same on the scale of slowHalfLife
	chosen, slowChosen        uint8   // the shares of what is forgeable, see shareUnit
}

// add adds the weight of an attempt that counted, and its weight on the slow scale.
func (d *debt) add(ev *Evidence, slow float32) {
	if ev.Proven() {
		d.proven += ev.Weight
		d.slowProven += slow
		return
	}
	d.chosen = shareAfter(d.forgeable, d.chosen, ev.Weight, ev.Chooser)
	d.slowChosen = shareAfter(d.slowForgeable, d.slowChosen, slow, ev.Chooser)
	d.forgeable += ev.Weight
	d.slowForgeable += slow
}

// fade multiplies the debt with what time has left of it on each of the two scales.
func (d *debt) fade(fast, slow float32) {
	d.proven *= fast
	d.forgeable *= fast
	d.slowProven *= slow
	d.slowForgeable *= slow
}

// forgive takes a debt from a source's scores, and empties it. The proven part stays unless the
// success that forgives it was proven.
func (e *Engine) forgive(s *source, d *debt, by Chooser) {
	s.forgeable, s.chosen = reduced(s.forgeable, s.chosen, d.forgeable, d.chosen)
	s.slowForgeable, s.slowChosen = reduced(s.slowForgeable, s.slowChosen, d.slowForgeable, d.slowChosen)
	d.forgeable, d.slowForgeable, d.chosen, d.slowChosen = 0, 0, 0, 0

	if by.Proven() {
		s.proven = max(0, s.proven-d.proven)
		s.slowProven = max(0, s.slowProven-d.slowProven)
		d.proven, d.slowProven = 0, 0
	}

	// What is below calm makes no difference until the next attempt.
	if s.proven+s.forgeable < e.calm {
		s.proven, s.forgeable = 0, 0
	}
	if s.slowProven+s.slowForgeable < e.slowCalm && s.proven+s.forgeable == 0 {
		s.slowProven, s.slowForgeable, s.attempts = 0, 0, 0
	}
}
