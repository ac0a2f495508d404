// Command picture draws what `amifend demo` printed as the picture of the README: `make picture`.
// It reads the output from standard input, and writes an SVG file to the path of its argument. It
// leaves lines out, and changes none.
package main

import (
	"bytes"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"os"
	"regexp"
	"strings"
)

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: amifend demo | picture FILE.svg")
		os.Exit(2)
	}
	if err := run(os.Stdin, os.Args[1]); err != nil {
		fmt.Fprintln(os.Stderr, "picture:", err)
		os.Exit(1)
	}
}

// run draws what in has, and writes it to a file.
func run(in io.Reader, path string) error {
	text, err := io.ReadAll(in)
	if err != nil {
		return err
	}
	lines, err := choose(string(text))
	if err != nil {
		return err
	}
	return os.WriteFile(path, draw(lines), 0o644)
}

// line is a line of the picture.
type line struct {
	text string
	kind string // the word in capitals of its entry, or ""
}

// verdict is the last line of the summary of a demo that went well.
const verdict = "All attackers were banned, and nobody else."

// event matches the first line of an entry: the time, and what happened.
var event = regexp.MustCompile(`^ *[0-9]+\.[0-9]s  ([A-Z]+(?: [A-Z]+)?) `)

// choose returns what happened in the demo, without the evidence of the bans and without the counts
// in between, and the verdict.
func choose(text string) ([]line, error) {
	var out []line
	kind := ""
	for text := range strings.Lines(text) {
		text = strings.TrimRight(text, "\n")
		m := event.FindStringSubmatch(text)
		switch {
		case text == "" && kind != "": // the end of the entries; the summary follows
			kind = "end"
		case m != nil:
			kind = m[1]
		case kind == "", kind == "end":
			continue
		}

		details := kind == "BANNED" || kind == "ALERT"
		if kind != "end" && kind != "SO FAR" && (m != nil || !details) {
			out = append(out, line{text: text, kind: kind})
		}
	}

	if len(out) == 0 || !strings.Contains(text, "\n"+verdict+"\n") {
		return nil, errors.New("this is not the output of a demo that went well")
	}
	return append(out, line{}, line{text: verdict, kind: "verdict"}), nil
}

// Sizes in pixels.
const (
	fontSize  = 14
	advance10 = 84 // ten times the width of one character of that size
	leading   = 19
	margin    = 18
	bar       = 34 // the title bar
	columns   = 80
)

// colours of the words.
var colours = map[string]string{
	"ATTACK": "#e3b341", "FORGED": "#e3b341", "BANNED": "#ff7b72", "DROPPED": "#ff7b72",
	"ALERT": "#d2a8ff", "OK": "#7ee787", "verdict": "#7ee787",
}

// draw returns an SVG image of a terminal.
func draw(lines []line) []byte {
	width := columns*advance10/10 + 2*margin
	height := bar + (len(lines)+1)*leading + 2*margin

	var b bytes.Buffer
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" `+
		`width="%[1]d" height="%[2]d" role="img">`+
		"\n<title>amifend demo: attackers are banned, phones are not</title>\n", width, height)
	fmt.Fprintf(&b, `<rect width="%d" height="%d" rx="8" fill="#0d1117"/>`+"\n", width, height)
	for i, colour := range []string{"#ff5f56", "#ffbd2e", "#27c93f"} {
		fmt.Fprintf(&b, `<circle cx="%d" cy="%d" r="6" fill="%s"/>`+"\n", margin+6+i*20, bar/2, colour)
	}
	fmt.Fprintf(&b, `<g font-family="ui-monospace, 'DejaVu Sans Mono', Menlo, Consolas, monospace" font-size="%d" `+
		`fill="#c9d1d9">`+"\n", fontSize)

	drawLine(&b, 0, line{text: "$ amifend demo"})
	for i, l := range lines {
		drawLine(&b, i+1, l)
	}

	b.WriteString("</g>\n</svg>\n")
	return b.Bytes()
}

// word matches what stands between two blanks or more.
var word = regexp.MustCompile(`\S+(?: \S+)*`)

// drawLine draws a line. Each part of it has a place of its own, since viewers differ in how wide they
// draw blanks. The word that says what happened has a colour.
func drawLine(b *bytes.Buffer, n int, l line) {
	for _, at := range word.FindAllStringIndex(l.text, -1) {
		text := l.text[at[0]:at[1]]
		style := ""
		if colour := colours[l.kind]; colour != "" && (text == l.kind || l.kind == "verdict") {
			style = ` font-weight="bold" fill="` + colour + `"`
		}

		fmt.Fprintf(b, `<text x="%d" y="%d" textLength="%d"%s>`, margin+at[0]*advance10/10,
			bar+margin+n*leading, (at[1]-at[0])*advance10/10, style)
		_ = xml.EscapeText(b, []byte(text)) // a buffer takes everything
		b.WriteString("</text>\n")
	}
}
