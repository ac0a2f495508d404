package live

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"testing"
	"time"

	tea "charm.land/bubbletea/v2"

	"github.com/amifend/amifend/cmd/amifend/internal/control"
)

// desk is a daemon that notes what it is asked.
type desk struct {
	asked []string
	fails error
}

func (d *desk) note(what string) (string, error) {
	d.asked = append(d.asked, what)
	return "done: " + what, d.fails
}

func (d *desk) daemon() Daemon {
	return Daemon{
		Look: func(_ context.Context, limit int) (control.Live, error) {
			_, err := d.note(fmt.Sprintf("look %d", limit))
			return hour(0), err
		},
		Explain: func(_ context.Context, addr netip.Addr) (string, error) {
			return d.note("explain " + addr.String())
		},
		Unban: func(_ context.Context, p netip.Prefix) (string, error) {
			return d.note("unban " + p.String())
		},
		Allow: func(_ context.Context, p netip.Prefix, span time.Duration) (string, error) {
			return d.note(fmt.Sprintf("allow %s %s", p, span))
		},
	}
}

// started returns a model of a size that has an answer of the daemon.
func started(t *testing.T, d *desk, width, height int) model {
	t.Helper()
	m := newModel(t.Context(), Options{Zone: time.UTC, Daemon: d.daemon()})
	m = send(m, tea.WindowSizeMsg{Width: width, Height: height})
	return send(m, lookedMsg{live: hour(0), limit: 20})
}

func send(m model, msg tea.Msg) model {
	next, _ := m.Update(msg)
	return next.(model)
}

// press presses keys, and runs what they ask for. It reports whether they ended the program.
func press(m model, keys ...string) (model, bool) {
	for _, name := range keys {
		next, cmd := m.Update(keyOf(name))
		m = next.(model)
		if cmd == nil {
			continue
		}
		switch msg := cmd().(type) {
		case tea.QuitMsg:
			return m, true
		case answeredMsg:
			m = send(m, msg)
		}
	}
	return m, false
}

// keyOf returns the key of a name.
func keyOf(name string) tea.KeyPressMsg {
	special := map[string]tea.Key{
		"tab": {Code: tea.KeyTab}, "shift+tab": {Code: tea.KeyTab, Mod: tea.ModShift},
		"enter": {Code: tea.KeyEnter}, "esc": {Code: tea.KeyEscape}, "up": {Code: tea.KeyUp},
		"down": {Code: tea.KeyDown}, "pgdown": {Code: tea.KeyPgDown}, "end": {Code: tea.KeyEnd},
		"backspace": {Code: tea.KeyBackspace}, "ctrl+c": {Code: 'c', Mod: tea.ModCtrl},
		"space": {Code: ' ', Text: " "},
	}
	if k, ok := special[name]; ok {
		return tea.KeyPressMsg(k)
	}
	return tea.KeyPressMsg{Code: rune(name[0]), Text: name}
}

// What each key does, as the daemon is asked and as the state changes.
func TestKeys(t *testing.T) {
	for _, tt := range []struct {
		name  string
		keys  []string
		asked []string
		want  func(m model) bool
		quit  bool
	}{
		{"quit", []string{"q"}, nil, nil, true},
		{"quit from a dialog", []string{"?", "ctrl+c"}, nil, nil, true},
		{"q closes a dialog", []string{"?", "q"}, nil, func(m model) bool {
			return m.dialog.kind == dialogNone
		}, false},
		{"the next pane", []string{"tab"}, nil, func(m model) bool { return m.focus == accounts }, false},
		{"the pane before", []string{"shift+tab"}, nil, func(m model) bool {
			return m.focus == alerts
		}, false},
		{"a pane by number", []string{"3"}, nil, func(m model) bool { return m.focus == recent }, false},
		{"the next row", []string{"down", "j", "up"}, nil, func(m model) bool {
			return m.cursor[sources].at == 1
		}, false},
		{"no row after the last", []string{"end", "down"}, nil, func(m model) bool {
			return m.cursor[sources].at == len(m.data.Sources)-1
		}, false},

		{"explain a source", []string{"enter"}, []string{"explain 203.0.113.57"}, func(m model) bool {
			return m.dialog.kind == dialogText && m.dialog.text == "done: explain 203.0.113.57"
		}, false},
		{"explain a ban", []string{"3", "e"}, []string{"explain 2001:db8:5::"}, nil, false},
		{"an account has no address", []string{"2", "enter"}, nil, func(m model) bool {
			return m.note != "" && m.dialog.kind == dialogNone
		}, false},
		{"all of an alert", []string{"4", "enter"}, nil, func(m model) bool {
			return m.dialog.kind == dialogText && m.dialog.title == "alert"
		}, false},
		{
			"explain the address of an alert",
			[]string{"4", "e"},
			[]string{"explain 198.51.100.9"},
			nil,
			false,
		},

		{"unban asks first", []string{"u"}, nil, func(m model) bool {
			return m.dialog.kind == dialogConfirm
		}, false},
		{"unban", []string{"u", "y"}, []string{"unban 203.0.113.57/32"}, func(m model) bool {
			return m.dialog.text == "done: unban 203.0.113.57/32"
		}, false},
		{"unban a prefix", []string{"3", "u", "y"}, []string{"unban 2001:db8:5::/64"}, nil, false},
		{"Enter is not yes", []string{"u", "enter", "space", "u", "a", "d"}, nil, func(m model) bool {
			return m.dialog.kind == dialogConfirm && m.dialog.act == actUnban
		}, false},
		{"not unban", []string{"u", "n"}, nil, func(m model) bool {
			return m.dialog.kind == dialogNone && m.note != ""
		}, false},
		{"q is no", []string{"a", "q"}, nil, nil, false},
		{"allow", []string{"a", "y"}, []string{"allow 203.0.113.57/32 0s"}, nil, false},
		{"allow for a day", []string{"a", "d"}, []string{"allow 203.0.113.57/32 24h0m0s"}, nil, false},

		{"sort", []string{"s"}, nil, func(m model) bool {
			return m.rows(sources)[0].key == "2001:db8:1::7" // the highest now
		}, false},
		{"sort until the first order", []string{"s", "s", "s", "s"}, nil, func(m model) bool {
			return m.order[sources] == 0
		}, false},
		{
			"filter",
			[]string{"/", "2", "0", "0", "1", "enter", "enter"},
			[]string{"explain 2001:db8:1::7"},
			func(m model) bool {
				return !m.typing && m.filter == "2001" && len(m.rows(sources)) == 1
			}, false,
		},
		{
			"keys are letters in a filter",
			[]string{"/", "u", "q", "backspace", "a"},
			nil,
			func(m model) bool { return m.typing && m.filter == "ua" }, false,
		},
		{"no filter", []string{"/", "x", "esc"}, nil, func(m model) bool {
			return !m.typing && m.filter == ""
		}, false},
		{"the end of a filter", []string{"/", "x", "enter", "esc"}, nil, func(m model) bool {
			return m.filter == ""
		}, false},
		{"freeze", []string{"f"}, nil, func(m model) bool { return m.frozen }, false},
		{"go on", []string{"f", "space"}, nil, func(m model) bool { return !m.frozen }, false},
		{"scroll to the end", []string{"?", "end", "down"}, nil, func(m model) bool {
			return m.dialog.top == m.lastTop()
		}, false},
		{"a key that means nothing", []string{"z"}, nil, func(m model) bool {
			return m.dialog.kind == dialogNone && m.note == ""
		}, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var d desk
			m, quit := press(started(t, &d, 80, 24), tt.keys...)
			if quit != tt.quit {
				t.Errorf("quit: %v", quit)
			}
			if fmt.Sprint(d.asked) != fmt.Sprint(tt.asked) {
				t.Errorf("asked %q, want %q", d.asked, tt.asked)
			}
			if tt.want != nil && !tt.want(m) {
				t.Errorf("the state is another one: %+v", m)
			}
		})
	}
}

// The question names whom it is about, and the answer is carried out on them, however the rows move
// meanwhile.
func TestActOnWhomTheQuestionNames(t *testing.T) {
	var d desk
	m, _ := press(started(t, &d, 80, 24), "down", "u")
	other := hour(0)
	other.Sources = other.Sources[:1]
	m = send(m, lookedMsg{live: other})
	press(m, "y")
	if fmt.Sprint(d.asked) != "[unban 203.0.113.58/32]" {
		t.Errorf("asked %q", d.asked)
	}
}

// The cursor stays on its row while rows move, and on the first one before it was moved.
func TestCursorFollowsItsRow(t *testing.T) {
	m := started(t, &desk{}, 80, 24)
	moved, _ := press(m, "down")
	swapped := hour(0)
	swapped.Sources[0], swapped.Sources[1] = swapped.Sources[1], swapped.Sources[0]

	if m = send(m, lookedMsg{live: swapped}); m.cursor[sources].key != "203.0.113.58" {
		t.Errorf("the cursor that was never moved is on %q", m.cursor[sources].key)
	}
	if moved = send(moved, lookedMsg{live: swapped}); moved.cursor[sources].key != "203.0.113.58" ||
		moved.cursor[sources].at != 0 {
		t.Errorf("the cursor that was moved is at %+v", moved.cursor[sources])
	}
}

// A refusal is shown, with the advice.
func TestRefusalIsShown(t *testing.T) {
	d := desk{fails: control.Errorf(control.CodeForbidden, "uid 7 may not do that").Advise("use sudo")}
	m, _ := press(started(t, &d, 80, 24), "u", "y")
	if want := "failed: uid 7 may not do that\n  do: use sudo"; m.dialog.text != want {
		t.Errorf("shown is %q", m.dialog.text)
	}
}

// An answer to a dialog that was closed opens none.
func TestLateAnswer(t *testing.T) {
	m := started(t, &desk{}, 80, 24)
	next, cmd := m.Update(keyOf("e"))
	m, _ = press(next.(model), "esc", "u")
	if m = send(m, cmd()); m.dialog.kind != dialogConfirm {
		t.Errorf("the dialog is %+v", m.dialog)
	}
}

// A daemon that is away is told, and asked again; what was known stays.
func TestConnectionLost(t *testing.T) {
	m := started(t, &desk{}, 80, 24)
	next, cmd := m.Update(lookedMsg{err: errors.New("no amifend runs at the socket s.sock")})
	m = next.(model)
	if cmd == nil || m.lost == "" || !m.have {
		t.Errorf("lost %q, have %v, next %v", m.lost, m.have, cmd != nil)
	}
	if m = send(m, lookedMsg{live: hour(0)}); m.lost != "" {
		t.Errorf("it is there again, and lost is %q", m.lost)
	}
}

// A frozen screen shows what it showed.
func TestFrozen(t *testing.T) {
	m, _ := press(started(t, &desk{}, 80, 24), "f")
	later := hour(time.Minute)
	if m = send(m, lookedMsg{live: later}); !m.data.At.Equal(hour(0).At) {
		t.Errorf("it shows %v", m.data.At)
	}
	m, _ = press(m, "f")
	if m = send(m, lookedMsg{live: later}); !m.data.At.Equal(later.At) {
		t.Errorf("it goes on with %v", m.data.At)
	}
}

// The screen asks for what it has room for, and for all if there is a filter.
func TestHowMuchIsAskedFor(t *testing.T) {
	for height, want := range map[int]string{10: "look 20", 60: "look 60", 500: "look 100"} {
		var d desk
		started(t, &d, 80, height).look()()
		if fmt.Sprint(d.asked) != "["+want+"]" {
			t.Errorf("%d lines: %q", height, d.asked)
		}
	}

	var d desk
	m, _ := press(started(t, &d, 80, 10), "/", "x")
	if m.look()(); fmt.Sprint(d.asked) != "[look 100]" {
		t.Errorf("with a filter: %q", d.asked)
	}
}

func TestRates(t *testing.T) {
	count := func(events, dropped uint64) control.LiveCounts {
		return control.LiveCounts{Events: events, Dropped: &dropped}
	}
	start := hour(0)
	at := func(d time.Duration, c control.LiveCounts) control.Live {
		return control.Live{At: start.At.Add(d), Since: start.Since, Counts: c}
	}

	var tr trail
	if got := tr.add(at(0, count(10, 0))).rates(); got.events >= 0 {
		t.Errorf("of one answer: %+v", got)
	}
	for i := range uint64(20) {
		tr = tr.add(at(time.Duration(i)*time.Second, count(100*i, 7*i)))
	}
	if got := tr.rates(); got.events != 100 || got.dropped != 7 || len(tr) > 7 {
		t.Errorf("rates %+v of %d samples", got, len(tr))
	}

	// A daemon that started anew counts from 0, and one without a kernel counts no packet.
	again := at(20*time.Second, control.LiveCounts{Events: 3})
	again.Since = start.At.Add(19 * time.Second)
	if got := tr.add(again).rates(); got.events >= 0 {
		t.Errorf("after a start: %+v", got)
	}
	if got := tr.add(at(20*time.Second, control.LiveCounts{Events: 2000})).rates(); got.dropped >= 0 {
		t.Errorf("without a kernel: %+v", got)
	}
}
