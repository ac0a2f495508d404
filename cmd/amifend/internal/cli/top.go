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
	What  string `arg:"" optional:"" enum:"sources,accounts,servers" default:"sources" help:"${topWhatHelp}"`
	Since span   `default:"1h" placeholder:"TIME" help:"${topSinceHelp}"`
	Limit int    `short:"n" default:"10" placeholder:"COUNT" help:"Print at most COUNT lines (${default})."`
}

// Help returns the detailed help.
func (*Top) Help() string {
	return `Examples:

    amifend top sources                    who fails most now
    amifend top accounts --since 7d -n 20  which accounts are tried most
    watch amifend top sources              the same, repeated

FAILED and LOGINS count events. One attempt may raise several. A packet that the kernel drops
raises none.`
}

// Validate is called by kong.
func (c *Top) Validate() error {
	if c.Limit < 1 || c.Limit > control.MostReported {
		return fmt.Errorf("--limit %d: write a number from 1 to %d", c.Limit, control.MostReported)
	}
	return nil
}

// Run asks the daemon, and prints the answer.
func (c *Top) Run(ctx context.Context) error {
	client, err := c.client()
	if err != nil {
		return err
	}

	r, err := client.Report(ctx, control.ReportQuery{Since: time.Duration(c.Since), Limit: c.Limit})
	if err != nil {
		return err
	}

	// The report has all three lists, and this command shows one.
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

	// The command is about failures, so those who only logged in are left out.
	if sums = failed(sums); len(sums) == 0 {
		_, err = fmt.Printf("no failed attempt since %s\n", r.From.Local().Format(minutes))
		return err
	}

	dry, err := isDry(ctx, client)
	if err != nil {
		return err
	}

	return writeSums(os.Stdout, title, sums, dry)
}
