package screen

import (
	"strings"
	"text/tabwriter"
)

// The narrowest first and last columns of a table that is fitted to the screen.
const (
	narrowFirst = 12 // an IPv4 address with fewer than 15 characters
	narrowLast  = 20
)

// Table returns rows as a table, a line each. Tabs separate the cells of a row. If the table is wider
// than the screen, the last column is wrapped, or a first cell that is too long has a line of its own.
func (s Screen) Table(rows []string) string {
	var b strings.Builder
	t := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	for _, row := range rows {
		_, _ = t.Write([]byte(row + "\n")) // the writer below never fails
	}
	_ = t.Flush()

	text := trimEnds(b.String())
	if s.Width == 0 || widest(text) <= s.Width {
		return text
	}
	return s.fit(rows)
}

// widest returns the width of the longest line.
func widest(text string) int {
	most := 0
	for line := range strings.Lines(text) {
		most = max(most, columns(strings.TrimSuffix(line, "\n")))
	}
	return most
}

// gap is the space between columns.
const gap = 2

// fit returns a table that is too wide for the screen.
func (s Screen) fit(rows []string) string {
	cells := make([][]string, len(rows))
	var widths []int
	for i, row := range rows {
		cells[i] = strings.Split(row, "\t")
		for j, c := range cells[i] {
			if j == len(widths) {
				widths = append(widths, 0)
			}
			widths[j] = max(widths[j], columns(c))
		}
	}

	// The last column takes what the others leave. If that is too little, the first one gives way.
	last := len(widths) - 1
	before := 0
	for _, w := range widths[:last] {
		before += w + gap
	}
	if over := before + min(widths[last], narrowLast) - s.Width; over > 0 && last > 0 {
		widths[0] = max(narrowFirst, widths[0]-over)
	}

	var b strings.Builder
	for _, row := range cells {
		b.WriteString(s.fitRow(row, widths) + "\n")
	}
	return b.String()
}

// fitRow returns one row. A first cell that is longer than its column stands alone, as df(1) does it.
func (s Screen) fitRow(row []string, widths []int) string {
	var b strings.Builder
	at := 0
	for j, c := range row {
		width := columns(c)
		if j == 0 && width > widths[0] && len(row) > 1 {
			b.WriteString(c + "\n")
			c, width = "", 0
		}
		if j == len(widths)-1 {
			b.WriteString(s.wrapCell(c, at))
			break
		}

		b.WriteString(c)
		if j == len(row)-1 {
			break
		}
		pad := max(0, widths[j]-width) + gap
		b.WriteString(strings.Repeat(" ", pad))
		at += width + pad
	}
	return trimEnds(b.String())
}

// wrapCell breaks the text of the last cell, which begins in a column.
func (s Screen) wrapCell(text string, at int) string {
	var b strings.Builder
	start := at
	for i, part := range words(text) {
		width := columns(strings.TrimRight(part, " "))
		if i > 0 && at+width > s.Width && at > start {
			b.WriteString("\n" + strings.Repeat(" ", start))
			at = start
		}
		b.WriteString(part)
		at += columns(part)
	}
	return b.String()
}
