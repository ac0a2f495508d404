package app

import (
	"context"
	"fmt"
	"time"

	"github.com/amifend/amifend/cmd/amifend/internal/control"
)

// Reconcile compares kernel, journal and engine now, and tells what was repaired.
func (k *desk) Reconcile(ctx context.Context, by control.Peer) (control.Reconciled, error) {
	e := k.enforcer
	if e.inquiry.memory == nil {
		return control.Reconciled{}, control.Errorf(control.CodeFailed, "there is nothing to compare: this daemon is a dry run, or has no journal")
	}
	before, err := ask(ctx, e.asks, askEnforcer, func() uint64 {
		e.inquiry.hurry(e.clock.now())
		return e.inquiry.last.count
	})
	for err == nil {
		var last comparison
		last, err = ask(ctx, e.asks, askEnforcer, func() comparison { return e.inquiry.last })
		switch {
		case err != nil || last.count == before:
			sleep(ctx, 20*time.Millisecond)
			continue
		case last.err != "":
			return control.Reconciled{}, control.Errorf(control.CodeFailed, "nothing was compared: %s", last.err).Advise("amifend status")
		}
		out := last.found.told()
		k.record(by, "reconcile", fmt.Sprintf("%d repaired", out.Repaired()), "")
		_, err = k.settled(ctx, nil)
		return out, err
	}
	return control.Reconciled{}, err
}

func (n differences) told() control.Reconciled {
	return control.Reconciled{
		PutBack: n.missing, Restored: n.restored, Adopted: n.adopted, Lifted: n.lifted, EndCorrected: n.moved, WrittenAgain: n.unknown,
	}
}
