package cli

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/amifend/amifend/cmd/amifend/internal/control"
	"github.com/amifend/amifend/cmd/amifend/internal/screen"
	"github.com/amifend/amifend/cmd/amifend/internal/wording"
)

// Feed is `amifend feed`.
type Feed struct {
	List   FeedList   `cmd:"" help:"List the feeds: state, prefixes, age, dropped packets, last error."`
	Accept FeedAccept `cmd:"" help:"Put the list of a feed in force that waits for a yes."`
}

// FeedList is `amifend feed list`.
type FeedList struct {
	daemonFlags
}

// Help returns the detailed help.
func (*FeedList) Help() string {
	return `A list older than seven days is a condition, and one older than thirty days is not in force any more.
Spared are prefixes that a list names and that are not dropped, since they must never be banned, or a
phone proved itself from there. docs/feeds.md explains the feeds.`
}

// Run lists the feeds.
func (c *FeedList) Run(ctx context.Context, on screen.Screen) error {
	client, err := c.client()
	if err != nil {
		return err
	}
	f, err := client.Feeds(ctx)
	switch {
	case err != nil:
		return err
	case c.JSON:
		return printJSON(f)
	case len(f.Feeds) == 0:
		_, err := fmt.Println("no feeds: the config in force has no [[feed]]")
		return err
	}

	if err := columns(os.Stdout, on, feedLines(f.Feeds)); err != nil {
		return err
	}
	_, err = fmt.Print(on.Wrap(feedNotes(f.Feeds)))
	return err
}

// feedLines returns the table of feeds.
func feedLines(feeds []control.FeedState) []string {
	lines := []string{"NAME\tSTATE\tPREFIXES\tAGE\tDROPPED\tLAST ERROR"}
	for _, f := range feeds {
		age, dropped, problem := "-", "-", "-"
		if !f.Fetched.IsZero() {
			age = rough(time.Duration(f.Age * float64(time.Second)))
		}
		if f.Dropped != nil {
			dropped = strconv.FormatUint(*f.Dropped, 10)
		}
		if f.Problem != "" {
			problem = f.Problem
		}
		lines = append(lines, fmt.Sprintf("%s\t%s\t%d\t%s\t%s\t%s", f.Name, feedState(f), f.Prefixes, age,
			dropped, problem))
	}
	return lines
}

// feedState returns the state of a feed in words.
func feedState(f control.FeedState) string {
	switch {
	case f.State == "none":
		return "no list yet"
	case f.State == "waiting":
		return "waits for a yes"
	case f.State == "dropped":
		return "too old, not in force"
	case f.Kernel == control.StateDry:
		return f.State + ", only observed"
	case f.Kernel == control.StateTrial:
		return f.State + ", after the trial"
	case f.Kernel == control.StatePending:
		return f.State + ", not in the kernel yet"
	}
	return f.State
}

// feedNotes returns what else there is to say of feeds, a line each.
func feedNotes(feeds []control.FeedState) string {
	var b strings.Builder
	for _, f := range feeds {
		if f.Waiting > 0 {
			fmt.Fprintf(&b, "%s: a list of %s waits: %s\n  do: amifend feed accept %[1]s\n", f.Name,
				wording.Count(f.Waiting, "prefix"), f.Why)
		}
		if f.Bad > 0 {
			fmt.Fprintf(&b, "%s: %s neither an address nor a prefix: line %s\n", f.Name,
				isOrAre(f.Bad), joinInts(f.BadLines))
		}
		if f.Disk != "" {
			fmt.Fprintf(&b, "%s: %s\n", f.Name, f.Disk)
		}
		for _, s := range f.Spared {
			fmt.Fprintf(&b, "%s: spares %s: %s\n", f.Name, s.Prefix, s.Reason)
		}
		if f.SparedMore > 0 {
			fmt.Fprintf(&b, "%s: spares %d more\n", f.Name, f.SparedMore)
		}
	}
	return b.String()
}

func isOrAre(lines int) string {
	if lines == 1 {
		return "1 line of its list is"
	}
	return strconv.Itoa(lines) + " lines of its list are"
}

// joinInts returns numbers with commas between them.
func joinInts(all []int) string {
	texts := make([]string, 0, len(all))
	for _, n := range all {
		texts = append(texts, strconv.Itoa(n))
	}
	return strings.Join(texts, ", ")
}

// FeedAccept is `amifend feed accept`.
type FeedAccept struct {
	daemonFlags
	Name string `arg:"" complete:"feeds" help:"The feed, by its name in the config."`
}

// Help returns the detailed help.
func (*FeedAccept) Help() string {
	return `A first list of more than 100,000 prefixes waits, and so does one that has suddenly grown: to more
than twice the size. Look at it before you say yes: whatever it holds is dropped.`
}

// Run accepts the list.
func (c *FeedAccept) Run(ctx context.Context) error {
	client, err := c.client()
	if err != nil {
		return err
	}
	f, err := client.AcceptFeed(ctx, control.AcceptFeed{Name: c.Name})
	switch {
	case err != nil:
		return err
	case c.JSON:
		return printJSON(f)
	}
	_, err = fmt.Printf("the list of %s is accepted: %s\n", f.Name, wording.Count(f.Prefixes, "prefix"))
	return err
}

// feedLine returns the state of a feed for the status.
func feedLine(f control.FeedState) string {
	text := fmt.Sprintf("feed %s: %s, %s", f.Name, feedState(f), wording.Count(f.Prefixes, "prefix"))
	if f.Dropped != nil {
		text += ", " + wording.Count(*f.Dropped, "packet") + " dropped"
	}
	return text
}
