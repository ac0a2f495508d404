package audit

import (
	"fmt"
	"io"
	"strings"

	"github.com/amifend/amifend/cmd/amifend/internal/audit/finding"
	"github.com/amifend/amifend/cmd/amifend/internal/control"
	"github.com/amifend/amifend/cmd/amifend/internal/screen"
	"github.com/amifend/amifend/cmd/amifend/internal/wording"
)

// mostPlaces is how many places of a finding are shown to people. JSON has all.
const mostPlaces = 6

// column is where the texts begin, behind the severity.
const column = "          "

// WriteText writes a result for people: the verdict, the findings, and what was looked at.
func WriteText(w io.Writer, r Result, on screen.Screen) error {
	var b strings.Builder
	b.WriteString(on.Style(styleOf(r), "result: "+Verdict(r)) + "\n\n")
	for _, f := range r.Findings {
		writeFinding(&b, f, on)
	}

	writeSections(&b, r, on)
	if _, err := io.WriteString(w, b.String()); err != nil {
		return fmt.Errorf("write what was found: %w", err)
	}
	return nil
}

// Verdict returns how many findings of each severity there are, such as "1 critical, 2 low".
func Verdict(r Result) string {
	if len(r.Findings) == 0 && r.Exit() == ExitBlind {
		return "nothing found, but not everything could be looked at"
	}
	return Summarize(r).Verdict
}

// styleOf returns the style of the verdict.
func styleOf(r Result) screen.Style {
	switch r.Exit() {
	case ExitFine:
		return screen.Good
	case ExitBlind:
		return screen.Warn
	}
	return screen.Bad
}

// writeFinding writes one finding.
func writeFinding(b *strings.Builder, f finding.Finding, on screen.Screen) {
	mark := fmt.Sprintf("%-8s", f.Severity)
	switch f.Severity {
	case finding.Critical, finding.High:
		mark = on.Style(screen.Bad, mark)
	case finding.Medium:
		mark = on.Style(screen.Warn, mark)
	case finding.Low:
	}

	title := f.Title
	if f.Server != "" {
		title = f.Server + ": " + title
	}
	b.WriteString(on.Wrap(mark+"  "+on.Style(screen.Bold, title)) + "\n")
	line := func(label, text string) {
		b.WriteString(on.Wrap(column+label+" "+text) + "\n")
	}
	if f.Depth != finding.Config && f.Seen != "" {
		line("seen:", f.Seen)
	}

	shown := f.Places[:min(len(f.Places), mostPlaces)]
	for _, p := range shown {
		line("at:  ", p)
	}
	if more := len(f.Places) - len(shown); more > 0 {
		line("at:  ", fmt.Sprintf("%d more (--json lists all)", more))
	}
	line("why: ", f.Why)
	line("do:  ", f.Do)
	line("sure:", fmt.Sprintf("%s; %s (%s)", f.Sure, source(f.Depth), f.Kind))
	b.WriteString("\n")
}

// source returns where a finding comes from.
func source(d finding.Depth) string {
	switch d {
	case finding.Outside:
		return "seen from outside"
	case finding.Seen:
		return "seen by the daemon"
	case finding.Config:
		return "by the configuration"
	case finding.Version:
		return "by the version"
	}
	return string(d)
}

// writeSections writes what was looked at, and what was not.
func writeSections(b *strings.Builder, r Result, on screen.Screen) {
	b.WriteString(on.Style(screen.Bold, "looked at") + "\n")
	for _, s := range r.Sections {
		for _, n := range s.Notes {
			b.WriteString(on.Wrap(fmt.Sprintf("  %-8s  %s", s.Depth, n)) + "\n")
		}
	}
	fmt.Fprintf(b, "  %-8s  advisories until %s\n", "table", r.Advisories)

	missed := 0
	for _, s := range r.Sections {
		for _, m := range s.Missed {
			if missed++; missed == 1 {
				b.WriteString("\n" + on.Style(screen.Bold, "not looked at") + "\n")
			}
			b.WriteString(on.Wrap(fmt.Sprintf("  %-8s  %s", s.Depth, m)) + "\n")
		}
	}
}

// Warnings returns what could not be looked at, for the envelope of JSON.
func (r Result) Warnings() (out []string) {
	for _, s := range r.Sections {
		out = append(out, s.Missed...)
	}
	return out
}

// mostWorst is how many findings a summary names.
const mostWorst = 10

// Summarize returns a result in short, for other reports.
func Summarize(r Result) control.Audit {
	s := control.Audit{At: r.At, Worst: []string{}, Missed: append([]string{}, r.Warnings()...)}
	for _, severity := range finding.Severities() {
		n := 0
		for _, f := range r.Findings {
			if f.Severity == severity {
				n++
			}
		}
		s.Counts = append(s.Counts, control.AuditCount{Severity: severity.String(), Count: n})
	}

	for _, f := range r.Findings {
		if f.Severity < finding.Medium {
			continue
		}
		if s.Serious++; len(s.Worst) < mostWorst {
			s.Worst = append(s.Worst, oneLine(f))
		}
	}

	var parts []string
	for _, c := range s.Counts {
		if c.Count > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", c.Count, c.Severity))
		}
	}
	s.Verdict = strings.Join(parts, ", ")
	if s.Verdict == "" {
		s.Verdict = "nothing found"
	}
	return s
}

// oneLine returns a finding in one line.
func oneLine(f finding.Finding) string {
	text := fmt.Sprintf("%s: %s", f.Severity, f.Title)
	if f.Server != "" {
		text += " (" + f.Server + ")"
	}
	if n := len(f.Places); n > 1 {
		text += ", " + wording.Count(n, "place")
	}
	return text
}
