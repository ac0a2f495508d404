package cli

import (
	"context"
	"fmt"
	"net/netip"
	"time"

	"github.com/amifend/amifend/cmd/amifend/internal/control"
	"github.com/amifend/amifend/cmd/amifend/internal/observe"
)

// Ban is `amifend ban`.
type Ban struct {
	daemonFlags
	Prefix sourceArg `arg:"" help:"The address, or a prefix of a length that can be banned: IPv4 /24, IPv6 /64, /56 or /48."`
	For    span      `placeholder:"TIME" help:"How long, such as 2h or 30d. Default: [policy] ban_time."`
	Scope  string    `enum:"all,sip" default:"all" help:"What is dropped: all of its packets, or sip, those to the SIP ports (${default})."`
	Reason string    `placeholder:"TEXT" help:"Why, for whoever asks later."`
}

// Help is the detailed help.
func (*Ban) Help() string {
	return `Examples:

    amifend ban 203.0.113.5 --for 7d --reason "calls Cuba"

What must never be banned is refused, see amifend allow --list. It is undone by amifend unban.`
}

// Run bans.
func (c *Ban) Run(ctx context.Context) error {
	client, err := c.client()
	if err != nil {
		return err
	}

	res, err := client.Ban(ctx, []control.NewBan{{
		Prefix: c.Prefix.Prefix, Scope: c.Scope, For: time.Duration(c.For).Seconds(),
		Reason: c.Reason,
	}})
	if err != nil {
		return err
	}
	if len(res.Results) != 1 {
		return fmt.Errorf("ban %s: the daemon answered of %d bans", c.Prefix, len(res.Results))
	}

	r := res.Results[0]
	if r.Error != nil {
		return r.Error
	}
	if c.JSON {
		return printJSON(r)
	}

	text := fmt.Sprintf("%s is banned (%s) until %s; to undo it: amifend unban %[1]s",
		who(r.Prefix), r.Scope, r.Until.Local().Format(time.DateTime))
	if r.Note != "" {
		text += "\n" + r.Note
	}

	if more := stateText(r.State); more != "" {
		text += "\n" + more
	}

	_, err = fmt.Println(text)
	return err
}

// stateText says why a ban does not drop anything yet, "" if it does.
func stateText(state string) string {
	switch state {
	case control.StateInKernel:
		return ""
	case control.StateWaiting:
		return "its set in the kernel is full: it waits for room (amifend status)"
	case control.StateDry:
		return "this daemon does not touch the kernel (observe = true, backend = \"log\", or a " +
			"trial that is over): nothing is dropped"
	default:
		return "the kernel does not have it yet (amifend status)"
	}
}

// Unban is `amifend unban`.
type Unban struct {
	daemonFlags
	Prefix *sourceArg `arg:"" optional:"" help:"The address or prefix: every ban that lies within it or covers it is lifted."`
	All    bool       `help:"Lift all bans."`
}

// Help is the detailed help.
func (*Unban) Help() string {
	return `Examples:

    amifend unban 203.0.113.5
    amifend unban --all

The score and the strikes are forgotten too: the source begins anew. If it keeps failing it is soon banned again: correct its
password, or amifend allow it. For one address it tells whether that is likely: if its ban has dropped packets, the kernel's
counter is watched for a second before the ban is lifted.`
}

// Validate is called by kong.
func (c *Unban) Validate() error {
	if c.All == (c.Prefix != nil) {
		return fmt.Errorf("write either the address or prefix, or --all")
	}
	return nil
}

// Run lifts.
func (c *Unban) Run(ctx context.Context) error {
	client, err := c.client()
	if err != nil {
		return err
	}

	var within netip.Prefix
	if c.Prefix != nil {
		within = c.Prefix.Prefix
	}

	l, err := client.Unban(ctx, within)
	if err != nil {
		return err
	}
	if c.JSON {
		return printJSON(l)
	}

	for _, p := range l.Lifted {
		fmt.Printf("%s is no longer banned\n", who(p))
	}

	text := observe.Count(l.Count, "ban") + " lifted"
	if l.Pending > 0 {
		text += fmt.Sprintf("; the kernel does not have %d changes yet (amifend status)", l.Pending)
	}
	if l.Note != "" {
		text += "; " + l.Note
	}
	if l.Again != nil {
		text += "\n" + againText(*l.Again, who(within))
	}

	_, err = fmt.Println(text)
	return err
}

// againText says whether an address that was let in would soon be banned again.
func againText(a control.Again, source string) string {
	var text string
	switch {
	case a.Lately > 0:
		text = fmt.Sprintf("it still sends: %s in the last second, %d while it was banned",
			observe.Count(a.Lately, "dropped packet"), a.Dropped)
	case a.Dropped > 0:
		text = fmt.Sprintf("%s while it was banned, none in the last second",
			observe.Count(a.Dropped, "dropped packet"))
	case !a.Seen.IsZero():
		text = "a PBX heard of it at " + a.Seen.Local().Format(time.DateTime) +
			", while it was banned"
	default:
		text = "no packet of it was dropped"
	}

	if a.MoreUnknown > 0 && a.MoreKnown > 0 {
		text += fmt.Sprintf("\nbanned again after %s on unknown accounts, or %s",
			observe.Count(a.MoreUnknown, "attempt"), observe.Count(a.MoreKnown, "wrong password"))
	}

	return text + "\nto let it in for good: amifend allow " + source
}
