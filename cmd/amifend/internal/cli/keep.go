package cli

import (
	"context"
	"fmt"

	"github.com/amifend/amifend/cmd/amifend/internal/wording"
)

// Keep is `amifend keep`.
type Keep struct {
	daemonFlags
}

// Help returns the detailed help.
func (*Keep) Help() string {
	return `Ends the trial of amifend run --trial. The bans that were made in it get their whole time, and
from now on bans are made as usual. It also works after the trial's end: then the bans that would have
been made since, and would still run, come into force.`
}

// Run keeps the bans of the trial.
func (c *Keep) Run(ctx context.Context) error {
	client, err := c.client()
	if err != nil {
		return err
	}

	k, err := client.Keep(ctx)
	if err != nil {
		return err
	}
	if c.JSON {
		return printJSON(k)
	}

	// A note says what the disk or the kernel does not have yet.
	text := "the trial is ended: " + wording.Count(k.Bans, "ban") +
		" kept, and from now on bans are made as usual"
	if k.Note != "" {
		text += "; " + k.Note
	}

	_, err = fmt.Println(text)
	return err
}
