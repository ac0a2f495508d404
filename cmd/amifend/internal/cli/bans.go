package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/amifend/amifend/cmd/amifend/internal/control"
	"github.com/amifend/amifend/cmd/amifend/internal/observe"
)

// Bans is `amifend bans`.
type Bans struct {
	daemonFlags
	Within *sourceArg `arg:"" optional:"" name:"prefix" help:"Only bans of this address, or within this prefix."`
	Server string     `placeholder:"NAME" help:"Only bans with evidence of this server."`
	Rule   string     `placeholder:"RULE" help:"Only bans by this rule, such as proven_score or operator."`
	Scope  string     `enum:",all,sip" default:"" placeholder:"SCOPE" help:"Only bans of this scope: all or sip."`
	Sort   string     `enum:"newest,until,dropped,score,source" default:"newest" help:"Order: newest, until (the next to end first), dropped, score or source."`
	Limit  int        `short:"n" placeholder:"COUNT" help:"Print so many at most."`
	Wide   bool       `short:"w" help:"Print more columns: since when, the score, how many strikes, the state."`
}

// Help is the detailed help.
func (*Bans) Help() string {
	return `Examples:

    amifend bans                         who is banned now, the newest first
    amifend bans 203.0.113.5             is it banned, and for how long
    amifend bans --sort dropped -n 10    who knocks most

DROPPED is how many packets the kernel has dropped ("?": it does not count them, or nothing is dropped). A column STATE appears
when a ban is not in the kernel. With --json an object a line. See also: amifend explain ADDR.`
}

// Validate is called by kong.
func (c *Bans) Validate() error {
	if c.Limit < 0 {
		return fmt.Errorf("--limit %d: write a number above 0", c.Limit)
	}
	return nil
}

// Run asks, and prints the answer.
func (c *Bans) Run(ctx context.Context) error {
	client, err := c.client()
	if err != nil {
		return err
	}

	q := control.BanQuery{
		Server: c.Server, Rule: c.Rule, Scope: c.Scope, Sort: c.Sort,
		Limit: c.Limit,
	}
	if c.Within != nil {
		q.Within = c.Within.Prefix
	}

	l, err := client.Bans(ctx, q)
	if err != nil {
		return err
	}

	if c.JSON {
		e := json.NewEncoder(os.Stdout)
		for _, b := range l.Bans {
			if err := e.Encode(b); err != nil {
				return fmt.Errorf("write the bans: %w", err)
			}
		}
		return nil
	}

	return writeBans(os.Stdout, l, c.Wide, time.Now())
}

// writeBans writes a table that fits into 80 columns for most addresses. What is the same in every
// line as one expects it (in the kernel, the first ban) is shown only on demand.
func writeBans(w io.Writer, l control.BanList, wide bool, now time.Time) error {
	state := wide || slices.ContainsFunc(l.Bans, func(b control.Ban) bool {
		return b.State != control.StateInKernel
	})

	lines := []string{"SOURCE\tENDS IN\tSCOPE\tDROPPED\tATTEMPTS\tRULE\tSERVERS"}
	if wide {
		lines[0] += "\tSINCE\tSCORE\tSTRIKE"
	}
	if state {
		lines[0] += "\tSTATE"
	}

	for _, b := range l.Bans {
		cells := []string{
			who(b.Prefix), rough(b.Until.Sub(now)), b.Scope, packets(b.Dropped),
			fmt.Sprint(b.Attempts), b.Rule, strings.Join(b.Servers, ","),
		}
		if wide {
			cells = append(cells, b.Since.Local().Format(time.DateTime),
				fmt.Sprintf("%.2f", b.Score), fmt.Sprint(b.Strike))
		}

		if state {
			cells = append(cells, strings.ReplaceAll(b.State, "_", " "))
		}

		lines = append(lines, strings.Join(cells, "\t"))
	}

	if len(l.Bans) > 0 {
		if err := columns(w, lines); err != nil {
			return err
		}
	}

	text := observe.Count(l.Total, "ban")
	if l.Matched != l.Total || len(l.Bans) != l.Total {
		text = fmt.Sprintf("%s in all, %d match, %d shown", text, l.Matched, len(l.Bans))
	}

	_, err := fmt.Fprintln(w, text)
	return err
}

// packets is a number of packets that may be unknown.
func packets(n *uint64) string {
	if n == nil {
		return "?"
	}
	return fmt.Sprint(*n)
}
