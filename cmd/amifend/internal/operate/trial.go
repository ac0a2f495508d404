package operate

import (
	"context"
	"fmt"

	"github.com/amifend/amifend/cmd/amifend/internal/control"
	"github.com/amifend/amifend/cmd/amifend/internal/judge"
)

// Keep ends the trial: its bans get their whole time, and from now on bans are made as usual.
func (s *Service) Keep(ctx context.Context, by control.Peer) (control.Kept, error) {
	// keep also puts the trial's deny lists into the kernel, which may cut off the operator who
	// runs it.
	if s.Denier.Status().Held {
		if what, do := CutOff(s.Config(), s.Denials.List(), s.Watcher.Current(),
			s.Lockout); what != "" {
			return control.Kept{}, control.Errorf(control.CodeFailed, "nothing was changed: %s",
				what).Advise("%s", do)
		}
	}

	if s.BeforeKeep != nil {
		if err := s.BeforeKeep(); err != nil {
			return control.Kept{}, err
		}
	}

	// A call that is cut off must not keep only some of the trial's bans.
	ctx, cancel := Outlasting(ctx)
	defer cancel()

	kept, wasOn, err := s.Judge.Keep(ctx)
	out := control.Kept{Bans: kept}
	switch {
	case err != nil:
		return out, Refusal(err)
	case !wasOn:
		return control.Kept{}, control.Errorf(control.CodeNoTrial,
			"this daemon is not on trial: its bans are kept anyway")
	}

	s.Denier.Release()
	if s.Feeder != nil {
		s.Feeder.Release()
	}
	s.Log.Info("the trial's bans are kept: from now on bans are made as usual", "bans", kept)
	s.record(by, "keep", fmt.Sprintf("%d bans of the trial", kept), "")

	if _, err := s.Enforcer.Flush(ctx); err != nil {
		return out, Refusal(err)
	}
	if !s.isOnDisk(ctx, false) {
		out.Note = "the journal does not have it yet: after a crash now the bans may end early " +
			"(amifend status)"
	}

	return out, nil
}

// trialStatus returns the state of the trial in the form of the API; nil if there is none.
func (s *Service) trialStatus(t *judge.Trial) *control.Trial {
	if t == nil {
		return nil
	}
	return &control.Trial{Ends: t.Ends, Over: t.Over, Bans: t.Bans, Enforce: s.ObservesAfter}
}

// stamp is the format of times for people.
const stamp = "2006-01-02 15:04:05 MST"

// trialLine describes what a trial means for bans.
func trialLine(t *judge.Trial) string {
	if t.Over {
		return "it is over and was not kept: bans that were made in it or later drop nothing; " +
			"amifend keep puts them in force"
	}
	return "bans that were made in it end at " + t.Ends.Local().Format(stamp) +
		"; amifend keep gives them their whole time"
}

// trialWarning describes what a trial means.
func (s *Service) trialWarning(t *judge.Trial) control.Warning {
	ends := t.Ends.Local().Format(stamp)
	if s.ObservesAfter && !t.Over {
		return control.Warning{
			About: "trial",
			What:  fmt.Sprintf("at %s its bans end (%d now), and amifend observes again", ends, t.Bans),
			Do:    "sudo amifend keep, when you are sure that you can still log in",
		}
	}

	if t.Over {
		return control.Warning{
			About: "trial",
			What: fmt.Sprintf("it ended at %s and nobody kept its bans: nobody is banned now, "+
				"%d would be", ends, t.Bans),
			Do: "amifend keep puts them in force; or restart amifend without --trial",
		}
	}

	return control.Warning{
		About: "trial",
		What: fmt.Sprintf("at %s its bans end (%d now), and nobody is banned from then on", ends,
			t.Bans),
		Do: "amifend keep, when you are sure that you can still log in",
	}
}
