package operate

import (
	"context"
	"errors"
	"net/netip"

	"github.com/amifend/amifend/cmd/amifend/internal/bans"
	"github.com/amifend/amifend/cmd/amifend/internal/control"
	"github.com/amifend/amifend/firewall"
)

// denyStatus returns what is dropped by the operator's lists; nil: there are none.
func (s *Service) denyStatus(ctx context.Context) *control.Denied {
	listed := len(s.Config().Deny) + len(s.Denials.All())
	st := s.Denier.Status()
	if listed == 0 && (st.List == nil || st.List.Listed() == 0) && st.Err == nil {
		return nil
	}

	// A trial holds the lists back, and so does a kernel that refuses them.
	d := &control.Denied{Listed: listed, State: control.StateInKernel}
	switch {
	case s.Config().Dry():
		d.State = control.StateDry
	case st.Held:
		d.State = control.StateTrial
	case st.List == nil || st.Err != nil:
		d.State = control.StatePending
	}

	if st.List != nil {
		d.Ranges = len(st.List.Set.Ranges())
		d.Spared = len(st.List.Out)
	}

	// A table that is gone comes back in a moment, or the enforcer's error says why not.
	if st.Err != nil && !errors.Is(st.Err, firewall.ErrGone) {
		d.Error = st.Err.Error()
	}
	if d.State != control.StateDry && d.State != control.StateTrial {
		if n := s.Denier.Dropped(ctx); n != nil {
			d.Dropped = &n.Packets
		}
	}

	return d
}

// deniedBy returns where an address is listed that is always dropped; "": it is not.
func (s *Service) deniedBy(addr netip.Addr) string {
	list := s.Denier.Status().List
	if list == nil || s.Config().Dry() {
		return ""
	}

	d, ok := list.Find(addr)
	if !ok {
		return ""
	}

	return bans.Printable(d.Where())
}
