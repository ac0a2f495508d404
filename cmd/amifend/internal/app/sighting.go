package app

import (
	"time"

	"github.com/amifend/amifend/ami"
	"github.com/amifend/amifend/policy"
)

// sighting is what crosses from a session to the judge: an observation, and when the PBX made it by our clock.
type sighting struct {
	policy.Observation
	made int64 // reception less the stream's lag, nanoseconds since the Unix epoch
}

// translator turns one session's events into sightings. It allocates nothing.
type translator struct {
	server uint16
	hasher policy.Hasher
	clock  clock
	lag    lagMeter
}

// kinds maps the library's kinds of events to the engine's: both carry Asterisk's names.
var kinds = func() (table [256]policy.Kind) {
	for k := range table {
		table[k], _ = policy.ParseKind(ami.Kind(k).String())
	}
	return table
}()

var services = [256]policy.Service{
	ami.ServicePJSIP: policy.ServicePJSIP,
	ami.ServiceSIP:   policy.ServiceSIP,
	ami.ServiceAMI:   policy.ServiceAMI,
}

// sighting translates ev. It is false for an event that says nothing about anybody: one without a certain source.
func (t *translator) sighting(ev ami.Event) (sighting, bool) {
	if !ev.Source.IsValid() {
		return sighting{}, false
	}
	now := t.clock.now()
	return sighting{
		Observation: policy.Observation{
			At:        now,
			Source:    ev.Source,
			Server:    t.server,
			LocalPort: ev.Local.Port(),
			Kind:      kinds[ev.Kind],
			Service:   services[ev.Service],
			Stream:    ev.Transport.Stream(),
			Password:  ev.UsingPassword,
			RoundTrip: ev.RoundTrip,
			Unknown:   string(ev.Account) == "<unknown>",
			Injected:  ev.Taint != 0,
			Session:   t.hasher.Session(ev.Session),
			Account:   t.hasher.Label(ev.Account),
		},
		made: now - int64(t.behind(now, ev)),
	}, true
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
