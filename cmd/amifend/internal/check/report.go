package check

import (
	"cmp"
	"fmt"
	"io"
	"strings"
	"unicode"

	"github.com/amifend/amifend/ami"
	"github.com/amifend/amifend/cmd/amifend/internal/control"
	"github.com/amifend/amifend/cmd/amifend/internal/envelope"
	"github.com/amifend/amifend/cmd/amifend/internal/screen"
	"github.com/amifend/amifend/cmd/amifend/internal/wording"
)

// level is the weight of a finding.
type level string

// The levels.
const (
	levelNone level = ""     // a row of a list
	levelOK   level = "ok"   // works
	levelNote level = "note" // good to know
	levelWarn level = "warn" // works, but something is risky
	levelFail level = "FAIL" // does not work, or must not stay like this
)

// section holds the findings about one thing.
type section struct {
	title string
	lines []line
}

// line is one finding.
type line struct {
	level level
	text  string
	do    string // what to do about it
}

// add adds a finding with its advice.
func (s *section) add(l level, do, format string, args ...any) {
	s.lines = append(s.lines, line{l, fmt.Sprintf(format, args...), do})
}

func (s *section) ok(format string, args ...any)   { s.add(levelOK, "", format, args...) }
func (s *section) note(format string, args ...any) { s.add(levelNote, "", format, args...) }
func (s *section) warn(format string, args ...any) { s.add(levelWarn, "", format, args...) }

func (s *section) fail(do, format string, args ...any) { s.add(levelFail, do, format, args...) }

// printer collects the text of the sections, and counts findings. The text is kept until the end,
// because the result comes first.
type printer struct {
	on     screen.Screen
	b      strings.Builder
	found  []Section // for JSON
	paste  string
	failed int
	warned int
}

// indent is the column where texts begin, behind the level.
const indent = "        "

// print adds a section.
func (p *printer) print(s section) {
	p.b.WriteString(p.on.Style(screen.Bold, s.title) + "\n")
	about := Section{Title: s.title, Findings: []Finding{}}
	for _, l := range s.lines {
		about.Findings = append(about.Findings, Finding{
			Level: cmp.Or(string(l.level), "row"), Text: strings.TrimRight(l.text, "\n"), Do: l.do,
		})
		switch l.level {
		case levelFail:
			p.failed++
		case levelWarn:
			p.warned++
		case levelNone, levelOK, levelNote:
		}

		// Rows of a list are columns, and further lines are commands to be copied.
		text, more, _ := strings.Cut(l.text, "\n")
		text = fmt.Sprintf("  %s  %s\n", p.mark(l.level), text)
		if l.level != levelNone {
			text = p.on.Wrap(text)
		}
		p.b.WriteString(text)
		for line := range strings.Lines(more) {
			p.b.WriteString(indent + strings.TrimSuffix(line, "\n") + "\n")
		}
		if l.do != "" {
			p.b.WriteString(p.on.Wrap(indent + "do: " + l.do + "\n"))
		}
	}
	p.found = append(p.found, about)
}

// Result is what was found, in JSON.
type Result struct {
	OK       bool      `json:"ok"` // nothing failed
	Failed   int       `json:"failed"`
	Warned   int       `json:"warnings"`
	Sections []Section `json:"sections"`
	Paste    string    `json:"paste,omitempty"` // text for the config
}

// Section holds the findings about one thing, such as a server.
type Section struct {
	Title    string    `json:"title"`
	Findings []Finding `json:"findings"`
}

// Finding is one finding.
type Finding struct {
	Level string `json:"level"` // ok, note, warn, FAIL, or row: an entry of a list
	Text  string `json:"text"`
	Do    string `json:"do,omitempty"`
}

// json writes all that was found as JSON, and reports whether nothing failed.
func (p *printer) json(w io.Writer) (bool, error) {
	var warnings []string
	for _, s := range p.found {
		for _, f := range s.Findings {
			if f.Level == string(levelWarn) {
				warnings = append(warnings, s.Title+": "+f.Text)
			}
		}
	}

	out := envelope.New(Result{p.failed == 0, p.failed, p.warned, p.found, p.paste}, warnings...)
	if p.failed > 0 {
		out = out.Failed(control.Errorf(control.CodeFailed, "%s failed",
			wording.Count(p.failed, "check")))
	}
	if err := out.Write(w); err != nil {
		return false, fmt.Errorf("write what was found: %w", err)
	}
	return p.failed == 0, nil
}

// mark returns a level in its column and its colour.
func (p *printer) mark(l level) string {
	text := fmt.Sprintf("%-4s", l)
	switch l {
	case levelFail:
		return p.on.Style(screen.Bad, text)
	case levelWarn:
		return p.on.Style(screen.Warn, text)
	case levelOK:
		return p.on.Style(screen.Good, text)
	case levelNone, levelNote:
	}
	return text
}

// text adds text that is to be copied, unchanged.
func (p *printer) text(text string) {
	p.b.WriteString(text)
	p.paste += text
}

// screenful is the number of lines that a small terminal shows at once.
const screenful = 24

// result writes the result and all that was found, and reports whether nothing failed. At the end
// of a long text it writes the result again, because the beginning is out of sight.
func (p *printer) result(w io.Writer) (bool, error) {
	style, verdict := screen.Good, "all is well"
	switch {
	case p.failed > 0:
		style, verdict = screen.Bad, fmt.Sprintf("%d failed", p.failed)
	case p.warned > 0:
		style, verdict = screen.Warn, "all works"
	}

	verdict += ", " + wording.Count(p.warned, "warning")
	line := p.on.Style(style, "result: "+verdict) + "\n"
	text := line + "\n" + p.b.String()
	if p.on.Width > 0 && strings.Count(text, "\n") >= screenful {
		text += "\n" + line
	}

	if _, err := io.WriteString(w, text); err != nil {
		return false, fmt.Errorf("write what was found: %w", err)
	}
	return p.failed == 0, nil
}

// plain returns a text that contains names chosen by others, such as those of interfaces or of a
// PBX's config. It is quoted if anything in it could change the terminal.
func plain(text string) string {
	if strings.ContainsFunc(text, func(r rune) bool {
		return r == unicode.ReplacementChar || !unicode.IsPrint(r)
	}) {
		return ami.Quote([]byte(text))
	}
	return text
}
