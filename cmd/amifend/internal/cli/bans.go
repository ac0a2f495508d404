package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/amifend/amifend/cmd/amifend/internal/control"
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
}

// Help is the detailed help.
func (*Bans) Help() string {
	return `    amifend bans                         who is banned now, the newest first
    amifend bans 203.0.113.5             is he banned, for how long, how many of his packets were dropped
    amifend bans --sort dropped -n 10    who knocks most

With --json an object a line. See also: amifend explain ADDR.`
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
	q := control.BanQuery{Server: c.Server, Rule: c.Rule, Scope: c.Scope, Sort: c.Sort, Limit: c.Limit}
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
	return writeBans(os.Stdout, l, time.Now())
}

func writeBans(w io.Writer, l control.BanList, now time.Time) error {
	lines := []string{"SOURCE\tSCOPE\tENDS IN\tDROPPED\tATTEMPTS\tSTRIKE\tRULE\tSERVERS\tSTATE"}
	for _, b := range l.Bans {
		dropped := "?"
		if b.Dropped != nil {
			dropped = fmt.Sprint(*b.Dropped)
		}
		state := strings.ReplaceAll(b.State, "_", " ")
		lines = append(lines, strings.Join([]string{
			who(b.Prefix), b.Scope, rough(b.Until.Sub(now)), dropped, fmt.Sprint(b.Attempts), fmt.Sprint(b.Strike), b.Rule,
			strings.Join(b.Servers, ","), state,
		}, "\t"))
	}
	if len(l.Bans) > 0 {
		if err := columns(w, lines); err != nil {
			return err
		}
	}
	text := count(l.Total, "ban")
	if l.Matched != l.Total || len(l.Bans) != l.Total {
		text = fmt.Sprintf("%s in all, %d match, %d shown", text, l.Matched, len(l.Bans))
	}
	_, err := fmt.Fprintln(w, text)
	return err
}
