package check

import (
	"fmt"
	"io"
	"strings"
	"unicode"

	"github.com/amifend/amifend/ami"
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

// printer writes sections and counts findings. It stops writing at the first error.
type printer struct {
	w      io.Writer
	err    error
	failed int
	warned int
}

// indent is the column where texts begin, behind the level.
const indent = "        "

// print writes a section.
func (p *printer) print(s section) {
	var b strings.Builder
	b.WriteString(s.title + "\n")
	for _, l := range s.lines {
		switch l.level {
		case levelFail:
			p.failed++
		case levelWarn:
			p.warned++
		case levelNone, levelOK, levelNote:
		}

		fmt.Fprintf(&b, "  %-4s  %s\n", l.level, strings.ReplaceAll(l.text, "\n", "\n"+indent))
		if l.do != "" {
			b.WriteString(indent + "do: " + l.do + "\n")
		}
	}

	p.text(b.String())
}

// text writes text that is to be copied, unchanged.
func (p *printer) text(text string) {
	if p.err == nil && text != "" {
		_, p.err = io.WriteString(p.w, text)
	}
}

// result writes the last line and reports whether nothing failed.
func (p *printer) result() (bool, error) {
	verdict := "all is well"
	if p.failed > 0 {
		verdict = fmt.Sprintf("%d failed", p.failed)
	}

	p.text(fmt.Sprintf("result: %s, %s\n", verdict, wording.Count(p.warned, "warning")))
	if p.err != nil {
		return false, fmt.Errorf("write what was found: %w", p.err)
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
