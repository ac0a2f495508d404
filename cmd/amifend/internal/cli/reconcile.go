package cli

import (
	"context"
	"fmt"
	"strings"

	"github.com/amifend/amifend/cmd/amifend/internal/control"
	"github.com/amifend/amifend/cmd/amifend/internal/wording"
)

// Reconcile is `amifend reconcile`.
type Reconcile struct {
	daemonFlags
}

// Help returns the detailed help.
func (*Reconcile) Help() string {
	return `The daemon does this at its start and every five minutes. Lifted bans leave the kernel,
elements that somebody added by hand become bans, and bans that somebody removed by hand come back.
If kernel and journal have different ends of a ban, that of the journal counts.`
}

// Run makes the daemon compare kernel and journal.
func (c *Reconcile) Run(ctx context.Context) error {
	client, err := c.client()
	if err != nil {
		return err
	}

	r, err := client.Reconcile(ctx)
	if err != nil {
		return err
	}
	if c.JSON {
		return printJSON(r)
	}

	_, err = fmt.Println(reconciled(r))
	return err
}

// reconciled returns the result for people.
func reconciled(r control.Reconciled) string {
	// Only the kinds of repair that happened are printed.
	var parts []string
	for _, p := range []struct {
		n    int
		what string
	}{
		{r.PutBack, "put back into the kernel"},
		{r.Restored, "restored from the journal"},
		{r.Adopted, "adopted from the kernel"},
		{r.Lifted, "removed from the kernel: lifted before"},
		{r.EndCorrected, "given the end that the journal has"},
		{r.WrittenAgain, "written into the journal again"},
	} {
		if p.n > 0 {
			parts = append(parts, wording.Count(p.n, "ban")+" "+p.what)
		}
	}

	if len(parts) == 0 {
		return "kernel and journal agree"
	}

	return strings.Join(parts, "\n")
}
