package policy

import (
	"math"
	"time"
)

// refade converts scores from one half-life to another. Scores stand in the records as of the
// latest event, and fade when they are looked at: a longer half-life would otherwise wake those
// that have faded long ago.
type refade struct{ from, to float64 } // seconds

func newRefade(from, to time.Duration) refade { return refade{from.Seconds(), to.Seconds()} }

func (f refade) none() bool { return f.from == f.to || f.from <= 0 }

// maxRefade bounds the factor by which a score grows when its half-life gets shorter, so that it
// stays a number. So large a score is gone after a hundred of the new half-lives anyway.
const maxRefade = 1e30

// factor returns the factor for a score that stands as of dt seconds ago and fades in so many
// half-lives.
func (f refade) factor(dt uint32, halves float64) float32 {
	return float32(min(math.Exp2(float64(dt)/halves*(1/f.to-1/f.from)), maxRefade))
}

// slow returns the conversion on the scale of slowHalfLife.
func (f refade) slow() refade {
	s := slowHalfLife.Seconds()
	return refade{max(s, f.from), max(s, f.to)}
}

func scale(factor float32, scores ...*float32) {
	for _, v := range scores {
		*v = min(*v*factor, math.MaxFloat32)
	}
}

func since(now, at uint32) uint32 { return now - min(now, at) }

func (f refade) source(s *source, now uint32) {
	if f.none() {
		return
	}
	dt := since(now, s.at)
	scale(f.factor(dt, 1), &s.proven, &s.forgeable, &s.guess)
	if slow := f.slow(); !slow.none() {
		scale(slow.factor(dt, 1), &s.slowProven, &s.slowForgeable, &s.slowGuess)
	}
}

func (f refade) network(n *network, now uint32) {
	if !f.none() {
		scale(f.factor(since(now, n.at), networkHalfLives), &n.proven, &n.forgeable, &n.guess)
	}
}

func (f refade) pair(p *pair, now uint32) { f.debt(&p.debt, since(now, p.touched)) }

func (f refade) silent(q *silent, now uint32) { f.debt(&q.debt, since(now, q.debtAt)) }

func (f refade) debt(d *debt, dt uint32) {
	if f.none() {
		return
	}
	scale(f.factor(dt, 1), &d.proven, &d.forgeable)
	if slow := f.slow(); !slow.none() {
		scale(slow.factor(dt, 1), &d.slowProven, &d.slowForgeable)
	}
}
