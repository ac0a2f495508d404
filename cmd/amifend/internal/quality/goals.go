package main

import (
	"fmt"
	"io"

	"github.com/amifend/amifend/cmd/amifend/internal/quality/traffic"
)

// missed tells how a class fell short of what issue 3 asks.
func missed(c *traffic.Class) []string {
	got, goal := tallyOf(c), c.Goal
	var out []string
	miss := func(format string, args ...any) { out = append(out, fmt.Sprintf(format, args...)) }
	if got.banned > 0 {
		miss("%d of %d who mean well were banned", got.banned, got.parties)
	}
	if got.missed > 0 {
		miss("%d of %d cracked accounts were not told of", got.missed, got.compromised)
	}
	if goal.First > 0 && got.worst > goal.First {
		miss("%d attempts reached a PBX up to the first ban (median %d), want %d at most", got.worst, got.median, goal.First)
	}
	if s := share(got.stopped, got.parties); s < 100*goal.Stopped {
		miss("%.1f %% of %d were banned before they had made all their attempts, want %.0f %% at least", s, got.parties, 100*goal.Stopped)
	}
	if goal.Banned && got.never > 0 {
		miss("%d of %d were never banned", got.never, got.parties)
	}
	if goal.Told && got.untold > 0 {
		miss("%d of %d were neither banned nor told of", got.untold, got.parties)
	}
	return out
}

// writeMissed prints the goals that one contender missed.
func writeMissed(out io.Writer, r result) {
	n := 0
	for _, c := range r.world.Classes {
		if c.Limit() {
			continue
		}
		for _, m := range missed(c) {
			if n++; n == 1 {
				fmt.Fprintf(out, "\nGoals that %s missed\n", r.name)
			}
			fmt.Fprintf(out, "  %s: %s\n", c.Name, m)
		}
	}
	if n == 0 {
		fmt.Fprintf(out, "\n%s missed no goal.\n", r.name)
	}
}
