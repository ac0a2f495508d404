package live

import (
	"strings"

	"github.com/amifend/amifend/cmd/amifend/internal/screen"
)

// paneView returns the lines of a pane: a title, the columns, the rows round the cursor.
func (m *model) paneView(p pane, width, height int) []string {
	s := &m.style
	rows, at := m.rows(p), m.cursor[p].at

	// The cursor stays in sight. On few lines, rows are worth more than the names of their columns.
	named := height >= 4
	room := max(0, height-1)
	if named {
		room--
	}
	top := max(0, min(at-room+1, len(rows)-room))
	shown := rows[top:min(len(rows), top+room)]

	title := m.title(p)
	if len(shown) < len(rows) {
		title += s.dots + number(uint64(top+1)) + "-" + number(uint64(top+len(shown))) +
			m.total(p, len(rows))
	}
	mark, with := " ", screen.Bold
	if p == m.focus {
		mark, with = s.here, reverse
	}
	out := []string{s.text(with, fit(mark+" "+title, width, s))}

	shape := shapeOf(columns(p, width), width)
	if named {
		out = append(out, s.text(faint, shape.head(s)))
	}
	for i, r := range shown {
		here := p == m.focus && top+i == at
		out = append(out, shape.row(r, here, s))
	}
	if len(rows) == 0 {
		out = append(out, s.text(faint, fit("  "+m.nothing(p), width, s)))
	}
	for len(out) < height {
		out = append(out, strings.Repeat(" ", width))
	}
	return out[:height]
}

// total returns how many rows there are in all, as far as that is known. rows is how many are here.
func (m *model) total(p pane, rows int) string {
	switch {
	case p == recent && m.filter == "":
		return " of " + number(uint64(max(m.data.Running, rows)))
	case rows < m.limit:
		return " of " + number(uint64(rows))
	}
	return ""
}

// title returns the title of a pane. The order and the filter stand in it.
func (m *model) title(p pane) string {
	title := [panes]string{"SOURCES", "ACCOUNTS", "BANS", "ALERTS"}[p]
	if p == recent && m.data.Dry {
		title = "OBSERVED BANS" // nothing was dropped
	}
	title += " by " + orders(p)[m.order[p]]
	if m.filter != "" {
		title += ", with " + safe(m.filter)
	}
	return title
}

// nothing returns why a pane is empty.
func (m *model) nothing(p pane) string {
	if m.filter != "" {
		return "nothing matches; Esc ends the filter"
	}
	return [panes]string{
		"no failed attempt in the last hour", "no failed attempt in the last hour", "no bans",
		"no alerts",
	}[p]
}

// shape has the columns that fit into a pane.
type shape struct {
	columns []column
	has     []bool // by column
}

// leastFree is the least width of the column that takes what the others leave.
const leastFree = 8

// shapeOf returns the columns of a pane of a width. Two columns are for the mark of the cursor, and one
// is the margin at the right.
func shapeOf(columns []column, width int) shape {
	out := shape{append([]column(nil), columns...), make([]bool, len(columns))}
	left, free := width-3, 0
	for i, c := range columns {
		switch {
		case c.width == 0:
			free, out.has[i] = i, true
		case width >= c.from:
			left, out.has[i] = left-c.width-1, true
		}
	}

	// On a very narrow screen the last ones have no room.
	for i := len(columns) - 1; i >= 0 && left < leastFree; i-- {
		if i != free && out.has[i] {
			left, out.has[i] = left+columns[i].width+1, false
		}
	}
	out.columns[free].width = max(0, left)
	return out
}

func (h *shape) head(s *style) string {
	titles := make([]string, len(h.columns))
	for i, c := range h.columns {
		titles[i] = c.title
	}
	return "  " + h.cells(titles, s)
}

func (h *shape) row(r row, here bool, s *style) string {
	if here {
		return s.text(reverse, s.here+" "+h.cells(r.cells, s))
	}
	return "  " + s.text(r.style, h.cells(r.cells, s))
}

func (h *shape) cells(texts []string, s *style) string {
	var out []string
	for i, c := range h.columns {
		switch {
		case !h.has[i]:
		case c.right:
			out = append(out, fitRight(texts[i], c.width, s))
		default:
			out = append(out, fit(texts[i], c.width, s))
		}
	}
	return strings.Join(out, " ") + " "
}
