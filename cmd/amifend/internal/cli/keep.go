package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"

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

For a trial of amifend enforce it needs root: it also changes the line observe = true of the
config, and keeps a copy of the file. When such a trial is over, amifend observes again, and there
is nothing to keep.

For amifend run --trial it also works when the trial is over. The bans that were only logged since
then, and would still run, then come into force.`
}

// Run keeps the bans of the trial.
func (c *Keep) Run(ctx context.Context) error {
	client, err := c.client()
	if err != nil {
		return err
	}

	edit, err := c.prepare(ctx, client)
	if err != nil {
		return err
	}

	// The config comes first. After a crash in between, amifend bans, as the user asked.
	if edit != nil {
		if err := writeEdit(edit); err != nil {
			return err
		}
	}

	k, err := client.Keep(ctx)
	if err != nil && edit != nil {
		return errors.Join(err, takeBack(edit))
	}
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

// prepare prepares the change of the config that ends observing. It returns nil if none is needed.
func (c *Keep) prepare(ctx context.Context, client *control.Client) (*setup.Edit, error) {
	s, err := client.Status(ctx)
	if err != nil {
		return nil, err
	}
	if s.Trial == nil || !s.Trial.Enforce {
		return nil, nil //nolint:nilnil // nothing is to be changed
	}

	// The config of a daemon that was found by its socket is not known.
	if c.Socket != "" {
		return nil, usageError("amifend keep changes the config of this daemon: name the config " +
			"with --config, in place of --socket")
	}

	edit, err := setup.PrepareEdit(cmp.Or(c.Config, defaultConfig))
	return edit, initError(err)
}
