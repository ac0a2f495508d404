package stream

import (
	"sync"

	"github.com/amifend/amifend/ami"
	"github.com/amifend/amifend/policy/refusals"
)

// explained counts the events that explain a refusal of the PBX, by the address that they name. It
// counts only for somebody who takes the counts, and remembers as many addresses as [refusals.Judge]
// does.
type explained struct {
	mu     sync.Mutex
	on     bool
	lost   bool // some were not counted
	counts map[refusals.Key]Explained
	spare  map[refusals.Key]Explained // empty: what was taken before
}

// Explained is how many events named an address.
type Explained struct{ Challenged, Failed uint32 }

// note counts an event. It allocates nothing for an address that it knows.
func (e *explained) note(ev *ami.Event) {
	if ev.Kind != ami.KindChallengeSent && ev.Kind != ami.KindChallengeResponseFailed {
		return
	}
	if ev.Service != ami.ServicePJSIP || !ev.Source.IsValid() {
		return
	}

	// The kernel cannot read what goes over TLS, so such events explain nothing that it counts.
	k := refusals.Key{Addr: ev.Source.Addr().Unmap().WithZone("")}
	switch ev.Transport {
	case ami.TransportUDP:
	case ami.TransportTCP, ami.TransportWS:
		k.Stream = true
	default:
		return
	}

	e.mu.Lock()
	defer e.mu.Unlock()
	if !e.on {
		return
	}
	n, known := e.counts[k]
	if !known && len(e.counts) >= refusals.MostKeys {
		e.lost = true
		return
	}
	if ev.Kind == ami.KindChallengeSent {
		n.Challenged++
	} else {
		n.Failed++
	}
	e.counts[k] = n
}

// TakeExplained returns how many events named which address since the last call, and whether none is
// missing. The first call begins to count. The map is valid until the next call. One goroutine may
// call it.
func (s *Session) TakeExplained() (counts map[refusals.Key]Explained, complete bool) {
	e := &s.explained
	e.mu.Lock()
	defer e.mu.Unlock()

	if e.counts == nil {
		e.counts, e.spare = map[refusals.Key]Explained{}, map[refusals.Key]Explained{}
	}
	complete = e.on && !e.lost
	e.on, e.lost = true, false

	clear(e.spare)
	e.counts, e.spare = e.spare, e.counts
	return e.spare, complete
}

// Number returns the number by which the judge knows the server.
func (s *Session) Number() uint16 { return s.translator.number }
