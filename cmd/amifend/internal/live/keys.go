package live

import (
	"context"
	"net/netip"
	"time"
	"unicode"

	tea "charm.land/bubbletea/v2"

	"github.com/amifend/amifend/cmd/amifend/internal/control"
)

// key does what a key asks for.
func (m *model) key(k tea.KeyPressMsg) tea.Cmd {
	m.note = ""
	name := k.String()
	switch {
	case name == "ctrl+c":
		return tea.Quit
	case name == "ctrl+z":
		return tea.Suspend
	case name == "ctrl+l":
		return tea.ClearScreen
	case m.dialog.kind != dialogNone:
		return m.dialogKey(name)
	case m.typing:
		m.filterKey(name, k.Text)
		return nil
	default:
		return m.screenKey(name)
	}
}

// screenKey is a key without a dialog.
func (m *model) screenKey(name string) tea.Cmd {
	switch name {
	case "q":
		return tea.Quit
	case "?", "h", "f1":
		m.dialog = dialog{kind: dialogText, title: "help", text: helpText, id: m.dialog.id + 1}
	case "tab", "right", "l":
		m.focus = (m.focus + 1) % panes
	case "shift+tab", "left":
		m.focus = (m.focus + panes - 1) % panes
	case "1", "2", "3", "4":
		m.focus = pane(name[0] - '1')

	case "f", "space":
		m.frozen = !m.frozen
	case "s":
		m.order[m.focus] = (m.order[m.focus] + 1) % len(orders(m.focus))
		m.cursor[m.focus] = cursor{} // the first is what the order is for
	case "/":
		m.typing = true
	case "esc":
		m.filter = ""

	case "enter":
		if r, ok := m.selected(); ok && r.detail != "" {
			m.dialog = dialog{kind: dialogText, title: "alert", text: r.detail, id: m.dialog.id + 1}
			return nil
		}
		return m.explainSelected()
	case "e":
		return m.explainSelected()
	case "u":
		m.confirm(actUnban)
	case "a":
		m.confirm(actAllow)
	default:
		m.move(name)
	}
	return nil
}

// move moves the cursor. A key that moves nothing does nothing.
func (m *model) move(name string) {
	c := &m.cursor[m.focus]
	at := c.at
	switch name {
	case "up", "k":
		at--
	case "down", "j":
		at++
	case "pgup":
		at -= 10
	case "pgdown":
		at += 10
	case "home", "g":
		at = 0
	case "end", "G":
		at = control.MostLive
	default:
		return
	}
	*c = cursor{at: at, held: at > 0} // settle keeps it on a row
}

// filterKey is a key of the filter.
func (m *model) filterKey(name, text string) {
	switch name {
	case "enter":
		m.typing = false
	case "esc":
		m.typing, m.filter = false, ""
	case "backspace":
		if r := []rune(m.filter); len(r) > 0 {
			m.filter = string(r[:len(r)-1])
		}
	case "ctrl+u":
		m.filter = ""
	default:
		for _, r := range text {
			if unicode.IsPrint(r) && len(m.filter) < mostFilter {
				m.filter += string(r)
			}
		}
	}
}

// mostFilter is the most bytes of a filter: that of an IPv6 prefix.
const mostFilter = 43

// explainSelected asks about the address of the selected row.
func (m *model) explainSelected() tea.Cmd {
	target, ok := m.target()
	if !ok {
		return nil
	}
	return m.explain(target.Addr())
}

// target returns the prefix of the selected row. Without one, it notes what to select.
func (m *model) target() (netip.Prefix, bool) {
	r, ok := m.selected()
	if !ok || !r.target.IsValid() {
		m.note = "select a source, a ban, or an alert with an address: Tab, then the arrow keys"
		return netip.Prefix{}, false
	}
	return r.target, true
}

// confirm asks whether to do what the operator wants. What is done is what the question names: the
// rows may move while it is shown.
func (m *model) confirm(a action) {
	target, ok := m.target()
	if !ok {
		return
	}
	text := "Lift the bans of " + prefixName(target) + ", and forget what is held against it?"
	if m.data.Dry { // nothing is dropped
		text = "Nobody is banned now. Lift what would be the bans of " + prefixName(target) +
			", and forget what is held against it?"
	}
	if a == actAllow {
		text = "Exempt " + prefixName(target) + " from all bans?"
	}
	m.dialog = dialog{
		kind: dialogConfirm, title: a.String() + " " + prefixName(target), text: text, act: a,
		target: target, id: m.dialog.id + 1,
	}
}

// dialogKey is a key of a dialog.
func (m *model) dialogKey(name string) tea.Cmd {
	d := &m.dialog
	if d.kind == dialogConfirm {
		return m.confirmKey(name)
	}

	// Only a text has something to scroll.
	switch name {
	case "esc", "q", "enter", "backspace":
		m.dialog = dialog{id: d.id}
	case "down", "j":
		d.top++
	case "up", "k":
		d.top--
	case "pgdown", "space":
		d.top += 10
	case "pgup":
		d.top -= 10
	case "home", "g":
		d.top = 0
	case "end", "G":
		d.top = endOfText
	}
	d.top = max(0, min(d.top, m.lastTop()))
	return nil
}

// endOfText is beyond the lines of every text.
const endOfText = 1 << 20

// confirmKey answers a question. Only y and d do something: a key that was meant for the screen must
// not lift a ban.
func (m *model) confirmKey(name string) tea.Cmd {
	d := m.dialog
	switch {
	case name == "y" || name == "d" && d.act == actAllow:
		var span time.Duration
		if name == "d" {
			span = 24 * time.Hour
		}
		daemon := m.daemon
		return m.ask(d.title, func(ctx context.Context) (string, error) {
			if d.act == actAllow {
				return daemon.Allow(ctx, d.target, span)
			}
			return daemon.Unban(ctx, d.target)
		})
	case name == "n" || name == "esc" || name == "q":
		m.dialog = dialog{id: d.id}
		m.note = "nothing was changed"
	}
	return nil
}
