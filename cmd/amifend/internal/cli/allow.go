package cli

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"strings"
	"time"

	"github.com/amifend/amifend/cmd/amifend/internal/config"
	"github.com/amifend/amifend/cmd/amifend/internal/control"
)

// Allow is `amifend allow`.
type Allow struct {
	daemonFlags
	Whom   *whomArg `arg:"" optional:"" name:"prefix" help:"The address, prefix or host name to allow."`
	For    span     `placeholder:"TIME" help:"Allow it for a time, such as 2h or 30d, and not until it is taken out."`
	Reason string   `placeholder:"TEXT" help:"Why, for whoever asks later."`
	Remove bool     `xor:"what" help:"Take out what was allowed by this command."`
	List   bool     `xor:"what" help:"Print who is never banned, and why."`
}

// Help is the detailed help.
func (*Allow) Help() string {
	return `Examples:

    amifend allow 203.0.113.5 --for 2h --reason "new phones, Alice"
    amifend allow home.dyndns.example --for 30d     # its addresses, as they change
    amifend allow --list
    amifend allow --remove 203.0.113.5

A ban of it is lifted at once. What is allowed so outlives a restart. What must be allowed for ever belongs into [allow]
prefixes or names of the config as well, where others look for it.`
}

// Validate is called by kong.
func (c *Allow) Validate() error {
	switch {
	case c.List && c.Whom != nil:
		return errors.New("--list takes no prefix")
	case !c.List && c.Whom == nil:
		return errors.New("write the address, prefix or host name to allow, or --list")
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
	switch {
	case c.Remove && c.Whom.name != "":
		a, err = client.DisallowName(ctx, c.Whom.name)
	case c.Remove:
		a, err = client.Disallow(ctx, c.Whom.Prefix)
	default:
		a, err = client.Allow(ctx, control.NewAllow{
			Prefix: c.Whom.Prefix, Name: c.Whom.name, For: time.Duration(c.For).Seconds(),
			Reason: c.Reason,
		})
	}

	if err != nil {
		return err
	}
	if c.JSON {
		return printJSON(a)
	}

	text := whom(a) + " is never banned"
	switch {
	case c.Remove:
		text = whom(a) + " is no longer allowed"
	case !a.Until.IsZero():
		text += " until " + a.Until.Local().Format(time.DateTime)
	default:
		text += "; to take it out: amifend allow --remove " + whom(a)
	}

	if len(a.Addresses) > 0 && !c.Remove {
		text += "\nits addresses now: " + addresses(a.Addresses)
	}
	if a.Note != "" {
		text += "\n" + a.Note
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

	reason := e.Reason
	switch {
	case e.Name != "" && len(e.Addresses) > 0:
		reason += "; its addresses: " + addresses(e.Addresses)
	case e.Name != "":
		reason += "; it has not resolved yet"
	}

	return whom(e) + "\t" + ends + "\t" + reason
}

// whom is the prefix or the name.
func whom(a control.Allowed) string {
	if a.Name != "" {
		return a.Name
	}
	return who(a.Prefix)
}

func addresses(all []netip.Addr) string {
	texts := make([]string, len(all))
	for i, a := range all {
		texts[i] = a.String()
	}
	return strings.Join(texts, ", ")
}

// whomArg is an address, a prefix or a host name in the command line.
type whomArg struct {
	sourceArg
	name string // "" for a prefix
}

// UnmarshalText implements encoding.TextUnmarshaler, for kong.
func (a *whomArg) UnmarshalText(text []byte) error {
	name, err := config.ParseName(string(text))
	if err == nil {
		a.name = name
		return nil
	}

	// an address was meant
	if strings.ContainsAny(string(text), ":/") || strings.Trim(string(text), ".0123456789") == "" {
		return a.sourceArg.UnmarshalText(text)
	}
	return fmt.Errorf("%q %w", text, err)
}
