package live

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/amifend/amifend/cmd/amifend/internal/control"
	"github.com/amifend/amifend/cmd/amifend/internal/screen"
	"github.com/amifend/amifend/cmd/amifend/internal/wording"
)

// pane is one of the lists of the screen.
type pane uint8

const (
	sources pane = iota
	accounts
	recent // bans
	alerts
)

// panes is the number of panes.
const panes = 4

// row is a line of a pane.
type row struct {
	key    string // the same in the next answer
	cells  []string
	style  screen.Style
	target netip.Prefix // whom a key acts on; invalid: nobody
	detail string       // more about it, for the Enter key; "": what the daemon explains
}

// column is a column of a pane.
type column struct {
	title string
	width int // 0: what the others leave
	from  int // the least width of the pane that has it
	right bool
}

// columns returns the columns of a pane of a width, in the order of the cells of its rows. One column
// has no width of its own: it takes what the others leave.
func columns(p pane, width int) []column {
	const large = 84
	rule, kind, about, server := 12, 18, 16, 8
	if width >= large {
		rule, kind, about, server = 21, 22, 24, 12
	}

	switch p {
	case sources:
		return []column{
			{title: "SOURCE"},
			{title: "FAILED", width: 6, right: true},
			{title: "NOW", width: 5, right: true},
			{title: "LOGINS", width: 6, from: 54, right: true},
			{title: "SERVERS", width: 7, from: 64, right: true},
			{title: "LAST", width: 5, from: 48},
			{title: "STATE", width: 8, from: 38},
		}
	case accounts:
		return []column{
			{title: "ACCOUNT"},
			{title: "FAILED", width: 6, right: true},
			{title: "NOW", width: 5, from: 46, right: true},
			{title: "LOGINS", width: 6, from: 54, right: true},
			{title: "LAST", width: 5, from: 60},
			{title: "SERVER", width: server, from: 36},
		}
	case recent:
		return []column{
			{title: "SOURCE"},
			{title: "RULE", width: rule},
			{title: "SCOPE", width: 6, from: 54},
			{title: "SCORE", width: 6, from: large, right: true},
			{title: "ATTEMPTS", width: 8, from: large, right: true},
			{title: "SINCE", width: 8, from: 64},
			{title: "LEFT", width: 4, right: true},
			{title: "DROPPED", width: 7, from: 46, right: true},
			{title: "STATE", width: 8, from: 74},
		}
	default:
		// Where there is no room for the reason, the Enter key shows it.
		out := []column{
			{title: "AT", width: 5},
			{title: "SEVERITY", width: 8, from: 50},
			{title: "KIND", width: kind},
			{title: "ABOUT", width: about},
			{title: "REASON", from: 60},
		}
		if width < out[4].from {
			out[3].width, out[4].width = 0, 1
		}
		return out
	}
}

// orders returns the names of the orders of a pane, the usual one first.
func orders(p pane) []string {
	switch p {
	case sources:
		return []string{"failed", "now", "last", "source"}
	case accounts:
		return []string{"failed", "now", "last", "account"}
	case recent:
		return []string{"newest", "time left", "dropped", "source"}
	default:
		return []string{"worst", "newest", "kind"}
	}
}

// rows returns the rows of a pane, as filtered and sorted.
func (m *model) rows(p pane) []row {
	var out []row
	order := orders(p)[m.order[p]]
	switch p {
	case sources:
		for _, s := range sortedSums(m.data.Sources, order) {
			out = append(out, m.sourceRow(s))
		}
	case accounts:
		for _, s := range sortedSums(m.data.Accounts, order) {
			out = append(out, m.accountRow(s))
		}
	case recent:
		for _, b := range sortedBans(m.data.Bans, order) {
			out = append(out, m.banRow(b))
		}
	case alerts:
		for _, a := range sortedAlerts(m.data.Alerts, order) {
			out = append(out, m.alertRow(a))
		}
	}

	if m.filter == "" {
		return out
	}
	wanted := strings.ToLower(m.filter)
	return slices.DeleteFunc(out, func(r row) bool {
		return !strings.Contains(strings.ToLower(strings.Join(r.cells, " ")), wanted)
	})
}

const clock = "15:04"

func (m *model) sourceRow(s control.LiveSum) row {
	r := row{key: s.Name, target: prefixOf(s.Name)}
	state := ""
	switch {
	case s.Banned && m.data.Dry:
		state = "observed"
	case s.Banned:
		state = "banned"
	default:
		r.style = screen.Bold // nothing keeps it from going on
	}
	r.cells = []string{
		s.Name, number(s.Failures), number(s.Lately), number(s.Logins), number(uint64(s.Servers)),
		s.Last.In(m.zone).Format(clock), state,
	}
	return r
}

func (m *model) accountRow(s control.LiveSum) row {
	return row{key: s.Name + "\n" + s.Server, cells: []string{
		s.Name, number(s.Failures), number(s.Lately), number(s.Logins),
		s.Last.In(m.zone).Format(clock), s.Server,
	}}
}

func (m *model) banRow(b control.Ban) row {
	dropped := "?"
	if b.Dropped != nil {
		dropped = number(*b.Dropped)
	}
	state := strings.ReplaceAll(b.State, "_", " ")
	if b.State == control.StateDry {
		state, dropped = "observed", "-"
	}
	if b.State == control.StateInKernel {
		state = "in force"
	}

	return row{
		key: b.Prefix.String() + " " + b.Scope, target: b.Prefix,
		cells: []string{
			prefixName(b.Prefix), b.Rule, b.Scope, number(uint64(b.Score + 0.5)),
			number(uint64(b.Attempts)), b.Since.In(m.zone).Format("15:04:05"),
			span(b.Until.Sub(m.data.At)), dropped, state,
		},
	}
}

func (m *model) alertRow(a control.Alert) row {
	about := a.Source
	if about == "" {
		about = a.Account
	}
	if about == "" {
		about = a.Server
	}
	r := row{
		key: a.ID + a.Kind + about, target: prefixOf(a.Source),
		cells: []string{
			m.date(a), a.Severity, a.Kind, about, a.Reason,
		},
		detail: m.alertText(a),
	}
	switch a.Severity {
	case "critical":
		r.style = screen.Bad
	case "warning":
		r.style = screen.Warn
	}
	return r
}

// alertText returns all that is known of an alert.
func (m *model) alertText(a control.Alert) string {
	const stamp = "2006-01-02 15:04:05 MST"
	var b strings.Builder
	line := func(label, text string) {
		if text != "" {
			fmt.Fprintf(&b, "%-10s%s\n", label, safe(text))
		}
	}
	line("alert:", a.Kind+", "+a.Severity)
	line("source:", a.Source)
	line("account:", a.Account)
	line("server:", a.Server)
	line("reason:", a.Reason)
	line("do:", a.Do)
	if a.Open {
		line("open:", fmt.Sprintf("since %s, last seen %s, %s", a.At.In(m.zone).Format(stamp),
			a.Last.In(m.zone).Format(stamp), wording.Count(a.Count, "time")))
		line("id:", a.ID+"; to silence it: amifend alerts ignore "+a.ID+" NOTE")
	} else {
		line("at:", a.At.In(m.zone).Format(stamp))
	}
	return b.String()
}

// date returns when an alert began: the time of today, or the day.
func (m *model) date(a control.Alert) string {
	at := a.At.In(m.zone)
	if m.data.At.Sub(at).Hours() >= 24 {
		return at.Format("01-02")
	}
	return at.Format(clock)
}

// prefixOf returns the prefix that a text names; an invalid one for any other text.
func prefixOf(text string) netip.Prefix {
	if p, err := netip.ParsePrefix(text); err == nil {
		return p
	}
	addr, err := netip.ParseAddr(text)
	if err != nil {
		return netip.Prefix{}
	}
	return netip.PrefixFrom(addr, addr.BitLen())
}

// prefixName returns a prefix for people: the address alone of one that has no other.
func prefixName(p netip.Prefix) string {
	if p.IsSingleIP() {
		return p.Addr().String()
	}
	return p.String()
}

// sortedSums returns sums in an order. The daemon has them by failures.
func sortedSums(all []control.LiveSum, order string) []control.LiveSum {
	return slices.SortedStableFunc(slices.Values(all), func(a, b control.LiveSum) int {
		switch order {
		case "now":
			return cmp.Compare(b.Lately, a.Lately)
		case "last":
			return b.Last.Compare(a.Last)
		case "source":
			return prefixOf(a.Name).Compare(prefixOf(b.Name))
		case "account":
			return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.Server, b.Server))
		default:
			return 0
		}
	})
}

// sortedBans returns bans in an order. The daemon has the newest first.
func sortedBans(all []control.Ban, order string) []control.Ban {
	dropped := func(b control.Ban) (n uint64) {
		if b.Dropped != nil {
			n = *b.Dropped
		}
		return n
	}
	return slices.SortedStableFunc(slices.Values(all), func(a, b control.Ban) int {
		switch order {
		case "time left":
			return a.Until.Compare(b.Until)
		case "dropped":
			return cmp.Compare(dropped(b), dropped(a))
		case "source":
			return a.Prefix.Compare(b.Prefix)
		default:
			return 0
		}
	})
}

// sortedAlerts returns alerts in an order. The daemon has the worst first.
func sortedAlerts(all []control.Alert, order string) []control.Alert {
	return slices.SortedStableFunc(slices.Values(all), func(a, b control.Alert) int {
		switch order {
		case "newest":
			return b.At.Compare(a.At)
		case "kind":
			return cmp.Compare(a.Kind, b.Kind)
		default:
			return 0
		}
	})
}
