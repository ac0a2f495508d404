package app

import (
	"time"

	"github.com/amifend/amifend/ami"
	"github.com/amifend/amifend/cmd/amifend/internal/observe"
	"github.com/amifend/amifend/policy"
)

// sighting is what crosses from a session to the judge: an observation, and when the PBX made it by our clock.
type sighting struct {
	policy.Observation
	made int64 // reception less the stream's lag, nanoseconds since the Unix epoch
	own  bool  // of our own login
}

// translator turns one session's events into sightings. It allocates nothing.
type translator struct {
	server uint16
	hasher policy.Hasher
	clock  clock
	lag    lagMeter
}

// sighting translates ev. It is false for an event that says nothing about anybody: one without a certain source.
func (t *translator) sighting(ev ami.Event) (sighting, bool) {
	now := t.clock.now()
	o, ok := observe.Translator{Server: t.server, Hasher: t.hasher}.Observation(ev, now)
	if !ok {
		return sighting{}, false
	}
	return sighting{Observation: o, made: now - int64(t.behind(now, ev)), own: ev.Own}, true
}

// behind is how late ev is. The EventTV of a tainted event may be an attacker's.
func (t *translator) behind(now int64, ev ami.Event) time.Duration {
	if ev.Taint != 0 {
		return t.lag.last
	}
	return t.lag.measure(now, ev.Time)
}

// lagMeter tells how far an event stream is behind, although the PBX's clock may be wrong: the smallest difference
// between reception and EventTV of the last minutes is the error of the clock, what goes beyond it is lag.
type lagMeter struct {
	cur, prev time.Duration // smallest differences of this window and the one before
	until     int64         // end of this window
	last      time.Duration // the last lag
}

const lagWindow = int64(5 * time.Minute)

func (m *lagMeter) measure(now int64, made time.Time) time.Duration {
	if made.IsZero() {
		return 0
	}
	diff := time.Duration(now - made.UnixNano())
	if now >= m.until {
		m.prev = m.cur
		if now >= m.until+lagWindow { // also the very first event
			m.prev = diff
		}
		m.cur, m.until = diff, now+lagWindow
	}
	m.cur = min(m.cur, diff)
	m.last = diff - min(m.cur, m.prev)
	return m.last
}
