package operate

import (
	"context"

	"github.com/amifend/amifend/cmd/amifend/internal/control"
)

// NotifyTargets returns the targets of notifications.
func (s *Service) NotifyTargets(ctx context.Context) (control.NotifyTargets, error) {
	found, err := s.Notifier.Targets(ctx)
	if err != nil {
		return control.NotifyTargets{}, Refusal(err)
	}

	out := control.NotifyTargets{Targets: make([]control.NotifyTarget, len(found))}
	for i, t := range found {
		out.Targets[i] = control.NotifyTarget{
			Name: t.Name, Service: t.Service, Waiting: t.Waiting, Gathered: t.Gathered,
			Dropped: t.Dropped, Last: t.Last, Problem: t.Problem, Retry: t.Retry,
		}
	}
	return out, nil
}

// TestNotify sends a test message to a target, or to all.
func (s *Service) TestNotify(
	ctx context.Context, by control.Peer, q control.TestNotify,
) (control.NotifyTested, error) {
	tested, err := s.Notifier.Test(ctx, q.Name, by.String())
	if err != nil {
		return control.NotifyTested{}, Refusal(err)
	}
	if len(tested) == 0 {
		what := "the config in force has no [[notify]]"
		if q.Name != "" {
			what = "the config in force has no [[notify]] of that name"
		}
		return control.NotifyTested{}, control.Errorf(control.CodeBadRequest, "%s", what).
			Advise("amifend notify lists the targets; amifend reload puts a changed config in force")
	}

	s.record(by, "test notify", q.Name, "")
	out := control.NotifyTested{Results: make([]control.NotifyResult, len(tested))}
	for i, t := range tested {
		out.Results[i] = control.NotifyResult{Name: t.Name, Service: t.Service}
		if t.Err != nil {
			out.Results[i].Problem = t.Err.Error()
		}
	}
	return out, nil
}
