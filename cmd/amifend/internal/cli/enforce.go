package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/amifend/amifend/cmd/amifend/internal/config"
	"github.com/amifend/amifend/cmd/amifend/internal/control"
	"github.com/amifend/amifend/cmd/amifend/internal/setup"
)

// Enforce is `amifend enforce`.
type Enforce struct {
	configFlag
	// Without a default of kong, which would count as said, and exclude Now.
	Trial   span `placeholder:"TIME" xor:"enforce" help:"${enforceTrialHelp}"`
	Now     bool `xor:"enforce" help:"Without a trial: ban from now on."`
	PutBack bool `name:"put-back" xor:"enforce" help:"${enforcePutBackHelp}"`
}

// Help returns the detailed help.
func (*Enforce) Help() string {
	return `Ends observing. Changes observe = true in the config to false, shows that line, keeps a
copy of the file, and has amifend read it. amifend bans from now on, at first on trial. Unless you
run amifend keep, the bans end after ten minutes, amifend observes again, and the line is put back.
So run it, see that you can still log in, and keep it.

A timer of systemd puts the line back. Without systemd, the command waits for the end of the trial.
A file that somebody edits in the trial is left as it is. After a crash, a restart or a reboot in
the trial amifend observes, whatever the line says, until somebody keeps the trial or puts the line
back: amifend status says so.

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
	if c.PutBack {
		return c.putBack(ctx)
	}

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

	switch t := before.Trial; {
	case t != nil && t.Enforce && !t.Over:
		return errors.New("a trial goes on already\n  do: amifend keep, or wait until it ends " +
			"(amifend status)")
	case !before.Observe:
		return errors.New("this daemon does not observe: it bans already")
	}

	earlier, err := setup.ReadTrial(c.Config)
	switch {
	case err != nil:
		return initError(err)
	case c.Now:
		return c.now(ctx, client, before, edit)
	case !edit.Needed() && earlier == nil:
		return errors.New("the config does not say observe = true any more, and the daemon does not know " +
			"yet\n  do: amifend reload begins to ban, without a trial")
	}
	return c.tryOut(ctx, client, before, edit)
}

// tryOut begins a trial. Whatever fails, the config and the daemon are as they were before.
func (c *Enforce) tryOut(
	ctx context.Context, client *control.Client, before control.Status, edit *setup.Edit,
) error {
	// From the change on, the process must live until somebody else puts the line back.
	outliveTerminal()
	trial := cmp.Or(time.Duration(c.Trial), usualTrial)
	began := time.Now().Truncate(time.Second)
	record := config.Trial{Began: began, Ends: began.Add(trial)}

	var err error
	if record.Timer, err = startTimer(ctx, c.Config, trial+putBackAfter); err != nil {
		return err
	}
	end := time.Now().Add(trial + putBackAfter)
	backup, err := edit.Begin(record)
	if err != nil {
		stopTimer(ctx, c.Config)
		return initError(err)
	}
	if text := editText(edit, backup); text != "" {
		fmt.Println(text)
	}

	after, err := c.begin(ctx, client, before, trial)
	if err != nil {
		stopTimer(ctx, c.Config)
		return errors.Join(err, c.takeBack(ctx, client))
	}

	fmt.Print(trialText(after, record.Timer))
	if record.Timer != "" {
		return nil
	}
	return c.waitForKeep(ctx, began, end)
}

// begin has the daemon read the changed config and begin the trial. It returns the status then.
func (c *Enforce) begin(
	ctx context.Context, client *control.Client, before control.Status, trial time.Duration,
) (control.Status, error) {
	if _, err := client.Reload(ctx); err != nil {
		return control.Status{}, err
	}
	if _, err := client.Enforce(ctx, trial); err != nil {
		return control.Status{}, err
	}

	// A short trial may be over before the daemon is asked.
	return awaitTurn(ctx, client, before)
}

// takeBack puts the line back, and has the daemon know it.
func (c *Enforce) takeBack(ctx context.Context, client *control.Client) error {
	if _, err := setup.EndTrial(c.Config); err != nil {
		return initError(err)
	}
	_, _ = client.Reload(ctx) // it observes in any case
	fmt.Fprintln(os.Stderr, "amifend: the config is as it was before")
	return nil
}

// trialText returns what begins, and what ends it.
func trialText(s control.Status, timer string) string {
	now := "the trial is over already"
	if s.Trial != nil {
		now = "on trial until " + s.Trial.Ends.Local().Format(stamp)
	}

	text := "amifend bans now, " + now + ".\n\nSee that you can still log in, from a second terminal. Then:\n\n" +
		"    sudo amifend keep\n\nOtherwise amifend observes again when the trial ends, and the line is put back"
	if timer != "" {
		return text + "\nby " + timer + ".\n"
	}
	return text + "\nby this command, which waits for it.\n"
}

// now ends observing without a trial.
func (c *Enforce) now(
	ctx context.Context, client *control.Client, before control.Status, edit *setup.Edit,
) error {
	// An earlier trial that nobody kept would have the daemon observe on.
	backup, err := edit.Write()
	if err == nil {
		err = setup.RemoveTrial(c.Config)
	}
	if err != nil {
		return initError(err)
	}
	stopTimer(ctx, c.Config)
	fmt.Print(editText(edit, backup))

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

// editText returns the change of a config for people; "" if nothing was changed.
func editText(edit *setup.Edit, backup string) string {
	if !edit.Needed() {
		return ""
	}
	return edit.Diff() + "The config as it was: " + backup + "\n"
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
