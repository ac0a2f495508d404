// Package stream adds to the AMI session of one PBX what the daemon needs: what an event means, how
// late it is, and whether the stream can be trusted. A [Fleet] runs the sessions of all PBXs.
//
//	ami.Session ── event ──→ Session ── Sighting ──→ judge     a full channel makes the session wait
//	                         Session ── Learn ─────→ protect   which addresses are ours and the PBX's
//	                         Session ── Publish ───→ feed      for `amifend events`; drops what is not read
//	status      ←── Lag, ClockAhead, … ── Session              atomic values, read by anybody
//
// The channel to the judge is the only one of the daemon that makes its sender wait. A session that
// waits counts the stall; Asterisk ends a session that is about 4 MB behind.
package stream

import (
	"time"

	"github.com/amifend/amifend/ami"
	"github.com/amifend/amifend/cmd/amifend/internal/clock"
	"github.com/amifend/amifend/policy"
	"github.com/amifend/amifend/policy/fromami"
)

// Sighting is an observation as a session sends it to the judge, with the time at which the PBX
// made the event.
type Sighting struct {
	policy.Observation
	Made int64 // by the daemon's clock: reception less the stream's lag
	Own  bool  // of our own AMI login

	Transport ami.Transport // by which the request came

	// it was sent before, and its sender is certain now: see [policy.Engine.Confirm]
	Confirm bool
}

// Translator turns the events of one session into sightings. It allocates nothing. One goroutine
// uses it.
type Translator struct {
	number uint16
	hasher policy.Hasher
	clock  clock.Clock
	lag    lagMeter
}

// NewTranslator returns a translator for the server with that number.
func NewTranslator(number uint16, h policy.Hasher, c clock.Clock) *Translator {
	return &Translator{number: number, hasher: h, clock: c}
}

// Sighting translates ev. It returns false for an event that says nothing about anybody: one
// without a certain source.
func (t *Translator) Sighting(ev ami.Event) (Sighting, bool) {
	now := t.clock.Now()
	o, ok := fromami.Translator{Server: t.number, Hasher: t.hasher}.Observation(ev, now)
	if !ok {
		return Sighting{}, false
	}

	return Sighting{
		Observation: o, Made: now - int64(t.behind(now, ev)), Own: ev.Own, Transport: ev.Transport,
	}, true
}

// behind returns how late ev is. The time in a tainted event may be an attacker's, so it does not
// count.
func (t *Translator) behind(now int64, ev ami.Event) time.Duration {
	if ev.Taint != 0 {
		return t.lag.last
	}
	return t.lag.measure(now, ev.Time)
}
