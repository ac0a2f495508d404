package cli

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"time"

	"github.com/amifend/amifend/cmd/amifend/internal/bans"
	"github.com/amifend/amifend/cmd/amifend/internal/control"
	"github.com/amifend/amifend/cmd/amifend/internal/screen"
	"github.com/amifend/amifend/cmd/amifend/internal/wording"
)

// Unban is `amifend unban`.
type Unban struct {
	daemonFlags
	Prefixes []sourceArg `arg:"" complete:"banned" optional:"" name:"prefix" help:"${unbanPrefixHelp}"`
	All      bool        `help:"Lift all bans."`
}

// Help returns the detailed help.
func (*Unban) Help() string {
	return `Examples:

    amifend unban 203.0.113.5
    amifend unban 203.0.113.5 203.0.113.9
    amifend unban --all

The score and the strikes are forgotten too, so the source starts again from zero. If it keeps
failing, it is soon banned again: correct its password, or run amifend allow. For a single address,
the answer shows whether it still sends, and how many failures lead to the next ban.`
}

// Validate is called by kong.
func (c *Unban) Validate() error {
	if c.All == (len(c.Prefixes) > 0) {
		return errors.New("write either addresses or prefixes, or --all")
	}
	return nil
}

// Run lifts bans. If an address has none, the bans of the others are lifted all the same.
func (c *Unban) Run(ctx context.Context, on screen.Screen) error {
	client, err := c.client()
	if err != nil {
		return err
	}

	// Only the text differs for a daemon that bans nobody.
	dry := false
	if !c.JSON {
		if dry, err = isDry(ctx, client); err != nil {
			return err
		}
	}

	within := []netip.Prefix{{}} // all
	if !c.All {
		within = nil
		for _, p := range c.Prefixes {
			within = append(within, p.Prefix)
		}
	}

	return each(within, c.JSON, on, func(p netip.Prefix) (result, error) {
		l, err := client.Unban(ctx, p)
		if err != nil {
			return result{data: unbanned{Prefix: p, Error: controlError(err)}}, err
		}
		return result{
			data: unbanned{Prefix: p, Lifted: &l}, text: liftedText(l, p, dry), warning: l.Note,
		}, nil
	})
}

// unbanned is the result for one argument, in JSON.
type unbanned struct {
	Prefix netip.Prefix `json:"prefix,omitzero"` // as asked for; absent: all
	*control.Lifted
	Error *control.Error `json:"error,omitempty"`
}

// liftedText returns the result of a lift for people. dry means that the daemon bans nobody.
func liftedText(l control.Lifted, within netip.Prefix, dry bool) string {
	is, lifted := "is no longer banned", "lifted"
	if dry {
		is, lifted = "would no longer be banned",
			"that would have been made, lifted: nothing was dropped"
	}

	// The API names only some prefixes, but counts all.
	var text strings.Builder
	for _, p := range l.Lifted {
		fmt.Fprintf(&text, "%s %s\n", bans.Source(p), is)
	}

	// A crash would undo a lift that the kernel or the disk does not have, so that stands in the
	// same line.
	text.WriteString(wording.Count(l.Count, "ban") + " " + lifted)
	if l.Pending > 0 {
		fmt.Fprintf(&text, "; the kernel does not have %d changes yet (amifend status)", l.Pending)
	}
	if l.Note != "" {
		text.WriteString("; " + l.Note)
	}
	if l.Again != nil {
		text.WriteString("\n" + againText(*l.Again, bans.Source(within), dry))
	}

	return text.String()
}

// lookBack returns a number of seconds for people, at least one second.
func lookBack(n float64) string {
	return max(seconds(n).Round(time.Second), time.Second).String()
}

// againText returns what a freed address still sends, and what would ban it again. With dry, nobody
// is banned at all.
func againText(a control.Again, source string, dry bool) string {
	// The kernel's counters show best whether it still sends. An event of a PBX is the next best.
	var text string
	switch {
	case a.Lately > 0:
		text = fmt.Sprintf("it still sends: %s in the last %s, %d while it was banned",
			wording.Count(a.Lately, "dropped packet"), lookBack(a.LatelySpan), a.Dropped)
	case a.Dropped > 0 && a.LatelySpan > 0:
		text = fmt.Sprintf("%s while it was banned, none in the last %s",
			wording.Count(a.Dropped, "dropped packet"), lookBack(a.LatelySpan))
	case a.Dropped > 0:
		text = wording.Count(a.Dropped, "dropped packet") +
			" while it was banned; whether it still sends is not known"
	case !a.Seen.IsZero():
		was := "was"
		if dry {
			was = "would have been"
		}
		text = "a PBX reported it at " + a.Seen.Local().Format(stamp) + ", while it " + was + " banned"
	default:
		text = "no packet of it was dropped"
	}

	// The engine has forgotten the evidence, so it takes as many attempts as the first time.
	if a.MoreUnknown > 0 && a.MoreKnown > 0 {
		again := "banned again"
		if dry {
			again = "would be banned again"
		}
		text += fmt.Sprintf("\n%s after %s on unknown accounts, or %s", again,
			wording.Count(a.MoreUnknown, "attempt"), wording.Count(a.MoreKnown, "wrong password"))
	}

	return text + "\nto let it in for good: amifend allow " + source
}
