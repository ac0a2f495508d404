package cli

import (
	"cmp"
	"context"
	"fmt"
	"net/netip"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/amifend/amifend/cmd/amifend/internal/control"
	"github.com/amifend/amifend/cmd/amifend/internal/live"
	"github.com/amifend/amifend/cmd/amifend/internal/screen"
)

// Top is `amifend top`.
type Top struct {
	daemonFlags
	What  string `arg:"" optional:"" enum:"sources,accounts,servers," default:"" help:"${topWhatHelp}"`
	Since span   `default:"1h" placeholder:"TIME" help:"${topSinceHelp}"`
	Limit int    `short:"n" default:"10" placeholder:"COUNT" help:"Print at most COUNT lines (${default})."`
	Once  bool   `help:"Print a table, also on a terminal."`
}

// Help returns the detailed help.
func (*Top) Help() string {
	return `Examples:

    amifend top                            a live screen; ? explains its keys
    amifend top sources                    who fails most now, as a table
    amifend top accounts --since 7d -n 20  which accounts are tried most
    amifend top --once                     the table of sources

Without an argument on a terminal, the screen shows rates, servers, sources, accounts, bans and alerts
as they come, and the last hour. Its keys explain, unban and allow what is selected. In a pipe, or
with --since, -n, --once or --json, it is a table.

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

// Run shows the live screen, or asks the daemon and prints a table.
func (c *Top) Run(ctx context.Context, on screen.Screen) error {
	client, err := c.client()
	if err != nil {
		return err
	}
	if c.isLive() {
		return runLive(ctx, client, on)
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

	return writeSums(os.Stdout, on, title, sums, dry)
}

// isLive reports whether the command shows the live screen: whoever asks for something that only a
// table has gets a table.
func (c *Top) isLive() bool {
	return c.What == "" && !c.Once && !c.JSON && time.Duration(c.Since) == time.Hour && c.Limit == 10 &&
		canAsk() && os.Getenv("TERM") != "dumb"
}

// runLive shows the live screen until the user ends it.
func runLive(ctx context.Context, client *control.Client, on screen.Screen) error {
	// A daemon that does not run is better told as by the other commands than on a screen.
	if _, err := client.Live(ctx, 1); err != nil {
		return err
	}

	// Neither the hangup of the terminal nor SIGQUIT must end the process before it is restored.
	ctx, stop := signal.NotifyContext(ctx, syscall.SIGHUP, syscall.SIGQUIT)
	defer stop()
	zone := zone(client.Zone)
	return live.Run(ctx, live.Options{
		In: os.Stdin, Out: os.Stdout, Colour: on.Colour, ASCII: !isUTF8(os.Getenv), Zone: zone,
		Daemon: live.Daemon{
			Look: client.Live,
			Explain: func(ctx context.Context, addr netip.Addr) (string, error) {
				x, err := client.Explain(ctx, addr)
				return explanationText(x, addr.String(), zone, time.Now()), err
			},
			Unban: func(ctx context.Context, p netip.Prefix) (string, error) {
				dry, err := isDry(ctx, client)
				if err != nil {
					return "", err
				}
				l, err := client.Unban(ctx, p)
				return liftedText(l, p, dry), err
			},
			Allow: func(ctx context.Context, p netip.Prefix, d time.Duration) (string, error) {
				a, err := client.Allow(ctx, control.NewAllow{
					Prefix: p, For: d.Seconds(), Reason: "by amifend top",
				})
				return allowedText(a, nil), err
			},
		},
	})
}

// isUTF8 reports whether the locale is one of UTF-8. Without any setting it is taken for one: most
// terminals are.
func isUTF8(getenv func(string) string) bool {
	locale := cmp.Or(getenv("LC_ALL"), getenv("LC_CTYPE"), getenv("LANG"))
	if locale == "" {
		return true
	}
	locale = strings.ToLower(locale)
	return strings.Contains(locale, "utf-8") || strings.Contains(locale, "utf8")
}
