package cli

import (
	"context"
	"fmt"
	"os"
	"time"

	"github.com/amifend/amifend/cmd/amifend/internal/bans"
	"github.com/amifend/amifend/cmd/amifend/internal/config"
	"github.com/amifend/amifend/cmd/amifend/internal/control"
	"github.com/amifend/amifend/cmd/amifend/internal/screen"
	"github.com/amifend/amifend/cmd/amifend/internal/wording"
)

// Limited is `amifend limited`.
type Limited struct {
	daemonFlags
}

// Help returns the detailed help.
func (*Limited) Help() string {
	return `The limiter drops in the kernel what strangers send beyond [limiter] per_minute. It is no ban: whoever
keeps to the limit, or logs in, is free at once. With mode = "observe" it drops nothing, and this list
shows whom it would limit. Before you write "on", allow the trunks and monitors in it: amifend allow.`
}

// Run lists who is limited.
func (c *Limited) Run(ctx context.Context, on screen.Screen) error {
	client, err := c.client()
	if err != nil {
		return err
	}
	l, err := client.Limited(ctx)
	switch {
	case err != nil:
		return err
	case c.JSON:
		return printJSON(l)
	}

	fmt.Println(on.Wrap("limiter: " + limiterText(l.Limiter)))
	if len(l.Sources) == 0 {
		return nil
	}
	fmt.Println()
	if err := columns(os.Stdout, on, limitedLines(l.Sources, time.Now())); err != nil {
		return err
	}
	if l.More > 0 {
		fmt.Printf("and %d more\n", l.More)
	}
	return nil
}

// limitedLines returns the table of sources.
func limitedLines(sources []control.Limited, now time.Time) []string {
	lines := []string{"SOURCE\tSTATE\tPACKETS\tLAST"}
	for _, l := range sources {
		state := "would limit"
		if l.Dropped {
			state = "limited"
		}
		lines = append(lines, fmt.Sprintf("%s\t%s\t%d\t%s ago", bans.Source(l.Source), state, l.Packets,
			rough(now.Sub(l.Last))))
	}
	return lines
}

// limiterText returns the state of the limiter in one line.
func limiterText(l control.Limiter) string {
	if l.Mode == config.LimiterOff {
		return "off: " + l.Problem
	}

	text := "observes: it drops nothing"
	if l.Mode == config.LimiterOn {
		text = "on"
	}
	text += fmt.Sprintf("; %s logged in and exempt", wording.Count(l.Known, "source"))
	for _, n := range []struct {
		packets uint64
		what    string
	}{
		{l.Counts.Dropped + l.Counts.StrangersDropped, "dropped"},
		{l.Counts.Passed + l.Counts.StrangersPassed, "would have been dropped"},
	} {
		if n.packets > 0 {
			text += fmt.Sprintf("; %s %s", wording.Count(n.packets, "packet"), n.what)
		}
	}
	if l.Problem != "" {
		text += "; " + l.Problem
	}
	return text
}
