package app

import (
	"context"
	"errors"
	"net/netip"

	"github.com/amifend/amifend/cmd/amifend/internal/control"
	"github.com/amifend/amifend/firewall"
)

// denyStatus tells what is dropped by the operator's lists; nil: there are none.
func (k *desk) denyStatus(ctx context.Context) *control.Denied {
	listed := len(k.config.Load().Deny)
	list, err := k.denier.status()
	if listed == 0 && (list == nil || list.Listed() == 0) && err == nil {
		return nil
	}
	d := &control.Denied{Listed: listed, State: control.StateInKernel}
	switch {
	case k.config.Load().Dry():
		d.State = control.StateDry
	case k.denier.isHeld():
		d.State = control.StateTrial
	case list == nil || err != nil:
		d.State = control.StatePending
	}
	if list != nil {
		d.Ranges, d.Spared = len(list.Set.Ranges()), len(list.Out)
	}
	if err != nil && !errors.Is(err, firewall.ErrGone) { // one that is gone comes back in a moment, or the enforcer says why not
		d.Error = err.Error()
	}
	if d.State != control.StateDry && d.State != control.StateTrial {
		d.Dropped = k.deniedPackets(ctx)
	}
	return d
}

// deniedBy tells where an address is listed that is always dropped; "": it is not.
func (k *desk) deniedBy(addr netip.Addr) string {
	list, _ := k.denier.status()
	if list == nil || k.config.Load().Dry() {
		return ""
	}
	d, ok := list.Find(addr)
	if !ok {
		return ""
	}
	return printable(d.Where())
}

// deniedPackets reads how many packets the lists dropped; nil: the kernel does not answer, or has not answered the one before.
func (k *desk) deniedPackets(ctx context.Context) *uint64 {
	if !k.counting.TryLock() {
		return nil
	}
	answer := make(chan *uint64, 1)
	go func() {
		defer k.counting.Unlock()
		if d, err := k.table.Denied(ctx); err == nil {
			answer <- &d.Packets
			return
		}
		answer <- nil
	}()
	select {
	case n := <-answer:
		return n
	case <-ctx.Done():
		return nil
	}
}
