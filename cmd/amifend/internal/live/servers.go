package live

import (
	"time"

	"github.com/charmbracelet/x/ansi"

	"github.com/amifend/amifend/cmd/amifend/internal/control"
	"github.com/amifend/amifend/cmd/amifend/internal/screen"
)

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
