package cli

import (
	"context"
	"fmt"
	"time"

	"github.com/amifend/amifend/cmd/amifend/internal/bans"
	"github.com/amifend/amifend/cmd/amifend/internal/control"
	"github.com/amifend/amifend/cmd/amifend/internal/screen"
)

// Ban is `amifend ban`.
type Ban struct {
	daemonFlags
	Prefixes []sourceArg `arg:"" name:"prefix" help:"${banPrefixHelp}"`
	For      span        `placeholder:"TIME" help:"${banForHelp}"`
	Scope    string      `enum:"all,sip,stream" default:"all" help:"${banScopeHelp}"`
	Reason   string      `placeholder:"TEXT" help:"The reason, for whoever asks later."`
}

// Help returns the detailed help.
func (*Ban) Help() string {
	return `Examples:

    amifend ban 203.0.113.5 --for 7d --reason "calls Cuba"
    amifend ban 203.0.113.5 203.0.113.9 198.51.100.0/24

An address that must never be banned is refused, see amifend allow --list. To undo it: amifend
unban.`
}

// Validate is called by kong.
func (c *Ban) Validate() error {
	if len(c.Prefixes) > control.MostBans {
		return fmt.Errorf("%d addresses: write at most %d at a time", len(c.Prefixes),
			control.MostBans)
	}
	return nil
}

// Run bans. If an address is refused, the others are banned all the same.
func (c *Ban) Run(ctx context.Context, on screen.Screen) error {
	client, err := c.client()
	if err != nil {
		return err
	}

	// One request for all, so that the journal and the log have them together.
	wanted := make([]control.NewBan, len(c.Prefixes))
	for i, p := range c.Prefixes {
		wanted[i] = control.NewBan{
			Prefix: p.Prefix, Scope: c.Scope, For: time.Duration(c.For).Seconds(),
			Reason: c.Reason,
		}
	}

	res, err := client.Ban(ctx, wanted)
	if err != nil {
		return err
	}

	if len(res.Results) != len(wanted) {
		return fmt.Errorf("ban %d addresses: the daemon answered about %d", len(wanted),
			len(res.Results))
	}

	// If any is refused, the exit code is that of an error.
	return each(res.Results, c.JSON, on, func(r control.BanResult) (result, error) {
		if r.Error != nil {
			return result{data: r}, r.Error
		}
		return result{data: r, text: bannedText(r), warning: r.Note}, nil
	})
}

// bannedText returns the result of a ban for people.
func bannedText(r control.BanResult) string {
	is := "is"
	if r.State == control.StateDry {
		is = "would be"
	}

	text := fmt.Sprintf("%s %s banned (%s) until %s; to undo it: amifend unban %[1]s",
		bans.Source(r.Prefix), is, r.Scope, r.Until.Local().Format(stamp))
	if r.Note != "" {
		text += "\n" + r.Note
	}

	if more := stateText(r.State); more != "" {
		text += "\n" + more
	}
	return text
}

// stateText returns why a ban does not drop packets yet, or "" if it does.
func stateText(state string) string {
	switch state {
	case control.StateInKernel:
		return ""
	case control.StateWaiting:
		return "its set in the kernel is full: it waits for room (amifend status)"
	case control.StateDry:
		return "nothing is dropped: this daemon does not touch the kernel (observe = true, " +
			"backend = \"log\", or a trial that is over)"
	default:
		return "the kernel does not have it yet (amifend status)"
	}
}
