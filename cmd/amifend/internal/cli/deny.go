package cli

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"strings"
	"time"

	"github.com/amifend/amifend/cmd/amifend/internal/bans"
	"github.com/amifend/amifend/cmd/amifend/internal/control"
	"github.com/amifend/amifend/cmd/amifend/internal/screen"
	"github.com/amifend/amifend/cmd/amifend/internal/wording"
)

// Deny is `amifend deny`.
type Deny struct {
	Add    DenyAdd    `cmd:"" help:"Always drop prefixes of any length."`
	Remove DenyRemove `cmd:"" help:"Drop them no longer."`
	List   DenyList   `cmd:"" help:"List what is denied by command."`
}

// DenyAdd is `amifend deny add`.
type DenyAdd struct {
	daemonFlags
	Prefixes []sourceArg `arg:"" name:"prefix" help:"${denyPrefixHelp}"`
	Note     string      `placeholder:"TEXT" help:"Why, for whoever asks later."`
}

// Help returns the detailed help.
func (*DenyAdd) Help() string {
	return `Examples:

    amifend deny add 203.0.113.0/28 --note "scans us since May"
    amifend deny add 198.51.100.0/22 2001:db8:b00::/40

All packets of these prefixes are dropped, for good: use amifend ban for a time. A denial survives a
restart. Addresses that must never be banned are spared. What would cut off an SSH session of this
machine is refused. To undo it: amifend undo, or amifend deny remove.

The lists of [deny] in the config go on beside it.`
}

// Validate is called by kong.
func (c *DenyAdd) Validate() error {
	if len(c.Prefixes) > control.MostDenied {
		return fmt.Errorf("%d prefixes: write at most %d at a time", len(c.Prefixes),
			control.MostDenied)
	}
	return nil
}

// Run denies.
func (c *DenyAdd) Run(ctx context.Context, on screen.Screen) error {
	client, err := c.client()
	if err != nil {
		return err
	}

	// One request for all, so that the kernel gets them together.
	res, err := client.Deny(ctx, control.NewDeny{Prefixes: prefixes(c.Prefixes), Note: c.Note})
	if err != nil {
		return err
	}
	return each(res.Results, c.JSON, on, func(r control.DenyResult) (result, error) {
		if r.Error != nil {
			return result{data: r}, r.Error
		}
		return result{data: r, text: deniedText(r), warning: r.Warning}, nil
	})
}

// prefixes returns the prefixes of arguments.
func prefixes(args []sourceArg) []netip.Prefix {
	out := make([]netip.Prefix, len(args))
	for i, a := range args {
		out[i] = a.Prefix
	}
	return out
}

// deniedText returns the result for one prefix for people.
func deniedText(r control.DenyResult) string {
	is := "is"
	switch r.State {
	case control.StateDry, control.StateTrial:
		is = "would be"
	case control.StatePending:
		is = "will be" // the warning says when
	}

	text := fmt.Sprintf("%s %s always dropped; to undo it: amifend deny remove %[1]s",
		bans.Source(r.Prefix), is)
	if r.Warning != "" {
		text += "\n" + r.Warning
	}
	if r.State == control.StateDry {
		text += "\n" + stateText(r.State)
	}
	return text
}

// DenyRemove is `amifend deny remove`.
type DenyRemove struct {
	daemonFlags
	Prefixes []sourceArg `arg:"" complete:"denied" name:"prefix" help:"${denyRemoveHelp}"`
}

// Help returns the detailed help.
func (*DenyRemove) Help() string {
	return `Example:

    amifend deny remove 203.0.113.0/28

It removes what amifend deny add denied. What the config lists in [deny] is removed there.`
}

// Run ends denials.
func (c *DenyRemove) Run(ctx context.Context, on screen.Screen) error {
	client, err := c.client()
	if err != nil {
		return err
	}

	res, err := client.Undeny(ctx, prefixes(c.Prefixes))
	if err != nil {
		return err
	}
	return each(res.Results, c.JSON, on, func(r control.DenyResult) (result, error) {
		if r.Error != nil {
			return result{data: r}, r.Error
		}
		text := bans.Source(r.Prefix) + " is no longer denied by command"
		if r.Warning != "" {
			text += "\n" + r.Warning
		}
		return result{data: r, text: text, warning: r.Warning}, nil
	})
}

// DenyList is `amifend deny list`.
type DenyList struct {
	daemonFlags
}

// Run lists what is denied.
func (c *DenyList) Run(ctx context.Context, on screen.Screen) error {
	client, err := c.client()
	if err != nil {
		return err
	}

	l, err := client.DenyList(ctx)
	if err != nil {
		return err
	}
	if c.JSON {
		return printJSON(l)
	}

	var lines []string
	for i, e := range l.Entries {
		if i == 0 {
			lines = append(lines, "PREFIX\tSINCE "+time.Now().Format("MST")+"\tBY\tNOTE")
		}
		lines = append(lines, strings.Join([]string{
			bans.Source(e.Prefix), e.At.Local().Format(time.DateTime), e.By, e.Note,
		}, "\t"))
	}
	if err := columns(os.Stdout, on, lines); err != nil {
		return err
	}

	text := wording.Count(len(l.Entries), "prefix") + " denied by command"
	if l.Config > 0 {
		text += "; [deny] of the config lists " + wording.Count(l.Config, "prefix") + " more"
	}
	if len(l.Entries)+l.Config > 0 {
		text += notDropped(ctx, client)
	}
	_, err = fmt.Println(on.Wrap(text))
	return err
}

// notDropped returns why nothing is dropped of what is denied; "": it is, or the status is not known.
func notDropped(ctx context.Context, client *control.Client) string {
	s, err := client.Status(ctx)
	if err != nil || s.Firewall.Denied == nil {
		return ""
	}

	switch s.Firewall.Denied.State {
	case control.StateDry:
		return "\n" + stateText(control.StateDry)
	case control.StateTrial:
		return "\nnothing of it is dropped in the trial: amifend keep puts it in force"
	}
	return ""
}
