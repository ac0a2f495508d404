package main

import (
	"fmt"
	"io"
	"time"

	"github.com/amifend/amifend/cmd/amifend/internal/quality/traffic"
)

// firstFlooded is how many attempts an attacker has at most while a flood of forged packets names
// one address after another. Whoever banned each of them as fast would let the flood ban everybody.
const firstFlooded = 16

// missed returns the ways in which a class missed its goal, a sentence for each.
func missed(c *traffic.Class) []string {
	got, goal := tallyOf(c), c.Goal
	var out []string
	miss := func(format string, args ...any) { out = append(out, fmt.Sprintf(format, args...)) }

	missedByBans(got, goal, miss)

	// What only an alert can stop: a password that is known, and attacks in others' names.
	if got.missed > 0 {
		miss("%d of %d cracked accounts were not reported", got.missed, got.compromised)
	}
	if goal.Attacks && got.attacksUntold > 0 {
		miss("%d of %d attacked accounts and servers were not reported: %s",
			got.attacksUntold, got.attacks, got.examples)
	}

	// How soon, and how many attackers, a ban stopped.
	if goal.First > 0 && got.worstCalm > goal.First {
		miss("%d attempts reached a PBX up to the first ban (median %d), want %d at most",
			got.worstCalm, got.median, goal.First)
	}
	if most := max(goal.First, firstFlooded); goal.First > 0 && got.worst > most {
		miss("%d attempts reached a PBX up to the first ban, during a flood of forged packets, want "+
			"%d at most", got.worst, most)
	}
	if s := share(got.stopped, got.parties); s < 100*goal.Stopped {
		miss("%.1f %% of %d were banned before they made all their attempts, want %.0f %% at least",
			s, got.parties, 100*goal.Stopped)
	}
	if goal.Banned && got.never > 0 {
		miss("%d of %d were never banned", got.never, got.parties)
	}
	if goal.Told && got.untold > 0 {
		miss("%d of %d were neither banned nor reported", got.untold, got.parties)
	}
	return out
}

// missedByBans calls miss with each way in which bans of good parties and victims break the goal.
func missedByBans(got tally, goal traffic.Goal, miss func(format string, args ...any)) {
	if got.everything > 0 {
		miss("%d of %d who mean well were banned from everything", got.everything, got.parties)
	}

	// Some goals allow a short ban from the SIP ports, for sources that never proved themselves.
	if !goal.SIPOnly {
		if got.banned > 0 {
			miss("%d of %d who mean well were banned", got.banned, got.parties)
		}
		return
	}
	if goal.Longest > 0 && got.longest > goal.Longest {
		miss("a ban lasts %v, want %v at most", got.longest.Round(time.Second), goal.Longest)
	}
}

// writeMissed prints the goals that one contender missed. It returns how many these are.
func writeMissed(out io.Writer, r result) int {
	// The title is printed before the first goal that was missed.
	n := 0
	for _, c := range r.world.Classes {
		if !c.Judged() {
			continue
		}
		for _, m := range missed(c) {
			if n++; n == 1 {
				fmt.Fprintf(out, "\nGoals that %s missed\n", r.name)
			}
			fmt.Fprintf(out, "  %s: %s\n", c.Name, m)
		}
	}

	for _, m := range missedOverall(r) {
		if n++; n == 1 {
			fmt.Fprintf(out, "\nGoals that %s missed\n", r.name)
		}
		fmt.Fprintf(out, "  all who mean well: %s\n", m)
	}

	if n == 0 {
		fmt.Fprintf(out, "\n%s missed no goal.\n", r.name)
	}
	return n
}

// mostBlamed is how many alerts misconfigured_endpoint there may be about good parties that are not
// misconfigured, for each 1,000 of them and day.
const mostBlamed = 1

// missedOverall returns how the classes of those who mean well fell short of the goals that they
// have together, a sentence for each way. It counts the classes that are not judged, too.
func missedOverall(r result) (out []string) {
	untold := total(r, meansWell, func(t tally) int { return t.atFaultUntold })
	if untold > 0 {
		out = append(out, fmt.Sprintf("%d of %d misconfigured parties were not told of", untold,
			total(r, meansWell, func(t tally) int { return t.atFault })))
	}

	if rate := misconfiguredRate(r); rate > mostBlamed {
		out = append(out, fmt.Sprintf("%.2f alerts misconfigured_endpoint about others, for 1,000 "+
			"of them and day, want %d at most", rate, mostBlamed))
	}
	return out
}
