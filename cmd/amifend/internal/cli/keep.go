package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/amifend/amifend/cmd/amifend/internal/config"
	"github.com/amifend/amifend/cmd/amifend/internal/control"
	"github.com/amifend/amifend/cmd/amifend/internal/setup"
	"github.com/amifend/amifend/cmd/amifend/internal/wording"
)

// Keep is `amifend keep`.
type Keep struct {
	daemonFlags
}

// Help returns the detailed help.
func (*Keep) Help() string {
	return `Ends a trial. The bans that were made in it get their whole time, and from now on bans
are made as usual.

For a trial of amifend enforce it needs root: the line observe = false of the config stays. If
somebody has put observe = true back, keep changes it again, and keeps a copy of the file. After a
restart or a reboot in the trial amifend observes, and keep begins to ban for good. When the trial
is over and the line is put back, there is nothing to keep.

For amifend run --trial it also works when the trial is over. The bans that were only logged since
then, and would still run, then come into force.`
}

// Run keeps the bans of the trial.
func (c *Keep) Run(ctx context.Context) error {
	client, err := c.client()
	if err != nil {
		return err
	}
	s, err := client.Status(ctx)
	if err != nil {
		return err
	}
	if s.Trial != nil && !s.Trial.Enforce || s.Trial == nil && !s.Observe {
		return c.tell(client.Keep(ctx)) // the config says to ban anyway
	}

	// The config of a daemon that was found by its socket is not known.
	if c.Socket != "" {
		return usageError("amifend keep changes the config of this daemon: name the config " +
			"with --config, in place of --socket")
	}
	k := &keeping{client: client, path: cmp.Or(c.Config, defaultConfig)}
	if k.trial, err = setup.ReadTrial(k.path); err != nil {
		return initError(err)
	}
	if k.edit, err = setup.PrepareEdit(k.path); err != nil {
		return initError(err)
	}

	switch {
	case s.Trial != nil:
		return c.tell(k.run(ctx, func() (control.Kept, error) { return client.Keep(ctx) }))
	case k.trial == nil || k.edit.Needed():
		return c.tell(client.Keep(ctx)) // which says that there is nothing to keep
	}

	// A restart ended the trial, or nobody put the line back: there are no bans to keep.
	return c.tell(k.run(ctx, func() (control.Kept, error) {
		if _, err := client.Reload(ctx); err != nil {
			return control.Kept{}, err
		}
		_, err := awaitTurn(ctx, client, s)
		return control.Kept{}, err
	}))
}

// keeping is the change of the config when a trial is kept.
type keeping struct {
	client *control.Client
	path   string        // of the config
	trial  *config.Trial // nil: the line was put back already
	edit   *setup.Edit
}

// run makes the config say for good that amifend bans, and calls keep. If keep fails, the config is
// again as it was.
func (k *keeping) run(
	ctx context.Context, keep func() (control.Kept, error),
) (control.Kept, error) {
	// The config comes first. After a crash in between, amifend bans, as the user asked.
	backup, err := k.edit.Write()
	if err != nil {
		return control.Kept{}, initError(err)
	}
	if err := setup.RemoveTrial(k.path); err != nil {
		return control.Kept{}, errors.Join(initError(err), takeBack(k.edit))
	}

	kept, err := keep()
	if err != nil {
		return kept, errors.Join(err, k.undo(ctx))
	}
	stopTimer(ctx, k.path)
	fmt.Print(editText(k.edit, backup))
	return kept, nil
}

// undo makes the config again what it was. The timer may have fired meanwhile, and have found nothing
// to do. Then the line is put back here.
func (k *keeping) undo(ctx context.Context) error {
	if k.trial == nil {
		return takeBack(k.edit)
	}
	if err := setup.WriteTrial(k.path, k.trial); err != nil {
		return initError(err)
	}
	if time.Now().Before(k.trial.Ends) {
		return nil
	}
	return (&Enforce{configFlag: configFlag{k.path}}).putBack(context.WithoutCancel(ctx))
}

// tell prints what was kept.
func (c *Keep) tell(k control.Kept, err error) error {
	if err != nil {
		return err
	}
	if c.JSON {
		return printJSON(k, k.Note)
	}

	// The note is about changes that the disk or the kernel does not have yet.
	text := "the trial is ended: " + wording.Count(k.Bans, "ban") +
		" kept, and from now on bans are made as usual"
	if k.Note != "" {
		text += "; " + k.Note
	}

	_, err = fmt.Println(text)
	return err
}
