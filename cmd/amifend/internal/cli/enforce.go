package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/amifend/amifend/cmd/amifend/internal/control"
	"github.com/amifend/amifend/cmd/amifend/internal/setup"
)

// Enforce is `amifend enforce`.
type Enforce struct {
	configFlag
	// Without a default of kong, which would count as said, and exclude Now.
	Trial span `placeholder:"TIME" xor:"enforce" help:"${enforceTrialHelp}"`
	Now   bool `xor:"enforce" help:"Without a trial: change the config, and ban from now on."`
}

// Help returns the detailed help.
func (*Enforce) Help() string {
	return `Ends observing. amifend bans from now on, at first on trial. Unless you run amifend
keep, the bans end after ten minutes, and amifend observes again. So run it, see that you can still
log in, and keep it.

In the trial the config stays as it is: after a crash or a reboot amifend observes. amifend enforce
shows the line observe = true. amifend keep changes it, and keeps a copy of the file.

Scores, logins and allowances stay. Bans that amifend only observed do not: each source is banned
at its next attempt. amifend logs in to the PBXs again, which takes about a second.

    sudo amifend enforce
    sudo amifend keep`
}

// usualTrial is how long the trial takes if nothing else is said.
const usualTrial = 10 * time.Minute

// turnTime is the longest wait for the daemon to begin to ban.
const turnTime = 30 * time.Second

// Run ends observing.
func (c *Enforce) Run(ctx context.Context) error {
	// A trial that cannot be kept must not begin, so the change of the config is prepared first.
	edit, err := setup.PrepareEdit(c.Config)
	if err != nil {
		return initError(err)
	}

	client, err := daemonFlags{Config: c.Config}.client()
	if err != nil {
		return err
	}

	before, err := client.Status(ctx)
	if err != nil {
		return err
	}

	if c.Now {
		return c.now(ctx, client, before, edit)
	}
	if !edit.Needed() && before.Observe {
		return errors.New("the config does not say observe = true any more, and the daemon does not know " +
			"yet\n  do: amifend reload begins to ban, without a trial")
	}

	if _, err := client.Enforce(ctx, cmp.Or(time.Duration(c.Trial), usualTrial)); err != nil {
		return err
	}

	// A short trial may be over before the daemon is asked.
	after, err := awaitTurn(ctx, client, before)
	if err != nil {
		return err
	}

	end := "the trial is over already"
	if after.Trial != nil {
		end = "on trial until " + after.Trial.Ends.Local().Format(stamp)
	}
	fmt.Printf("amifend bans now, %s.\n\nSee that you can still log in, from a second terminal. Then:\n\n"+
		"    sudo amifend keep\n\nwhich changes this line of the config:\n\n%s\n"+
		"Otherwise the bans end with the trial, and amifend observes again.\n", end, edit.Diff())
	return nil
}

// now ends observing without a trial.
func (c *Enforce) now(
	ctx context.Context, client *control.Client, before control.Status, edit *setup.Edit,
) error {
	if !before.Observe {
		return errors.New("this daemon does not observe: it bans already")
	}
	if err := writeEdit(edit); err != nil {
		return err
	}

	// If the reload fails, the config must not stay changed: the next restart would begin to ban,
	// and nobody would expect it.
	if _, err := client.Reload(ctx); err != nil {
		return errors.Join(err, takeBack(edit))
	}
	if _, err := awaitTurn(ctx, client, before); err != nil {
		return errors.Join(err, takeBack(edit))
	}

	fmt.Println("amifend bans from now on.")
	return nil
}

// writeEdit writes the change of the config, and shows it.
func writeEdit(edit *setup.Edit) error {
	backup, err := edit.Write()
	if err != nil {
		return initError(err)
	}
	if edit.Needed() {
		fmt.Printf("%sThe config as it was: %s\n", edit.Diff(), backup)
	}
	return nil
}

// takeBack undoes the change of the config.
func takeBack(edit *setup.Edit) error {
	if !edit.Needed() {
		return nil
	}
	if err := edit.Back(); err != nil {
		return initError(err)
	}
	fmt.Fprintln(os.Stderr, "amifend: the config is as it was before")
	return nil
}

// awaitTurn waits until the daemon bans, and returns its status.
func awaitTurn(
	ctx context.Context, client *control.Client, before control.Status,
) (control.Status, error) {
	ctx, cancel := context.WithTimeout(ctx, turnTime)
	defer cancel()

	// The socket is gone for a moment while the daemon builds its parts anew.
	for ctx.Err() == nil {
		now, err := client.Status(ctx)
		switch {
		case err == nil && !now.Observe:
			return now, nil
		case err == nil && !now.Since.Equal(before.Since) && now.TurnError != "":
			return now, errors.New(now.TurnError + "\n  do: amifend check says what is missing")
		}
		time.Sleep(50 * time.Millisecond)
	}

	return control.Status{}, errors.New("the daemon did not begin to ban in time\n  do: amifend status, and " +
		"journalctl -u amifend")
}
