package sensor

import (
	"net/netip"
	"sync/atomic"

	"github.com/amifend/amifend/cmd/amifend/internal/stream"
)

// place is where a PBX answers from.
type place struct {
	session *stream.Session
	number  uint16
	shared  bool // several PBXs answer from it
	local   bool // it is this machine's
}

// places says which PBX answers from which address. It is replaced whole.
type places struct {
	byAddr atomic.Pointer[map[netip.Addr]place]
}

// newPlaces returns places that know no PBX yet.
func newPlaces() *places {
	p := &places{}
	p.byAddr.Store(&map[netip.Addr]place{})
	return p
}

func (p *places) of(addr netip.Addr) (place, bool) {
	out, ok := (*p.byAddr.Load())[addr.Unmap()]
	return out, ok
}

// locate finds out which PBX answers from which address. A PBX whose address is one of this machine
// answers from all addresses of this machine. An address that two PBXs have is shared: their answers
// cannot be told apart.
func (s *Sensor) locate(sessions []*stream.Session) {
	own := s.Watcher.Own()
	isOwn := make(map[netip.Addr]bool, len(own))
	for _, a := range own {
		isOwn[a] = true
	}

	m := map[netip.Addr]place{}
	put := func(a netip.Addr, one *stream.Session, local bool) {
		p := m[a]
		if p.session == nil {
			p.session, p.number = one, one.Number()
		}
		p.shared = p.shared || p.session != one
		p.local = p.local || local
		m[a] = p
	}
	for _, one := range sessions {
		local := false
		for _, a := range s.Watcher.AddressesOf(one.Name()) {
			switch a = a.Unmap(); {
			case a.IsLoopback() || isOwn[a]:
				local = true
			case !a.IsUnspecified() && a.IsValid():
				put(a, one, false)
			}
		}
		if local {
			for _, a := range own {
				put(a, one, true)
			}
		}
	}
	s.places.byAddr.Store(&m)
}
