package cli

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/amifend/amifend/cmd/amifend/internal/control"
	"github.com/amifend/amifend/cmd/amifend/internal/wording"
)

// Alerts is `amifend alerts`.
type Alerts struct {
	daemonFlags
	Addr  addrArg `arg:"" optional:"" name:"address" help:"${alertsAddressHelp}"`
	Since span    `default:"24h" placeholder:"TIME" help:"${alertsSinceHelp}"`
	Kind  string  `placeholder:"KIND" help:"Only alerts of this kind, such as compromised_account."`
	Limit int     `short:"n" default:"100" placeholder:"COUNT" help:"${alertsLimitHelp}"`
}

// Help returns the detailed help.
func (*Alerts) Help() string {
	return `Examples:

    amifend alerts                       the alerts of the last day
    amifend alerts --since 30d --kind compromised_account
    amifend alerts 203.0.113.5 --since 30d

The last one first, each with what to do about it. docs/operating.md explains each kind.`
}

// Validate is called by kong.
func (c *Alerts) Validate() error {
	if c.Limit < 1 || c.Limit > control.MostReported {
		return fmt.Errorf("--limit %d: write a number from 1 to %d", c.Limit, control.MostReported)
	}
	return nil
}

// Run asks the daemon, and prints the answer.
func (c *Alerts) Run(ctx context.Context) error {
	client, err := c.client()
	if err != nil {
		return err
	}

	l, err := client.Alerts(ctx, control.AlertQuery{
		Since: time.Duration(c.Since), About: c.Addr.Addr, Kind: c.Kind, Limit: c.Limit,
	})
	if err != nil {
		return err
	}
	if c.JSON {
		return printJSON(l)
	}

	// One write, so that a reader such as head does not get half an alert.
	var b strings.Builder
	for _, a := range l.Alerts {
		b.WriteString(alertText(a, "", time.Local))
	}

	fmt.Fprintf(&b, "%s since %s\n", wording.Count(len(l.Alerts), "alert"),
		time.Now().Add(-time.Duration(c.Since)).Local().Format(minutes))

	_, err = fmt.Print(b.String())
	return err
}

// alertText returns an alert for people, in a few lines.
func alertText(a control.Alert, indent string, zone *time.Location) string {
	text := fmt.Sprintf("%s%s  %s  %s\n%s    %s\n", indent, a.At.In(zone).Format(stamp),
		a.Kind, a.Source, indent, a.Reason)
	if a.Do != "" {
		text += fmt.Sprintf("%s    do: %s\n", indent, a.Do)
	}
	return text
}
