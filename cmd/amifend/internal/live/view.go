package live

import (
	"strings"
	"time"

	tea "charm.land/bubbletea/v2"
	"github.com/charmbracelet/x/ansi"

	"github.com/amifend/amifend/cmd/amifend/internal/control"
	"github.com/amifend/amifend/cmd/amifend/internal/screen"
)

// The least size of a screen.
const (
	leastWidth  = 20
	leastHeight = 5
)

// headLines is the number of lines above the panes that a dialog leaves.
const headLines = 1

// View returns the screen.
func (m model) View() tea.View {
	v := tea.NewView(strings.Join(m.lines(), "\n"))
	v.AltScreen = true
	return v
}

// lines returns the lines of the screen.
func (m *model) lines() []string {
	if m.width < leastWidth || m.height < leastHeight {
		return []string{fit("too small", max(0, m.width), &m.style)}
	}

	out := []string{m.header()}
	room := m.height - headLines - 1
	switch {
	case m.dialog.kind != dialogNone:
		out = append(out, m.dialogView(room)...)
	case m.have:
		out = append(out, m.body(room)...)
	}

	// The keys stand in the last line, whatever is above.
	for len(out) < m.height-1 {
		out = append(out, "")
	}
	return append(out[:m.height-1], m.footer())
}

// header returns the first line: what this is, and whether it is true.
func (m *model) header() string {
	s := &m.style
	right, with := m.data.At.In(m.zone).Format("15:04:05 MST"), plain
	switch {
	case m.lost != "":
		right, with = "connection lost, trying again", screen.Bad
	case !m.have:
		right = "connecting"
	case m.frozen:
		right, with = "FROZEN at "+m.data.At.In(m.zone).Format("15:04:05"), screen.Warn
	case len(m.data.Busy) > 0:
		right, with = "no answer: "+strings.Join(m.data.Busy, ", "), screen.Bad
	}
	right = fit(right, min(m.width, ansi.StringWidth(safe(right))), s)
	room := m.width - ansi.StringWidth(right) - 1
	if room < 1 {
		return s.text(with, right)
	}

	left := "amifend"
	if m.have {
		left += " " + m.data.Version + s.dots + "up " + span(m.data.At.Sub(m.data.Since)) + s.dots
		running := number(uint64(m.data.Running))
		if m.data.Dry {
			left += "nobody is banned" + s.dots + running + " observed bans"
		} else {
			left += running + " bans"
		}
	}
	return s.text(screen.Bold, fit(left, room, s)) + " " + s.text(with, right)
}

// footer returns the last line: the filter, a note, or the keys.
func (m *model) footer() string {
	s := &m.style
	switch {
	case m.lost != "" && m.note == "":
		return s.text(faint, fit(m.lost, m.width, s))
	case m.note != "":
		return s.text(screen.Warn, fit(m.note, m.width, s))
	case m.typing:
		return fit("filter: "+m.filter+"_   Enter keeps it, Esc ends it", m.width, s)
	}

	keys := []string{
		"Tab pane  arrows row  Enter explain  u unban  a allow  / filter  s sort  f freeze  ? help  q quit",
		"Tab  arrows  Enter explain  u unban  a allow  / filter  s sort  ? help  q quit",
		"Enter explain  u unban  a allow  ? help  q quit", "? help  q quit",
	}
	switch m.dialog.kind {
	case dialogNone:
	case dialogText:
		keys = []string{"arrows scroll  Esc back", "Esc back"}
	case dialogWait:
		keys = []string{"Esc back (what was asked for goes on)", "Esc back"}
	case dialogConfirm:
		keys = []string{"y yes  n no"}
		if m.dialog.act == actAllow {
			keys = []string{"y yes  d for a day  n no", "y  d  n"}
		}
	}
	for _, line := range keys {
		if len(line) <= m.width {
			return s.text(faint, fit(line, m.width, s))
		}
	}
	return ""
}

// From these sizes on, the screen has more.
const (
	wideFrom   = 150 // columns: servers stand beside the rates
	pairsFrom  = 72  // columns: panes stand in pairs
	ratesFrom  = 12  // lines: each rate has a line
	roomyFrom  = 28  // lines: each server has a line
	mostRows   = 8   // lines for servers
	sparkWidth = 60  // columns: an hour
)

// body returns what stands between the first and the last line.
func (m *model) body(height int) (out []string) {
	switch {
	case height < ratesFrom:
		out = []string{m.shortRates()}
	case m.width >= wideFrom:
		half := (m.width - 1) / 2
		servers := m.serverTable(m.width-half-1, min(len(m.data.Servers), mostRows))
		out = beside(m.rateTable(half, true), servers, half, &m.style)
	case height >= roomyFrom:
		out = append(m.rateTable(m.width, true), "")
		out = append(out, m.serverTable(m.width, min(len(m.data.Servers), mostRows))...)
	default:
		out = append(m.rateTable(m.width, false), m.serverLine())
	}
	return append(out, m.paneViews(height-len(out))...)
}

// paneViews returns the panes: in pairs, or where there is no room for that, the one with the focus.
func (m *model) paneViews(height int) []string {
	if height < 1 {
		return nil
	}
	if m.width < pairsFrom || height < 8 {
		return m.paneView(m.focus, m.width, height)
	}

	top, half := (height+1)/2, (m.width-1)/2
	right := m.width - half - 1
	out := beside(m.paneView(sources, half, top), m.paneView(accounts, right, top), half, &m.style)
	below := height - top
	return append(out, beside(m.paneView(recent, half, below), m.paneView(alerts, right, below),
		half, &m.style)...)
}

// beside joins lines of two columns. The left one has a width.
func beside(left, right []string, width int, s *style) []string {
	out := make([]string, max(len(left), len(right)))
	for i := range out {
		l, r := strings.Repeat(" ", width), ""
		if i < len(left) {
			l = left[i]
		}
		if i < len(right) {
			r = right[i]
		}
		out[i] = l + s.text(faint, s.bar) + r
	}
	return out
}

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

// rateRow is one of the rates.
type rateRow struct {
	label string
	rate  float64
	of    func(control.LiveCounts) uint64
}

func (m *model) rateRows() []rateRow {
	bans := "bans"
	if m.data.Dry {
		bans = "observed"
	}
	return []rateRow{
		{"events", m.rates.events, func(c control.LiveCounts) uint64 { return c.Events }},
		{"attempts", m.rates.attempts, func(c control.LiveCounts) uint64 { return c.Attempts }},
		{bans, m.rates.bans, func(c control.LiveCounts) uint64 { return c.Bans }},
		{"dropped", m.rates.dropped, func(c control.LiveCounts) (n uint64) {
			if c.Dropped != nil {
				n = *c.Dropped
			}
			return n
		}},
	}
}

// rateTable returns a line for each rate, with the last hour. titled is with a line above.
func (m *model) rateTable(width int, titled bool) (out []string) {
	const label, rate = 9, 8
	s := &m.style
	spark := max(0, min(sparkWidth, width-label-rate-3))
	rest := width - label - rate - 3 - spark
	if titled {
		out = append(out, s.text(screen.Bold, fit(fit("RATES", label+1, s)+fitRight("NOW", rate, s)+
			"  LAST HOUR, a bar a minute", width, s)))
	}

	for _, r := range m.rateRows() {
		var values []uint64
		var hour, most uint64
		for _, c := range m.data.Minutes {
			values = append(values, r.of(c))
			hour += r.of(c)
			most = max(most, r.of(c))
		}
		line := " " + fit(r.label, label, s) + s.text(screen.Bold, fitRight(rateText(r.rate), rate, s)) +
			"  " + s.text(sparkStyle, s.spark(values, spark))
		if rest > 0 {
			text := "  most " + number(most) + "/min"
			if rest > 2*len(text) {
				text += ", " + number(hour) + " in all"
			}
			line += fit(text, rest, s)
		}
		out = append(out, line)
	}
	return out
}

// sparkStyle is the style of the bars: cyan.
const sparkStyle screen.Style = "\x1b[36m"

// shortRates returns all rates in a line.
func (m *model) shortRates() string {
	var parts []string
	for _, r := range m.rateRows() {
		parts = append(parts, r.label+" "+rateText(r.rate))
	}
	line := strings.Join(parts, "  ")
	if len(line) > m.width { // a few letters of each are enough to tell them apart
		parts = parts[:0]
		for _, r := range m.rateRows() {
			parts = append(parts, r.label[:2]+" "+rateText(r.rate))
		}
		line = strings.Join(parts, " ")
	}
	return fit(line, m.width, &m.style)
}

// sortedServers returns the servers without a link first.
func (m *model) sortedServers() []control.LiveServer {
	var down, up []control.LiveServer
	for _, s := range m.data.Servers {
		if s.Connected {
			up = append(up, s)
		} else {
			down = append(down, s)
		}
	}
	return append(down, up...)
}

// serverLine returns all servers in a line, as far as they fit.
func (m *model) serverLine() string {
	s := &m.style
	label, all := " servers  ", m.sortedServers()
	if len(all) > 2 {
		label = " " + number(uint64(len(all))) + " servers  "
	}

	out, room := fit(label, min(m.width, len(label)), s), m.width-len(label)
	for i, one := range all {
		text, with := safe(one.Name)+" "+rateText(one.EventsRate), plain
		if !one.Connected {
			text, with = safe(one.Name)+" DOWN "+m.down(one), screen.Bad
		}
		if i > 0 {
			text = s.dots + text
		}

		// What does not fit ends the line.
		width := min(room, ansi.StringWidth(text))
		if width < 1 {
			break
		}
		out += s.text(with, fit(text, width, s))
		room -= width
	}
	return out
}

// down returns since when a server has no link.
func (m *model) down(one control.LiveServer) string {
	if one.Down.IsZero() {
		return one.Phase
	}
	return span(m.data.At.Sub(one.Down))
}

// serverTable returns a title, and a line for each of some servers.
func (m *model) serverTable(width, most int) []string {
	s := &m.style
	all := m.sortedServers()
	title := "SERVERS"
	if most < len(all) {
		title += s.dots + number(uint64(most)) + " of " + number(uint64(len(all)))
	}

	out := []string{s.text(screen.Bold, fit("  "+title, width, s))}
	shape := shapeOf([]column{
		{width: 14}, {width: 10}, {width: 8, right: true}, {width: 9, from: 60, right: true}, {},
	}, width)
	for _, one := range all[:most] {
		out = append(out, shape.row(m.serverRow(one), false, s))
	}
	return out
}

// serverRow returns the line of a server: its rate, how late events come, what is wrong.
func (m *model) serverRow(one control.LiveServer) row {
	if !one.Connected {
		why := one.Problem
		if one.Error != "" {
			why += ": " + one.Error
		}
		return row{
			cells: []string{one.Name, "down " + m.down(one), "", "", why}, style: screen.Bad,
		}
	}
	lag := time.Duration(one.Lag * float64(time.Second)).Round(10 * time.Millisecond)
	ping := time.Duration(one.Latency * float64(time.Second)).Round(100 * time.Microsecond)
	return row{cells: []string{
		one.Name, "up " + span(m.data.At.Sub(one.Since)), rateText(one.EventsRate),
		number(one.Events), "late " + lag.String() + ", ping " + ping.String(),
	}}
}
