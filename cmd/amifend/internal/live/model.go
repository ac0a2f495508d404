package live

import (
	"context"
	"net/netip"
	"time"

	tea "charm.land/bubbletea/v2"

	"github.com/amifend/amifend/cmd/amifend/internal/control"
)

// How often the daemon is asked, and how long it may take.
const (
	lookEvery = time.Second
	lookTime  = 5 * time.Second
	actTime   = 15 * time.Second
)

// model is the state of the screen.
type model struct {
	ctx    context.Context //nolint:containedctx // of the program; a command needs it
	daemon Daemon
	style  style
	zone   *time.Location

	width, height int

	data   control.Live // what is shown
	limit  int          // the entries of each list that were asked for
	have   bool         // there is something to show
	trail  trail
	rates  rates
	lost   string // why the daemon does not answer; "": it does
	frozen bool

	focus  pane
	cursor [panes]cursor
	order  [panes]int // index of the pane's orders
	filter string
	typing bool // the filter is being typed

	dialog dialog
	note   string // about the last key; "": nothing
}

// cursor is the selected row of a pane: the key of the row, and where it was.
type cursor struct {
	key  string
	at   int
	held bool // it stays on its row; else it stays on the first one, whichever that is
}

func newModel(ctx context.Context, o Options) model {
	zone := o.Zone
	if zone == nil {
		zone = time.Local
	}
	return model{
		ctx: ctx, daemon: o.Daemon, style: newStyle(o.Colour, o.ASCII), zone: zone,
	}
}

// Messages to the model.
type (
	// lookedMsg is the answer to a look at the daemon.
	lookedMsg struct {
		live  control.Live
		limit int // that was asked for
		err   error
	}
	// lookMsg says that it is time to look.
	lookMsg struct{}
	// answeredMsg is the answer to a key of the operator.
	answeredMsg struct {
		id    int // of the dialog that waits for it
		title string
		text  string
		err   error
	}
)

// Init begins to look.
func (m model) Init() tea.Cmd { return m.look() }

// Update returns the model after a message, and what is to be asked.
func (m model) Update(msg tea.Msg) (tea.Model, tea.Cmd) {
	var cmd tea.Cmd
	switch msg := msg.(type) {
	case tea.WindowSizeMsg:
		m.width, m.height = msg.Width, msg.Height
	case lookMsg:
		cmd = m.look()
	case lookedMsg:
		m.take(msg)
		cmd = tea.Tick(lookEvery, func(time.Time) tea.Msg { return lookMsg{} })
	case answeredMsg:
		m.answered(msg)
	case tea.KeyPressMsg:
		cmd = m.key(msg)
	}
	m.settle()
	return m, cmd
}

// take takes over what the daemon answered.
func (m *model) take(msg lookedMsg) {
	if msg.err != nil {
		m.lost = msg.err.Error()
		m.trail = nil // a gap in it would look like a rate
		return
	}

	m.lost = ""
	m.trail = m.trail.add(msg.live)
	if m.frozen && m.have {
		return
	}
	m.data, m.limit, m.have = msg.live, msg.limit, true
	m.rates = m.trail.rates()
}

// answered shows the answer to a key, unless its dialog was closed.
func (m *model) answered(msg answeredMsg) {
	if m.dialog.kind != dialogWait || m.dialog.id != msg.id {
		return
	}
	text := msg.text
	if msg.err != nil {
		text = "failed: " + errorText(msg.err)
	}
	m.dialog = dialog{kind: dialogText, title: msg.title, text: text, id: msg.id}
}

// look returns a command that asks the daemon for what is shown: the rows that the screen has room
// for, and those that follow the cursor. A filter needs all there is to choose from.
func (m model) look() tea.Cmd {
	limit := min(max(20, m.height, m.cursor[m.focus].at+m.height), control.MostLive)
	if m.filter != "" {
		limit = control.MostLive
	}
	return func() tea.Msg {
		ctx, cancel := context.WithTimeout(m.ctx, lookTime)
		defer cancel()
		l, err := m.daemon.Look(ctx, limit)
		return lookedMsg{l, limit, err}
	}
}

// ask opens a dialog that waits, and returns a command that asks the daemon.
func (m *model) ask(title string, question func(context.Context) (string, error)) tea.Cmd {
	id := m.dialog.id + 1
	m.dialog = dialog{kind: dialogWait, title: title, text: "asking the daemon ...", id: id}
	parent := m.ctx
	return func() tea.Msg {
		ctx, cancel := context.WithTimeout(parent, actTime)
		defer cancel()
		text, err := question(ctx)
		return answeredMsg{id, title, text, err}
	}
}

// explain asks why an address is banned, or what would ban it.
func (m *model) explain(addr netip.Addr) tea.Cmd {
	return m.ask("explain "+addr.String(), func(ctx context.Context) (string, error) {
		return m.daemon.Explain(ctx, addr)
	})
}

// settle keeps a cursor that was moved on its row, wherever the row is now. If the row is gone, the
// cursor stays where it is.
func (m *model) settle() {
	for p := range pane(panes) {
		rows := m.rows(p)
		c := &m.cursor[p]
		for i, r := range rows {
			if c.held && r.key == c.key && c.key != "" {
				c.at = i
			}
		}

		c.at = max(0, min(c.at, len(rows)-1))
		c.key = ""
		if len(rows) > 0 {
			c.key = rows[c.at].key
		}
	}
}

// selected returns the selected row of the pane with the focus.
func (m *model) selected() (row, bool) {
	rows := m.rows(m.focus)
	if at := m.cursor[m.focus].at; at < len(rows) {
		return rows[at], true
	}
	return row{}, false
}
