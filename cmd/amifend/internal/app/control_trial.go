package app

import (
	"context"
	"fmt"
	"reflect"
	"time"

	"github.com/amifend/amifend/cmd/amifend/internal/control"
)

// keepMost is how many bans the judge keeps at a time.
const keepMost = 256

// Keep ends the trial: its bans get their whole time, and from now on bans are made as usual.
func (k *desk) Keep(ctx context.Context, by control.Peer) (control.Kept, error) {
	type answer struct {
		on   bool
		kept int
		more bool
	}
	if what, do := k.cutOff(k.config.Load()); what != "" && k.denier.isHeld() {
		return control.Kept{}, control.Errorf(control.CodeFailed, "nothing was changed: %s", what).Advise("%s", do)
	}
	ctx, cancel := outlasting(ctx) // who asked may go: else the trial would be over with some of its bans
	defer cancel()
	var out control.Kept
	for first := true; ; first = false {
		a, err := ask(ctx, k.judge.asks, askJudge, func() answer {
			on := k.judge.trial.bans != nil // also when a command before this one was cut off
			kept, more := k.judge.keep(keepMost)
			return answer{on, kept, more}
		})
		switch {
		case err != nil:
			return out, err
		case first && !a.on:
			return out, control.Errorf(control.CodeNoTrial, "this daemon is not on trial: its bans are kept anyway")
		}
		out.Bans += a.kept
		if !a.more {
			break
		}
	}
	k.denier.release()
	k.Log.Info("the trial's bans are kept: from now on bans are made as usual", "bans", out.Bans)
	k.record(by, "keep", fmt.Sprintf("%d bans of the trial", out.Bans), "")
	if _, err := k.settled(ctx, nil); err != nil {
		return out, err
	}
	if !k.onDisk(ctx) {
		out.Note = "the journal does not have it yet: after a crash now the bans may end early (amifend status)"
	}
	return out, nil
}

// trialStatus tells how the trial is; nil if there is none. Only the judge may call it.
func (j *judge) trialStatus() *control.Trial {
	t := &j.trial
	if t.ends == 0 {
		return nil
	}
	return &control.Trial{Ends: j.clock.wallTime(t.ends).Truncate(time.Second), Over: t.over(j.clock.now()), Bans: len(t.bans)}
}

// trialLine says what a trial means for who is banned.
func trialLine(t *control.Trial) string {
	if t.Over {
		return "it is over and was not kept: bans that were made in it or later drop nothing; amifend keep puts them in force"
	}
	return "bans that were made in it end at " + t.Ends.Local().Format(time.DateTime) + "; amifend keep gives them their whole time"
}

// trialWarning says what a trial means.
func trialWarning(t *control.Trial) control.Warning {
	ends := t.Ends.Local().Format(time.DateTime)
	if t.Over {
		return control.Warning{
			About: "trial", What: fmt.Sprintf("it ended at %s and nobody kept its bans: nobody is banned now, %d would be", ends, t.Bans),
			Do: "amifend keep puts them in force; or restart amifend without --trial",
		}
	}
	return control.Warning{
		About: "trial", What: fmt.Sprintf("at %s its bans end (%d now), and nobody is banned from then on", ends, t.Bans),
		Do: "amifend keep, when you are sure that you can still log in",
	}
}

// eachWatched hands on the bans that a trial that is over would have made.
func (k *desk) eachWatched(ctx context.Context, visit func([]control.Ban)) error {
	if k.Trial == 0 {
		return nil
	}
	type part struct {
		bans []control.Ban
		more bool
	}
	var at *reflect.MapIter // a map's iterator may stand still while the map changes: only the judge moves it
	for {
		p, err := ask(ctx, k.judge.asks, askJudge, func() part {
			now := k.clock.now()
			if !k.judge.trial.over(now) {
				return part{}
			}
			if at == nil {
				at = reflect.ValueOf(k.judge.trial.bans).MapRange()
			}
			bans, more := k.judge.trial.walk(at, walkMost, now)
			return part{bans, more}
		})
		if err != nil {
			return err
		}
		visit(p.bans)
		if !p.more {
			return nil
		}
	}
}
