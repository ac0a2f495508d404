package notify

import (
	"context"
	"encoding/json"
	"strings"
	"time"

	"github.com/amifend/amifend/cmd/amifend/internal/journal"
)

// Rows is the part of the journal that keeps the outbox. [journal.Journal] implements it.
type Rows interface {
	State(ctx context.Context, visit func(journal.Row) error) error
	// Save takes all of some rows or none, and does not wait.
	Save(rows []journal.Row) bool
}

// The keys of the journal's rows: of a message, of what is gathered for a target, and of the
// attack.
const (
	keyPrefix   = "notify/"
	keyMessage  = keyPrefix + "message/" // TARGET/ID
	keyGathered = keyPrefix + "gathered/"
	keyAttack   = keyPrefix + "attack"
	keyWeekly   = keyPrefix + "weekly"
)

// loadTime limits how long the start waits for the journal.
const loadTime = 5 * time.Second

// gatheredRow is what is gathered for a target, in the journal.
type gatheredRow struct {
	Items []Item      `json:"items"`
	More  int         `json:"more"`
	Since time.Time   `json:"since"`
	Quiet bool        `json:"quiet"`
	Made  []time.Time `json:"made"`
}

// Carried is what a notifier leaves to the next one of the same process.
type Carried struct{ state map[string]string }

// Carry returns what is not delivered yet. It may be called when Run has ended.
func (n *Notifier) Carry() *Carried { return &Carried{n.state()} }

// state returns all rows that the journal must have, by key.
func (n *Notifier) state() map[string]string {
	out := make(map[string]string)
	for _, t := range n.targets {
		for _, m := range t.messages {
			if m.row == "" {
				m.row = rowOf(m)
			}
			out[keyMessage+t.Name+"/"+m.ID] = m.row
		}
		if len(t.gathered) > 0 || len(t.made) > 0 {
			out[keyGathered+t.Name] = rowOf(
				gatheredRow{t.gathered, t.more, t.since, t.quiet, t.made})
		}
	}
	if n.attack.Bans > 0 || n.attack.Round > 0 {
		out[keyAttack] = rowOf(&n.attack)
	}
	if !n.weekly.row.Next.IsZero() {
		out[keyWeekly] = rowOf(&n.weekly.row)
	}
	return out
}

// rowOf returns the value of a row.
func rowOf(v any) string {
	text, _ := json.Marshal(v) // texts, numbers and times: it cannot fail
	return string(text)
}

// load takes in what was not delivered in the run before.
func (n *Notifier) load(ctx context.Context) {
	state, err := n.read(ctx)
	if err != nil {
		n.o.Log.Error("the notifications of the run before are not known", "err", err)
		return
	}

	// What the journal has and this run has not is deleted by the next save.
	n.rows.last = state
	if n.o.Carried != nil {
		state = n.o.Carried.state
	}
	n.changed = true

	// A row that somebody changed by hand is left out, and deleted by the next save.
	for _, t := range n.targets {
		var g gatheredRow
		if json.Unmarshal([]byte(state[keyGathered+t.Name]), &g) == nil {
			t.gathered, t.more, t.since = g.Items[:min(len(g.Items), mostItems)], g.More, g.Since
			t.quiet, t.made = g.Quiet, g.Made
		}
		for key, text := range state {
			var m Message
			if strings.HasPrefix(key, keyMessage+t.Name+"/") && len(t.messages) < mostMessages &&
				json.Unmarshal([]byte(text), &m) == nil {
				t.messages = append(t.messages, &m)
			}
		}
		t.sort()
	}
	var w weeklyRow
	if json.Unmarshal([]byte(state[keyWeekly]), &w) == nil {
		n.weekly.row = w
	}
	g := gathering{calm: n.attack.calm}
	if json.Unmarshal([]byte(state[keyAttack]), &g) == nil &&
		(g.Bans == 0 || g.By != nil && g.Names != nil) {
		n.attack = g
	}
}

// read returns the rows of the journal, by key.
func (n *Notifier) read(ctx context.Context) (map[string]string, error) {
	state := make(map[string]string)
	if n.o.Journal == nil {
		return state, nil
	}

	ctx, cancel := context.WithTimeout(ctx, loadTime)
	defer cancel()
	err := n.o.Journal.State(ctx, func(r journal.Row) error {
		if strings.HasPrefix(string(r.Key), keyPrefix) {
			state[string(r.Key)] = string(r.Value)
		}
		return nil
	})
	return state, err
}

// rows keeps the journal's rows equal to a state.
type rows struct {
	journal Rows
	last    map[string]string // what the journal has, or gets
	saved   time.Time
}

// forget notes that the journal has nothing.
func (r *rows) forget() { r.last = map[string]string{} }

// saveInTime saves what has changed: a second after the last time, or ten seconds if only more bans
// came, whose row is large.
func (n *Notifier) saveInTime(now time.Time) {
	r := &n.rows
	waited := now.Sub(r.saved)
	if r.journal == nil || waited < time.Second ||
		!n.changed && (!n.more || waited < 10*time.Second) {
		return
	}
	r.saved = now
	if r.save(n.state()) {
		n.changed, n.more = false, false
	}
}

// save hands to the journal what differs. It reports false if the journal takes nothing now.
func (r *rows) save(state map[string]string) bool {
	if r.journal == nil {
		return true
	}
	var out []journal.Row
	for key, text := range state {
		if r.last[key] != text {
			out = append(out, journal.Row{Key: []byte(key), Value: []byte(text)})
		}
	}
	for key := range r.last {
		if _, ok := state[key]; !ok {
			out = append(out, journal.Row{Key: []byte(key)}) // it is deleted
		}
	}
	if len(out) == 0 {
		return true
	}
	if !r.journal.Save(out) {
		return false
	}
	r.last = state
	return true
}
