package live

import (
	"errors"
	"net/netip"
	"slices"
	"strings"

	"github.com/charmbracelet/x/ansi"

	"github.com/amifend/amifend/cmd/amifend/internal/control"
	"github.com/amifend/amifend/cmd/amifend/internal/screen"
)

// dialog is what lies over the panes.
type dialog struct {
	kind   dialogKind
	id     int // differs from that of the dialogs before
	title  string
	text   string
	top    int // first line of the text that is shown
	act    action
	target netip.Prefix
}

type dialogKind uint8

const (
	dialogNone    dialogKind = iota
	dialogText               // a text to read
	dialogWait               // waits for the daemon
	dialogConfirm            // a question
)

// action is what an operator may do.
type action uint8

const (
	actUnban action = iota
	actAllow
)

// String returns the name of the command that does the same.
func (a action) String() string {
	if a == actAllow {
		return "allow"
	}
	return "unban"
}

// helpText explains the keys.
const helpText = `Tab, arrow keys     another pane, another row
1 2 3 4             sources, accounts, bans, alerts
Enter               explain the address of the row, or show all of an alert
e                   explain the address of an alert
u                   unban the address or prefix (asks first)
a                   allow it: never ban it (asks first)
/                   filter the rows; Esc ends the filter
s                   sort the pane by another column
f or Space          freeze, or go on
PgUp PgDn Home End  move faster
Ctrl-L              draw the screen again
q or Ctrl-C         quit

FAILED counts events of failed attempts in the last hour, as far as the
daemon runs; one attempt may raise several. NOW counts those of the last one
to two minutes. A packet that the kernel drops raises no event: it counts in
"dropped". A name that was never among the 64 that failed most in a minute
is not listed: amifend top sources --since 24h has all.`

// errorText returns an error for people.
func errorText(err error) string {
	if e, ok := errors.AsType[*control.Error](err); ok && e.Do != "" {
		return e.Error() + "\n  do: " + e.Do
	}
	return err.Error()
}

// dialogLines returns the text of a dialog in lines of a width.
func (d *dialog) lines(width int) []string {
	text := d.text
	if d.kind == dialogConfirm {
		text += "\n\ny  yes\nn  no"
		if d.act == actAllow {
			text = d.text + "\n\ny  yes, until amifend allow --remove\nd  yes, for a day\nn  no"
		}
	}

	var out []string
	for line := range strings.SplitSeq(strings.TrimRight(text, "\n"), "\n") {
		wrapped := screen.Screen{Width: width}.Wrap(safe(line))
		out = append(out, strings.Split(ansi.Hardwrap(wrapped, width, true), "\n")...)
	}
	return out
}

// Room around the text of a dialog.
const (
	dialogMargin = 4 // columns: a frame and a space on each side
	dialogFrame  = 2 // lines
)

// room returns the width and the lines that a dialog has for its text.
func (m *model) room() (width, lines int) {
	return max(1, min(m.width, widest)-dialogMargin), max(1, m.height-headLines-1-dialogFrame)
}

// widest is the width of the widest dialog: longer lines are hard to read.
const widest = 110

// lastTop returns the largest first line of a dialog.
func (m *model) lastTop() int {
	width, lines := m.room()
	return max(0, len(m.dialog.lines(width))-lines)
}

// dialogView returns the lines of the dialog in its frame, to fill a number of lines.
func (m *model) dialogView(height int) []string {
	width, room := m.room()
	lines := m.dialog.lines(width)
	top := max(0, min(m.dialog.top, len(lines)-room))
	shown := lines[top:min(len(lines), top+room)]

	title := " " + safe(m.dialog.title) + " "
	if len(lines) > room {
		title += "(" + number(uint64(top+1)) + "-" + number(uint64(top+len(shown))) + " of " +
			number(uint64(len(lines))) + ") "
	}
	s := &m.style
	inner := width + dialogMargin - 2
	title = fit(title, min(inner, ansi.StringWidth(title)), s)
	rule := inner - ansi.StringWidth(title)

	out := []string{s.corner[0] + s.text(screen.Bold, title) + strings.Repeat(s.line, rule) + s.corner[1]}
	for _, l := range shown {
		out = append(out, s.bar+" "+fit(l, width, s)+" "+s.bar)
	}
	out = append(out, s.corner[2]+strings.Repeat(s.line, inner)+s.corner[3])

	// It lies in the middle.
	left := strings.Repeat(" ", max(0, (m.width-inner-2)/2))
	for i := range out {
		out[i] = left + out[i]
	}
	above := max(0, (height-len(out))/2)
	for range above {
		out = slices.Insert(out, 0, "")
	}
	return out[:min(len(out), height)]
}
