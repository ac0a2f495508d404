package operate

import (
	"context"
	"fmt"

	"github.com/amifend/amifend/cmd/amifend/internal/control"
)

// Reconcile has kernel, journal and engine compared now, and returns what was repaired.
func (s *Service) Reconcile(ctx context.Context, by control.Peer) (control.Reconciled, error) {
	if !s.Enforcer.Compares() {
		return control.Reconciled{}, control.Errorf(control.CodeFailed,
			"there is nothing to compare: this daemon is a dry run, or has no journal")
	}

	compared, err := s.Enforcer.Compare(ctx)
	switch {
	case err != nil:
		return control.Reconciled{}, Refusal(err)
	case compared.Failed != "":
		return control.Reconciled{}, control.Errorf(control.CodeFailed, "nothing was compared: %s",
			compared.Failed).
			Advise("amifend status")
	}

	// What was repaired is in the kernel when the answer comes, if the kernel takes it.
	out := control.Reconciled(compared.Found)
	s.record(by, "reconcile", fmt.Sprintf("%d repaired", out.Repaired()), "")
	_, err = s.Enforcer.Flush(ctx)
	return out, Refusal(err)
}
