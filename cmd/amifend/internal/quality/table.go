package main

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/amifend/amifend/cmd/amifend/internal/quality/traffic"
)

// legend explains the columns.
const legend = `Labelled traffic; each tool hears it in a run of its own, in which what it bans does
not reach a PBX.
  first     attempts of an attacker up to the first ban, median and worst (all, if there was none)
  reached   share of all attempts that reached a PBX
  stopped   share of the attackers who were banned before they had made all their attempts
  never     attackers who were never banned; in brackets, about whom there was no alert either
  cracked   accounts that attackers logged in to; in brackets, that no alert reported
  banned    parties that a ban covered; in brackets, alerts about them that are not true
  all       of them, those that a ban covered on every port; longest: the longest ban of any of them
  attacked  accounts and servers with more than 20 logins; in brackets, that nothing reported
  told at   logins that reached the PBX up to the first decision that reported them: median/worst
  blocked   requests of users that a ban kept from the PBX
  misconf   alerts misconfigured_endpoint about them; in brackets, about who is not misconfigured
Classes that begin with "limit" have no goal: by their events, nobody could tell them apart.
`

// section is one table of the output.
type section struct {
	title   string
	has     func(*traffic.Class) bool
	columns string
	cell    func(tally) string
}

// sections are all tables, in order.
func sections() []section {
	of := func(part traffic.Part, roles ...traffic.Role) func(*traffic.Class) bool {
		return func(c *traffic.Class) bool {
			for _, r := range roles {
				if c.Role == r && c.Part == part {
					return true
				}
			}
			return false
		}
	}
	const attackers = "first\treached\tstopped\tnever\tcracked"

	return []section{
		{
			"THOSE WHO MEAN WELL", of(traffic.Plain, traffic.Good, traffic.Victim),
			"banned", goodCell,
		},
		{"ATTACKERS", of(traffic.Plain, traffic.Attacker), attackers, attackerCell},
		{
			"WHO IS NAMED BY OTHERS", of(traffic.Naming, traffic.Good, traffic.Victim),
			"banned\tall\tlongest", namedCell,
		},
		{
			"WHO NAME OTHERS", of(traffic.Naming, traffic.Attacker, traffic.Forger),
			"reached\tattacked\ttold at\tcracked", namerCell,
		},
		{
			"GOOD, FROM FIELD REPORTS", of(traffic.Field, traffic.Good),
			"banned\tall\tlongest\tblocked\tmisconf", fieldCell,
		},
		{"ATTACKERS, FROM FIELD REPORTS", of(traffic.Field, traffic.Attacker), attackers, attackerCell},
	}
}

// write prints the results: the tables, and the sums.
func write(out io.Writer, results []result) error {
	fmt.Fprint(out, legend)

	for _, s := range sections() {
		if err := s.write(out, results); err != nil {
			return fmt.Errorf("write table: %w", err)
		}
	}
	return writeSums(out, results)
}

// write prints the table, unless no class belongs to it.
func (s section) write(out io.Writer, results []result) error {
	w := tabwriter.NewWriter(out, 0, 4, 1, ' ', 0)
	skip := strings.Repeat("\t", strings.Count(s.columns, "\t"))
	rows := 0

	// The name of a tool stands over the first of its columns.
	fmt.Fprintf(w, "\n%s\tparties", s.title)
	for _, r := range results {
		fmt.Fprintf(w, "\t| %s%s", r.name, skip)
	}
	fmt.Fprintf(w, "\n\t%s\n", strings.Repeat("\t| "+s.columns, len(results)))

	// All runs have the same classes in the same order.
	for i, c := range results[0].world.Classes {
		if !s.has(c) {
			continue
		}
		rows++
		fmt.Fprintf(w, "%s\t%d", c.Name, len(c.Parties))
		for _, r := range results {
			fmt.Fprintf(w, "\t| %s", s.cell(tallyOf(r.world.Classes[i])))
		}
		fmt.Fprintln(w)
	}

	// tabwriter has written nothing yet, so an empty table is not printed at all.
	if rows == 0 {
		return nil
	}
	return w.Flush()
}

func goodCell(t tally) string { return with(t.banned, t.falseAlerts) }

func attackerCell(t tally) string {
	return fmt.Sprintf("%d/%d\t%.1f%%\t%.0f%%\t%s\t%s",
		t.median, t.worst, share(t.admitted, t.offered), share(t.stopped, t.parties),
		with(t.never, t.untold), crackedCell(t))
}

func crackedCell(t tally) string {
	if t.compromised == 0 {
		return "-"
	}
	return with(t.compromised, t.missed)
}

func namedCell(t tally) string {
	return fmt.Sprintf("%s\t%d\t%s", with(t.banned, t.falseAlerts), t.everything, longest(t))
}

func namerCell(t tally) string {
	return fmt.Sprintf("%.1f%%\t%s\t%d/%d\t%s",
		share(t.admitted, t.offered), with(t.attacks, t.attacksUntold), t.toldMedian, t.toldWorst,
		crackedCell(t))
}

func fieldCell(t tally) string {
	return fmt.Sprintf("%s\t%d\t%s\t%d\t%s",
		with(t.banned, t.falseAlerts), t.everything, longest(t), t.blocked,
		with(t.misconfigured, t.notMisconfigured))
}

// longest prints the longest ban, to the minute; "-" is none.
func longest(t tally) string {
	switch {
	case t.longest == 0:
		return "-"
	case t.longest >= 1000*time.Hour:
		return "for ever"
	}

	text := t.longest.Round(time.Minute).String()
	return strings.TrimSuffix(text, "0s")
}

// with prints a count and, if there are any, those of them that are worse.
func with(n, worse int) string {
	if worse == 0 {
		return fmt.Sprint(n)
	}
	return fmt.Sprintf("%d(%d)", n, worse)
}

// line is one line of the sums.
type line struct {
	name string
	of   func(result) string
}

// writeSums prints the most important sums. Only the last lines count the classes that are not
// judged.
func writeSums(out io.Writer, results []result) error {
	w := tabwriter.NewWriter(out, 0, 4, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintf(w, "\nALL that are judged")
	for _, r := range results {
		fmt.Fprintf(w, "\t%s", r.name)
	}
	fmt.Fprintln(w, "\t")

	for _, l := range sums() {
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

// sums are the lines of the sums.
func sums() []line {
	good, victims := asked(traffic.Good), asked(traffic.Victim)
	attackers, hostile := asked(traffic.Attacker), asked(traffic.Attacker, traffic.Forger)

	return []line{
		{"good sources banned", sum(good, func(t tally) int { return t.banned })},
		{"victims banned against the goal", sum(victims, func(t tally) int { return t.wronged })},
		{"victims banned from everything", sum(victims, func(t tally) int { return t.everything })},
		{"attackers", sum(attackers, func(t tally) int { return t.parties })},
		{"never banned", sum(attackers, func(t tally) int { return t.never })},
		{"attempts", sum(attackers, func(t tally) int { return t.offered })},
		{"that reached a PBX", sum(attackers, func(t tally) int { return t.admitted })},
		{"accounts cracked", sum(hostile, func(t tally) int { return t.compromised })},
		{"and not reported", sum(hostile, func(t tally) int { return t.missed })},
		{"attacked in others' names", sum(naming, func(t tally) int { return t.attacks })},
		{"and not reported", sum(naming, func(t tally) int { return t.attacksUntold })},
		{"reported by a ban only", sum(naming, func(t tally) int { return t.byBan })},
		{"reported as a phone's fault only", sum(naming, func(t tally) int { return t.asFault })},
		{"alerts", func(r result) string { return fmt.Sprint(r.world.Alerts) }},
		{"false alerts", func(r result) string { return fmt.Sprint(len(falseAlerts(r))) }},
		{"events", func(r result) string { return fmt.Sprint(r.events) }},
		{"seconds", func(r result) string { return fmt.Sprintf("%.1f", r.elapsed.Seconds()) }},

		// Two goals, see missedOverall. They count the classes that are not judged yet, too.
		{"misconfigured parties", sum(meansWell, func(t tally) int { return t.atFault })},
		{"and not reported", sum(meansWell, func(t tally) int { return t.atFaultUntold })},
		{"misconfigured_endpoint about others", sum(meansWell, othersBlamed)},
		{"for 1,000 of them and day", func(r result) string {
			return fmt.Sprintf("%.2f", misconfiguredRate(r))
		}},
	}
}

// othersBlamed returns how many alerts misconfigured_endpoint are about parties that are not.
func othersBlamed(t tally) int { return t.notMisconfigured }

// asked returns a filter for the classes of some roles that have a goal.
func asked(roles ...traffic.Role) func(*traffic.Class) bool {
	return func(c *traffic.Class) bool {
		if slices.Contains(roles, c.Role) {
			return c.Judged()
		}
		return false
	}
}

func naming(c *traffic.Class) bool { return c.Goal.Attacks }

// meansWell reports whether alerts misconfigured_endpoint about the class count: forged packets in
// a victim's name look the same.
func meansWell(c *traffic.Class) bool { return c.Role == traffic.Good && !c.Limit() }

// sum adds up a figure of the classes that a filter accepts.
func sum(has func(*traffic.Class) bool, of func(tally) int) func(result) string {
	return func(r result) string { return fmt.Sprint(total(r, has, of)) }
}

func total(r result, has func(*traffic.Class) bool, of func(tally) int) int {
	n := 0
	for _, c := range r.world.Classes {
		if has(c) {
			n += of(tallyOf(c))
		}
	}
	return n
}

// misconfiguredRate returns how many alerts misconfigured_endpoint there were about good parties
// that are not misconfigured, for each 1,000 of these and day.
func misconfiguredRate(r result) float64 {
	alerts := total(r, meansWell, othersBlamed)
	parties := total(r, meansWell, func(t tally) int { return t.parties - t.atFault })
	days := r.world.Lasts().Hours() / 24

	return 1000 * float64(alerts) / max(float64(parties)*days, 1)
}
