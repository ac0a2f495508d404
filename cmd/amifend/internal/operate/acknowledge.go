package operate

import (
	"context"

	"github.com/amifend/amifend/cmd/amifend/internal/control"
)

// Acknowledge removes the loss of the journal from the status.
func (s *Service) Acknowledge(ctx context.Context, by control.Peer) (control.Acknowledged, error) {
	if s.Journal == nil {
		return control.Acknowledged{}, nil
	}

	was, err := s.Journal.Acknowledge(ctx)
	if err != nil {
		return control.Acknowledged{}, control.Errorf(control.CodeFailed,
			"the journal cannot be written: %s", err).Advise("amifend status")
	}
	if was {
		s.record(by, "acknowledge", "the loss of the journal", "")
	}
	return control.Acknowledged{Journal: was}, nil
}
