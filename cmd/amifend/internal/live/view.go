package live

import (
	"strings"

	tea "charm.land/bubbletea/v2"
	"github.com/charmbracelet/x/ansi"

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
