package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/amifend/amifend/cmd/amifend/internal/control"
)

// Allow is `amifend allow`.
type Allow struct {
	daemonFlags
	Prefix *sourceArg `arg:"" optional:"" help:"The address or prefix to allow."`
	For    span       `placeholder:"TIME" help:"Allow it for a time, such as 2h or 30d, and not until it is taken out."`
	Reason string     `placeholder:"TEXT" help:"Why, for whoever asks later."`
	Remove bool       `xor:"what" help:"Take out what was allowed by this command."`
	List   bool       `xor:"what" help:"Print who is never banned, and why."`
}

// Help is the detailed help.
func (*Allow) Help() string {
	return `Examples:

    amifend allow 203.0.113.5 --for 2h --reason "new phones, Alice"
    amifend allow --list
    amifend allow --remove 203.0.113.5

A ban of it is lifted at once. What is allowed so outlives a restart. What must be allowed for ever belongs into [allow]
prefixes of the config as well, where others look for it.`
}

// Validate is called by kong.
func (c *Allow) Validate() error {
	switch {
	case c.List && c.Prefix != nil:
		return errors.New("--list takes no prefix")
	case !c.List && c.Prefix == nil:
		return errors.New("write the address or prefix to allow, or --list")
	case (c.List || c.Remove) && (c.For != 0 || c.Reason != ""):
		return errors.New("--for and --reason are for what is allowed now")
	}
	return nil
}

// Run allows, takes out, or lists.
func (c *Allow) Run(ctx context.Context) error {
	client, err := c.client()
	if err != nil {
		return err
	}
	if c.List {
		return c.list(ctx, client)
	}
	var a control.Allowed
	if c.Remove {
		a, err = client.Disallow(ctx, c.Prefix.Prefix)
	} else {
		a, err = client.Allow(ctx, control.NewAllow{Prefix: c.Prefix.Prefix, For: time.Duration(c.For).Seconds(), Reason: c.Reason})
	}
	if err != nil {
		return err
	}
	if c.JSON {
		return printJSON(a)
	}
	text := who(a.Prefix) + " is never banned"
	switch {
	case c.Remove:
		text = who(a.Prefix) + " is no longer allowed"
	case !a.Until.IsZero():
		text += " until " + a.Until.Local().Format(time.DateTime)
	default:
		text += "; to take it out: amifend allow --remove " + who(a.Prefix)
	}
	_, err = fmt.Println(text)
	return err
}

func (c *Allow) list(ctx context.Context, client *control.Client) error {
	l, err := client.Allowed(ctx)
	if err != nil {
		return err
	}
	if c.JSON {
		return printJSON(l)
	}
	lines := []string{"PREFIX\tENDS IN\tNEVER BANNED BECAUSE"}
	for _, e := range l.Entries {
		lines = append(lines, allowLine(e, time.Now()))
	}
	return columns(os.Stdout, lines)
}

func allowLine(e control.Allowed, now time.Time) string {
	ends := "-"
	if !e.Until.IsZero() {
		ends = rough(e.Until.Sub(now))
	}
	return who(e.Prefix) + "\t" + ends + "\t" + e.Reason
}
