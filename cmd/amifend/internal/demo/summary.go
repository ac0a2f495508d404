package demo

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"github.com/amifend/amifend/cmd/amifend/internal/bans"
)

// opening returns the lines before the play.
func opening(long time.Duration, st stage) []string {
	lines := []string{
		fmt.Sprintf("amifend demo, %v: two PBXs, their phones, and strangers who attack them.",
			long),
	}
	lines = append(lines, wrap(st.told+" Nothing on this machine is touched.", width)...)
	return append(lines,
		"Each line has the time, what happened, and to whom. A summary follows.",
		"Ctrl-C ends the demo early.", "")
}

// close judges and prints the summary. It returns ErrFailed if an actor was judged wrongly, unless
// the play ended early.
func (p *performance) close(early bool, dropped map[netip.Prefix]uint64) error {
	// A ban of somebody else is as wrong as a missing one.
	var outcomes []outcome
	wrong := p.strays()
	for _, part := range p.parts {
		o := p.outcome(part, dropped)
		outcomes = append(outcomes, o)
		wrong = append(wrong, o.judge(p.stage)...)
	}

	p.story.print(append([]string{""}, p.attackersText(outcomes)...)...)
	p.story.print(append([]string{""}, goodText(outcomes)...)...)
	p.story.print("",
		fmt.Sprintf("%d security events were sent to amifend: %d by the office, %d by the branch.",
			p.office.raised()+p.branch.raised(), p.office.raised(), p.branch.raised()))

	// A play that ended early proves nothing.
	var err error
	switch {
	case early:
		p.story.print("", "Ended early, so nothing is judged.")
	case len(wrong) > 0:
		err = ErrFailed
		p.story.print("", "WRONG:")
		for _, w := range wrong {
			p.story.print(hang("  ", w)...)
		}
	case p.stage.kernel:
		p.story.print("", "All attackers were banned, and nobody else.")
	default:
		p.story.print("", "All attackers would be banned, and nobody else.")
	}

	p.story.print("", "What to do next:",
		"  install  docs/install.md; at first it only logs the bans it would make",
		"  or try   it on last month's logs:",
		"           bin/amifend replay /var/log/asterisk/security*")

	return err
}

// attackersText returns the table of the attackers.
func (p *performance) attackersText(outcomes []outcome) []string {
	const format = "%-17s  %-17s %-11s  %-8s %5s %7s %7s"
	title := "Banned"
	if !p.stage.kernel {
		title = "Would be banned"
	}

	lines := []string{
		fmt.Sprintf(format, title, "who", "what", "until", "tried", "arrived", "dropped"),
	}
	for _, o := range outcomes {
		if o.role != attacker {
			continue
		}

		// A dash stands for an unknown value: without a network nothing is dropped.
		what, until, dropped := "NOT BANNED", "-", "-"
		if o.ban != nil {
			what = scopeText(o.ban.Scope)
			until = clockText(o.ban.Until())
		}
		if p.stage.packets {
			dropped = strconv.FormatUint(o.dropped, 10)
		}

		lines = append(lines,
			fmt.Sprintf(format, bans.Source(o.source), o.name, what, until, strconv.Itoa(o.sent),
				strconv.Itoa(o.reached), dropped))

		if o.ban != nil {
			lines = append(lines, hang("    ", why(*o.ban))...)
		}
	}

	if p.stage.packets {
		lines = append(lines,
			"(tried: requests, or connections; arrived: requests; dropped: packets)")
	}

	return lines
}

// goodText returns the table of those who must not be banned.
func goodText(outcomes []outcome) []string {
	lines := []string{"Not banned"}
	for _, o := range outcomes {
		if o.role == attacker {
			continue
		}

		lines = append(lines,
			fmt.Sprintf("%-17s  %s: %s", bans.Source(o.source), o.name, o.text(o.role)))
		lines = append(lines, hang("    ", o.why)...)
		for _, a := range o.told {
			lines = append(lines, hang("    ", "alert "+a.kind+": "+a.reason)...)
		}
	}

	return lines
}

// hang wraps text and indents all its lines.
func hang(indent, text string) []string {
	lines := wrap(text, width-len(indent))
	for i, l := range lines {
		lines[i] = strings.TrimRight(indent+l, " ")
	}
	return lines
}
