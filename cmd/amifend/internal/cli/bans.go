package cli

import (
	"context"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/amifend/amifend/cmd/amifend/internal/bans"
	"github.com/amifend/amifend/cmd/amifend/internal/control"
	"github.com/amifend/amifend/cmd/amifend/internal/screen"
	"github.com/amifend/amifend/cmd/amifend/internal/wording"
)

// Bans is `amifend bans`.
type Bans struct {
	daemonFlags
	Within *sourceArg `arg:"" complete:"banned" optional:"" name:"prefix" help:"${bansWithinHelp}"`
	Server string     `complete:"servers" placeholder:"NAME" help:"Only bans with evidence of this server."`
	Rule   string     `complete:"rules" placeholder:"RULE" help:"${bansRuleHelp}"`
	Scope  string     `enum:",all,sip,stream" default:"" placeholder:"SCOPE" help:"${bansScopeHelp}"`
	Sort   string     `enum:"newest,until,dropped,score,source" default:"newest" help:"${bansSortHelp}"`
	Limit  int        `short:"n" placeholder:"COUNT" help:"Print at most COUNT bans."`
	Wide   bool       `short:"w" xor:"form" help:"${bansWideHelp}"`
	Quiet  bool       `short:"q" xor:"form" help:"Print only the addresses and prefixes, one a line."`
}

// Help returns the detailed help.
func (*Bans) Help() string {
	return `Examples:

    amifend bans                         who is banned now, the newest first
    amifend bans 203.0.113.5             whether it is banned, and for how long
    amifend bans --sort dropped -n 10    who sends most
    amifend bans -q                      the addresses alone, for other programs

DROPPED is the number of packets that the kernel has dropped ("?": it does not count them). A column
STATE appears when a ban is not in the kernel. A daemon that only observes bans nobody: its bans are
those that it would make, and drop nothing; -q says so on standard error. See also: amifend explain
ADDR.`
}

// Validate is called by kong.
func (c *Bans) Validate() error {
	if c.Limit < 0 {
		return fmt.Errorf("--limit %d: write a number above 0", c.Limit)
	}

	// With a misspelt rule the list would be empty, as if nobody were banned.
	return chosen("--rule", c.Rule, "rule", ruleNames())
}

// Run asks the daemon, and prints the answer.
func (c *Bans) Run(ctx context.Context, on screen.Screen) error {
	client, err := c.client()
	if err != nil {
		return err
	}

	if err := knownServer(ctx, client, c.Server); err != nil {
		return err
	}

	// The daemon filters and sorts, since there may be a hundred thousand bans.
	q := control.BanQuery{
		Server: c.Server, Rule: c.Rule, Scope: c.Scope, Sort: c.Sort,
		Limit: c.Limit, Names: !c.Quiet,
	}
	if c.Within != nil {
		q.Within = c.Within.Prefix
	}

	l, err := client.Bans(ctx, q)
	if err != nil {
		return err
	}

	switch {
	case c.JSON:
		return printJSON(banList{nonNil(l.Bans), l.Total, l.Matched})
	case c.Quiet:
		// What reads the list must not get other lines, and whoever calls it must not be misled.
		if slices.ContainsFunc(l.Bans, wouldBe) {
			fmt.Fprintln(os.Stderr, "amifend: nobody is banned; this daemon would ban these")
		}
		return writeSources(os.Stdout, l)
	default:
		return writeBans(os.Stdout, on, l, c.Wide, time.Now())
	}
}

// banList is the result in JSON.
type banList struct {
	Bans    []control.Ban `json:"bans"`    // those that are shown
	Total   int           `json:"total"`   // all bans of the daemon
	Matched int           `json:"matched"` // those that the filter selects
}

// nonNil returns a list that JSON shows as [] when it is empty.
func nonNil[T any](list []T) []T {
	if list == nil {
		return []T{}
	}
	return list
}

// wouldBe reports whether a ban is one of a daemon that bans nobody.
func wouldBe(b control.Ban) bool { return b.State == control.StateDry }

// writeSources writes what is banned, and nothing else, so that other commands can read it.
func writeSources(w io.Writer, l control.BanList) error {
	var text strings.Builder
	for _, b := range l.Bans {
		text.WriteString(bans.Source(b.Prefix) + "\n")
	}
	_, err := io.WriteString(w, text.String())
	return err
}

// writeBans writes a table that fits into 80 columns for most addresses. Columns in which most rows
// are equal, such as the state, are shown only if wide is set or a row differs.
func writeBans(
	w io.Writer, on screen.Screen, l control.BanList, wide bool, now time.Time,
) error {
	dry := len(l.Bans) > 0 && !slices.ContainsFunc(l.Bans, func(b control.Ban) bool {
		return !wouldBe(b)
	})
	state := wide || !dry && slices.ContainsFunc(l.Bans, func(b control.Ban) bool {
		return b.State != control.StateInKernel
	})

	// What would be banned must not be taken for what is, and drops nothing.
	if dry {
		fmt.Fprintln(w, "nobody is banned; this daemon would ban:")
	}
	lines := []string{"SOURCE\tENDS IN\tSCOPE\tDROPPED\tATTEMPTS\tRULE\tSERVERS"}
	if dry {
		lines[0] = strings.Replace(lines[0], "DROPPED\t", "", 1)
	}
	if wide {
		lines[0] += "\tSINCE " + now.Local().Format("MST") + "\tSCORE\tSTRIKE"
	}
	if state {
		lines[0] += "\tSTATE"
	}

	// Names come last, since they are what a narrow terminal may cut off.
	named := slices.ContainsFunc(l.Bans, func(b control.Ban) bool { return b.Origin != nil })
	if named {
		lines[0] += "\tORIGIN"
	}

	// The cells stand in the order of the header above.
	for _, b := range l.Bans {
		cells := []string{
			bans.Source(b.Prefix), rough(b.Until.Sub(now)), b.Scope, packets(b.Dropped),
			fmt.Sprint(b.Attempts), b.Rule, serversCell(b.Servers, wide),
		}
		if dry {
			cells = slices.Delete(cells, 3, 4)
		}
		if wide {
			cells = append(cells, b.Since.Local().Format(time.DateTime),
				fmt.Sprintf("%.2f", b.Score), fmt.Sprint(b.Strike))
		}

		if state {
			cells = append(cells, stateName(b.State))
		}
		if named {
			cells = append(cells, originCell(b.Origin, wide))
		}

		lines = append(lines, strings.Join(cells, "\t"))
	}

	// Without rows there is no header either.
	if len(l.Bans) > 0 {
		if err := columns(w, on, lines); err != nil {
			return err
		}
	}

	// The last line counts the bans that the filter and the limit left out.
	text := wording.Count(l.Total, "ban")
	if slices.ContainsFunc(l.Bans, wouldBe) {
		text = wording.Count(l.Total, "would-be ban") // this daemon drops nothing
	}

	if l.Matched != l.Total || len(l.Bans) != l.Total {
		text = fmt.Sprintf("%s in all, %d match, %d shown", text, l.Matched, len(l.Bans))
	}

	_, err := fmt.Fprintln(w, droppedText(l.Bans)+text)
	return err
}

// shownServers is how many servers a table names.
const shownServers = 2

// serversCell returns the servers of a ban in a table: all of them if it is wide.
func serversCell(servers []string, wide bool) string {
	if more := len(servers) - shownServers; more > 0 && !wide {
		return fmt.Sprintf("%s +%d", strings.Join(servers[:shownServers], ","), more)
	}
	return strings.Join(servers, ",")
}

// originWidth is the width of names in a table.
const originWidth = 24

// originCell returns the names of a source in a table: all of them if it is wide.
func originCell(o *control.Origin, wide bool) string {
	if wide {
		return o.String()
	}
	return o.Short(originWidth)
}

// droppedText returns a line with the sum of the dropped packets, or "" if there is nothing to add.
func droppedText(list []control.Ban) string {
	var sum uint64
	counted := 0
	for _, b := range list {
		if b.Dropped != nil {
			sum += *b.Dropped
			counted++
		}
	}

	// Where nothing is counted, a sum of zero would mislead.
	if counted == 0 || len(list) < 2 {
		return ""
	}
	return wording.Count(sum, "packet") + " dropped\n"
}

// stateName returns the state of a ban in a table.
func stateName(state string) string {
	if state == control.StateDry {
		return "would be"
	}
	return strings.ReplaceAll(state, "_", " ")
}

// packets returns a number of packets, which may be unknown.
func packets(n *uint64) string {
	if n == nil {
		return "?"
	}
	return fmt.Sprint(*n)
}
