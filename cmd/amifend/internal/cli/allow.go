package cli

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/amifend/amifend/cmd/amifend/internal/bans"
	"github.com/amifend/amifend/cmd/amifend/internal/control"
	"github.com/amifend/amifend/cmd/amifend/internal/screen"
)

// Allow is `amifend allow`.
type Allow struct {
	daemonFlags
	Whom   []whomArg `arg:"" optional:"" name:"prefix" help:"${allowWhomHelp}"`
	For    span      `placeholder:"TIME" help:"${allowForHelp}"`
	Reason string    `placeholder:"TEXT" help:"The reason, for whoever asks later."`
	Remove bool      `xor:"what" help:"Remove what this command allowed."`
	List   bool      `xor:"what" help:"List what is never banned, and why."`
}

// Help returns the detailed help.
func (*Allow) Help() string {
	return `Examples:

    amifend allow 203.0.113.5 --for 2h --reason "new phones, Alice"
    amifend allow 203.0.113.5 203.0.113.6 198.51.100.0/24
    amifend allow home.dyndns.example --for 30d     # its addresses, as they change
    amifend allow --list
    amifend allow --remove 203.0.113.5

Bans of allowed addresses are lifted at once. Allowances survive a restart. Write what must always
be allowed into [allow] prefixes or names of the config as well, where others look for it.`
}

// Validate is called by kong.
func (c *Allow) Validate() error {
	switch {
	case c.List && len(c.Whom) > 0:
		return errors.New("--list takes no prefix")
	case !c.List && len(c.Whom) == 0:
		return errors.New("write the address, prefix or host name to allow, or --list")
	case (c.List || c.Remove) && (c.For != 0 || c.Reason != ""):
		return errors.New("--for and --reason are for what is allowed now")
	}

	return nil
}

// Run allows, removes or lists.
func (c *Allow) Run(ctx context.Context, on screen.Screen) error {
	client, err := c.client()
	if err != nil {
		return err
	}
	if c.List {
		return c.list(ctx, on, client)
	}

	return each(c.Whom, c.JSON, on, func(whom whomArg) (result, error) {
		do := c.allow
		if c.Remove {
			do = c.remove
		}

		r, err := do(ctx, client, whom)
		if err != nil {
			failed := allowance{Error: controlError(err)}
			failed.Prefix, failed.Name = whom.Prefix, whom.name
			r.data = failed
		}
		return r, err
	})
}

// allowance is the result for one argument, in JSON.
type allowance struct {
	control.Allowed
	Lifted []control.Ban  `json:"lifted,omitempty"` // bans that the daemon lifted for it
	Error  *control.Error `json:"error,omitempty"`
}

// allow allows one address, prefix or name.
func (c *Allow) allow(
	ctx context.Context, client *control.Client, whom whomArg,
) (result, error) {
	// The API does not report the bans that the new entry lifts, so they are compared.
	before, err := covering(ctx, client, whom.Prefix)
	if err != nil {
		return result{}, err
	}

	a, err := client.Allow(ctx, control.NewAllow{
		Prefix: whom.Prefix, Name: whom.name, For: time.Duration(c.For).Seconds(),
		Reason: c.Reason,
	})
	if err != nil {
		return result{}, err
	}

	// The answer comes when the lifts are in force.
	after, err := covering(ctx, client, whom.Prefix)
	if err != nil {
		return result{}, err
	}

	lifted := gone(before, after)
	return result{
		data: allowance{Allowed: a, Lifted: lifted}, text: allowedText(a, lifted),
		warning: a.Note,
	}, nil
}

// remove removes one entry.
func (c *Allow) remove(
	ctx context.Context, client *control.Client, whom whomArg,
) (result, error) {
	// The API has one parameter for names and another one for prefixes.
	var a control.Allowed
	var err error
	if whom.name != "" {
		a, err = client.DisallowName(ctx, whom.name)
	} else {
		a, err = client.Disallow(ctx, whom.Prefix)
	}

	if err != nil {
		return result{}, err
	}

	text := allowedName(a) + " is no longer allowed"
	if a.Note != "" {
		text += "\n" + a.Note
	}

	return result{data: allowance{Allowed: a}, text: text, warning: a.Note}, nil
}

// covering returns the bans within a prefix and those that cover it. For a name it returns none,
// because the addresses are not known before the daemon resolves it.
func covering(
	ctx context.Context, client *control.Client, prefix netip.Prefix,
) ([]control.Ban, error) {
	if !prefix.IsValid() {
		return nil, nil
	}
	l, err := client.Bans(ctx, control.BanQuery{Within: prefix, Sort: "source"})
	return l.Bans, err
}

// gone returns the bans in before that are not in after.
func gone(before, after []control.Ban) []control.Ban {
	return slices.DeleteFunc(before, func(b control.Ban) bool {
		return slices.ContainsFunc(after, func(a control.Ban) bool {
			return a.Prefix == b.Prefix && a.Scope == b.Scope
		})
	})
}

// allowedText returns what was allowed, for people.
func allowedText(a control.Allowed, lifted []control.Ban) string {
	var text strings.Builder
	text.WriteString(allowedName(a) + " is never banned")
	if !a.Until.IsZero() {
		text.WriteString(" until " + a.Until.Local().Format(stamp))
	}

	// Whoever allows something must see how to undo it.
	text.WriteString("; to take it out: amifend allow --remove " + allowedName(a))
	if len(a.Addresses) > 0 {
		text.WriteString("\nits addresses now: " + addresses(a.Addresses))
	}

	for _, b := range lifted {
		what := "the ban"
		if b.State == control.StateDry {
			what = "what would have been a ban" // nothing was dropped
		}
		fmt.Fprintf(&text, "\nlifted: %s of %s (%s, by %s)", what, bans.Source(b.Prefix), b.Scope,
			b.Rule)
	}

	if a.Note != "" {
		text.WriteString("\n" + a.Note)
	}

	return text.String()
}

// list prints all that is never banned.
func (c *Allow) list(ctx context.Context, on screen.Screen, client *control.Client) error {
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

	return columns(os.Stdout, on, lines)
}

// allowLine returns the row of one entry.
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

	return allowedName(e) + "\t" + ends + "\t" + reason
}

// allowedName returns the prefix or the name of an entry.
func allowedName(a control.Allowed) string {
	if a.Name != "" {
		return a.Name
	}
	return bans.Source(a.Prefix)
}

// addresses returns a list of addresses.
func addresses(all []netip.Addr) string {
	texts := make([]string, len(all))
	for i, a := range all {
		texts[i] = a.String()
	}
	return strings.Join(texts, ", ")
}
