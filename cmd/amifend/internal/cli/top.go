package cli

import (
	"context"
	"fmt"
	"os"
	"time"

	"github.com/amifend/amifend/cmd/amifend/internal/control"
)

// Top is `amifend top`.
type Top struct {
	daemonFlags
	What  string `arg:"" optional:"" enum:"sources,accounts,servers" default:"sources" help:"What to count by: sources (${default}), accounts or servers."`
	Since span   `default:"1h" placeholder:"TIME" help:"How far back to look, such as 1h, 24h or 7d (${default}). Hours are counted whole."`
	Limit int    `short:"n" default:"10" placeholder:"COUNT" help:"Print so many at most (${default})."`
}

// Help is the detailed help.
func (*Top) Help() string {
	return `Examples:

    amifend top sources                    who fails most, now
    amifend top accounts --since 7d -n 20  which accounts are tried most
    watch amifend top sources              the same, again and again

FAILED and LOGINS count events; one attempt may raise several. Events that the kernel drops are none.`
}

// Validate is called by kong.
func (c *Top) Validate() error {
	if c.Limit < 1 || c.Limit > control.MostReported {
		return fmt.Errorf("--limit %d: write a number from 1 to %d", c.Limit, control.MostReported)
	}
	return nil
}

// Run asks, and prints the answer.
func (c *Top) Run(ctx context.Context) error {
	client, err := c.client()
	if err != nil {
		return err
	}

	r, err := client.Report(ctx, control.ReportQuery{Since: time.Duration(c.Since), Limit: c.Limit})
	if err != nil {
		return err
	}

	title, sums := "SOURCE", r.Sources
	switch c.What {
	case "accounts":
		title, sums = "ACCOUNT", r.Accounts
	case "servers":
		title, sums = "SERVER", r.Servers
	}

	if c.JSON {
		return printJSON(sums)
	}

	if sums = failed(sums); len(sums) == 0 {
		_, err = fmt.Printf("no failed attempt since %s\n", r.From.Local().Format(minutes))
		return err
	}

	return writeSums(os.Stdout, title, sums)
}
