// Package denials owns what operators denied by command: prefixes whose packets are always dropped,
// beside those that [deny] of the config lists. They have no end, and survive a restart.
//
//	operate ── Add, Remove ──→ Keeper ── Tell ──→ enforce.Denier
//	                           Keeper ── Save ──→ journal
//
// What must never be banned is taken out later, by package denylist.
package denials

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/amifend/amifend/cmd/amifend/internal/config"
	"github.com/amifend/amifend/cmd/amifend/internal/control"
	"github.com/amifend/amifend/cmd/amifend/internal/journal"
	"github.com/amifend/amifend/cmd/amifend/internal/owner"
)

// Most is the largest number of prefixes that can be denied by command.
const Most = 10_000

// ErrFull is returned when Most prefixes are denied.
var ErrFull = errors.New("too much is denied by command")

// The keys of our rows in the journal begin with rowKey. The value is a [Denial] in JSON.
const rowKey = "deny/"

// readTime limits how long Load waits for the journal.
const readTime = 2 * time.Second

// Rows is the part of the journal that a Keeper needs.
type Rows interface {
	State(ctx context.Context, visit func(journal.Row) error) error
	// Save accepts all rows or none, and reports which. It does not wait.
	Save(rows []journal.Row) bool
}

// Options configure a [Keeper].
type Options struct {
	Journal Rows // nil: denials end with the run
	Log     *slog.Logger
	Tell    func([]config.Denied)   // gets the whole list at each change; it must not wait
	Begun   *owner.Latest[struct{}] // gets a value when the journal was lost and begun anew
	// Denied comes from the Keeper of an earlier run of this process. It is written to the journal.
	Denied map[netip.Prefix]Denial
}

// Keeper keeps what is denied by command. Its methods may be called from any goroutine.
type Keeper struct {
	options Options
	telling sync.Mutex // so that an older list never comes after a newer one

	mu     sync.Mutex // guards what follows
	denied *journal.Records[netip.Prefix, Denial]
	loaded bool // the journal was read
}

// New returns a keeper. Load must be called before Run.
func New(o Options) *Keeper {
	k := &Keeper{
		options: o,
		denied: journal.NewRecords[netip.Prefix, Denial](func(p netip.Prefix) string {
			return rowKey + p.String()
		}),
	}

	// The journal may be a new one, so these count as unsaved.
	for p, d := range o.Denied {
		k.denied.Put(p, d)
	}
	return k
}

// Denial says who denied a prefix, when and why.
type Denial struct {
	UID  uint32    `json:"uid"`
	Says string    `json:"says,omitempty"` // the name that the command gave, fit to be printed
	Note string    `json:"note,omitempty"` // quoted
	At   time.Time `json:"at"`
}

// By returns who denied it.
func (d Denial) By() string { return control.Operator(d.UID, d.Says) }

// Text returns the denial for people.
func (d Denial) Text() string {
	text := "denied by " + d.By() + " on " + d.At.Local().Format(time.DateOnly) + " (amifend deny)"
	if d.Note != "" {
		text += ": " + d.Note
	}
	return text
}

// Add denies a prefix, or gives it another note. It returns [ErrFull] if there is no room.
func (k *Keeper) Add(p netip.Prefix, d Denial) error {
	if !k.put(p, d) {
		return ErrFull
	}
	k.tell()
	return nil
}

// put stores a denial, and reports whether there is room.
func (k *Keeper) put(p netip.Prefix, d Denial) bool {
	k.mu.Lock()
	defer k.mu.Unlock()

	if k.denied.Len() >= Most && !k.denied.Has(p) {
		return false
	}
	k.denied.Put(p, d)
	return true
}

// Remove removes a prefix that Add denied. It returns what it was, and false if it was not denied.
func (k *Keeper) Remove(p netip.Prefix) (Denial, bool) {
	k.mu.Lock()
	old, ok := k.denied.Delete(p)
	k.mu.Unlock()

	if ok {
		k.tell()
	}
	return old, ok
}

// All returns what is denied.
func (k *Keeper) All() map[netip.Prefix]Denial {
	k.mu.Lock()
	defer k.mu.Unlock()

	return k.denied.Clone()
}

// List returns what is denied in the form of the config, in the order of the prefixes.
func (k *Keeper) List() []config.Denied {
	all := k.All()
	out := make([]config.Denied, 0, len(all))
	for _, p := range slices.SortedFunc(maps.Keys(all), netip.Prefix.Compare) {
		out = append(out, config.Denied{Prefix: p, File: all[p].Text()})
	}
	return out
}

// tell hands on the whole list.
func (k *Keeper) tell() {
	k.telling.Lock()
	defer k.telling.Unlock()

	if k.options.Tell != nil {
		k.options.Tell(k.List())
	}
}

// Load reads what was denied in earlier runs, and hands it on. It returns false if the journal cannot
// be read now. Run then tries again.
func (k *Keeper) Load(ctx context.Context) bool {
	ctx, cancel := context.WithTimeout(ctx, readTime)
	defer cancel()

	loaded := k.options.Journal == nil || k.options.Journal.State(ctx,
		func(r journal.Row) error {
			k.loadRow(r)
			return nil
		}) == nil // the journal has logged its error

	k.mu.Lock()
	k.loaded = loaded
	k.mu.Unlock()
	if loaded {
		k.tell()
	}
	return loaded
}

// loadRow reads one row of the journal. A command that this run has already carried out takes
// precedence. A row that is not valid, because somebody changed it by hand, is ignored.
func (k *Keeper) loadRow(r journal.Row) {
	name, ok := strings.CutPrefix(string(r.Key), rowKey)
	if !ok {
		return
	}
	p, err := netip.ParsePrefix(name)
	var d Denial
	if err != nil || p != p.Masked() || p.Bits() == 0 || json.Unmarshal(r.Value, &d) != nil {
		return
	}

	k.mu.Lock()
	defer k.mu.Unlock()

	k.denied.Adopt(p, d)
}

// Save hands the unsaved denials to the journal. It does not wait.
func (k *Keeper) Save() {
	if k.options.Journal == nil {
		return
	}

	k.mu.Lock()
	defer k.mu.Unlock()
	k.denied.Save(k.options.Journal.Save)
}

// Run saves changes until ctx ends.
func (k *Keeper) Run(ctx context.Context) {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()

	for {
		// The journal could not be read at the start: its disk may be back.
		k.mu.Lock()
		loaded := k.loaded
		k.mu.Unlock()
		if !loaded {
			k.Load(ctx)
		}

		// Rows that the journal has no room for are tried again a second later.
		k.Save()
		select {
		case <-ctx.Done():
			k.Save()
			return
		case <-k.options.Begun.C():
			k.saveAnew()
		case <-tick.C:
		}
	}
}

// saveAnew has Save hand over all denials, because the journal has lost them.
func (k *Keeper) saveAnew() {
	k.mu.Lock()
	defer k.mu.Unlock()

	k.denied.SaveAnew()
}
