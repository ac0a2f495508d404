package main

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"github.com/amifend/amifend/cmd/amifend/internal/quality/traffic"
)

// legend explains the columns.
const legend = `Labelled traffic; each tool hears it in a run of its own, in which what it bans does not reach a PBX.
  first     attempts of an attacker up to the first ban, in the median and at worst (all, if there was none)
  reached   share of all attempts that reached a PBX
  stopped   share of the attackers who were banned before they had made all their attempts
  never     attackers who were never banned; in brackets, of whom no alert told either
  cracked   accounts that attackers logged in to; in brackets, of which no alert told
  banned    parties that a ban covered; in brackets, alerts about them that are not true
Classes that begin with "limit" are shown but asked nothing of: nobody could tell them apart by the events alone.
`

// write prints the results: a table of those who mean well, one of attackers, and the sums.
func write(out io.Writer, results []result) error {
	fmt.Fprint(out, legend)
	for _, part := range []struct {
		title, columns string
		role           func(traffic.Role) bool
		cell           func(tally) string
	}{
		{"THOSE WHO MEAN WELL", "banned", good, goodCell},
		{"ATTACKERS", "first\treached\tstopped\tnever\tcracked", func(r traffic.Role) bool { return r == traffic.Attacker }, attackerCell},
	} {
		w := tabwriter.NewWriter(out, 0, 4, 1, ' ', 0)
		skip := strings.Repeat("\t", strings.Count(part.columns, "\t"))
		fmt.Fprintf(w, "\n%s\tparties", part.title)
		for _, r := range results {
			fmt.Fprintf(w, "\t| %s%s", r.name, skip)
		}
		fmt.Fprintf(w, "\n\t%s\n", strings.Repeat("\t| "+part.columns, len(results)))
		for i, c := range results[0].world.Classes {
			if !part.role(c.Role) {
				continue
			}
			fmt.Fprintf(w, "%s\t%d", c.Name, len(c.Parties))
			for _, r := range results {
				fmt.Fprintf(w, "\t| %s", part.cell(tallyOf(r.world.Classes[i])))
			}
			fmt.Fprintln(w)
		}
		if err := w.Flush(); err != nil {
			return fmt.Errorf("write table: %w", err)
		}
	}
	return writeSums(out, results)
}

func good(r traffic.Role) bool { return r == traffic.Good || r == traffic.Victim }

func goodCell(t tally) string { return with(t.banned, t.falseAlerts) }

func attackerCell(t tally) string {
	cracked := "-"
	if t.compromised > 0 {
		cracked = with(t.compromised, t.missed)
	}
	return fmt.Sprintf("%d/%d\t%.1f%%\t%.0f%%\t%s\t%s", t.median, t.worst, share(t.admitted, t.offered), share(t.stopped, t.parties), with(t.never, t.untold), cracked)
}

// with prints a count and, if there are any, those of them that are worse.
func with(n, worse int) string {
	if worse == 0 {
		return fmt.Sprint(n)
	}
	return fmt.Sprintf("%d(%d)", n, worse)
}

// writeSums prints what matters most. The classes that nobody could tell apart are left aside.
func writeSums(out io.Writer, results []result) error {
	w := tabwriter.NewWriter(out, 0, 4, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintf(w, "\nALL but the limits")
	for _, r := range results {
		fmt.Fprintf(w, "\t%s", r.name)
	}
	fmt.Fprintln(w, "\t")
	for _, l := range []struct {
		name string
		of   func(result) string
	}{
		{"good sources banned", sum(traffic.Good, func(t tally) int { return t.banned })},
		{"forged victims banned", sum(traffic.Victim, func(t tally) int { return t.banned })},
		{"attackers", sum(traffic.Attacker, func(t tally) int { return t.parties })},
		{"never banned", sum(traffic.Attacker, func(t tally) int { return t.never })},
		{"attempts", sum(traffic.Attacker, func(t tally) int { return t.offered })},
		{"that reached a PBX", sum(traffic.Attacker, func(t tally) int { return t.admitted })},
		{"accounts cracked", sum(traffic.Attacker, func(t tally) int { return t.compromised })},
		{"and not told of", sum(traffic.Attacker, func(t tally) int { return t.missed })},
		{"alerts", func(r result) string { return fmt.Sprint(r.world.Alerts) }},
		{"false alerts", func(r result) string { return fmt.Sprint(len(falseAlerts(r))) }},
		{"events", func(r result) string { return fmt.Sprint(r.events) }},
		{"seconds", func(r result) string { return fmt.Sprintf("%.1f", r.elapsed.Seconds()) }},
	} {
		fmt.Fprint(w, l.name)
		for _, r := range results {
			fmt.Fprintf(w, "\t%s", l.of(r))
		}
		fmt.Fprintln(w, "\t")
	}
	if err := w.Flush(); err != nil {
		return fmt.Errorf("write sums: %w", err)
	}
	return nil
}

// sum adds up a figure of the classes of a role.
func sum(role traffic.Role, of func(tally) int) func(result) string {
	return func(r result) string {
		n := 0
		for _, c := range r.world.Classes {
			if c.Role == role && !c.Limit() {
				n += of(tallyOf(c))
			}
		}
		return fmt.Sprint(n)
	}
}
