package allowlist

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/amifend/amifend/cmd/amifend/internal/clock"
	"github.com/amifend/amifend/cmd/amifend/internal/config"
	"github.com/amifend/amifend/cmd/amifend/internal/journal"
	"github.com/amifend/amifend/cmd/amifend/internal/owner"
	"github.com/amifend/amifend/cmd/amifend/internal/protect"
)

// Most limits how many prefixes and names may be allowed by command: the kernel takes seconds for
// tens of thousands of prefixes.
const Most = 1000

// ErrFull is returned for one subject more than [Most].
var ErrFull = errors.New("too much is allowed by command")

// readTime limits how long the journal is waited for.
const readTime = 2 * time.Second

// slack is the difference between two ends of one allowance that is not worth writing.
const slack = 2 * time.Second

// Options configure a [Keeper].
type Options struct {
	Config  func() *config.Config // returns the config in force
	Watcher *protect.Watcher
	Journal Rows // nil: what is allowed by command ends with the run
	Clock   clock.Clock
	Machine journal.Clock // for ends that outlive a restart; the zero value: the real one
	Log     *slog.Logger
	// Begun is set when the journal was lost and begun anew; nil: it never is.
	Begun *owner.Latest[struct{}]
	// Allowed is what a keeper before allowed by command, and Addresses those of names that were
	// followed. Both are written to the journal.
	Allowed   map[Subject]Allowance
	Addresses map[string][]netip.Addr
}

// Rows is the part of the journal that a Keeper needs. [journal.Journal] implements it.
type Rows interface {
	State(ctx context.Context, visit func(journal.Row) error) error
	// Save takes all of some rows or none, and does not wait.
	Save(rows []journal.Row) bool
}

// Keeper owns what operators allowed by command. Its methods may be called from any goroutine.
type Keeper struct {
	config  func() *config.Config
	watcher *protect.Watcher
	journal Rows
	clock   clock.Clock
	machine journal.Clock
	log     *slog.Logger
	begun   *owner.Latest[struct{}]

	relisting sync.Mutex // so that an older list never comes after a newer one

	mu     sync.Mutex // operators read and write, Run ends what is over
	byWhom map[Subject]Allowance
	unsent map[Subject]struct{} // that the journal has not got as they are now

	// Of Load, and then of Run's goroutine.
	before map[string][]netip.Addr // addresses of names that the keeper before followed
	loaded bool                    // what the journal has is in
	names  nameRows
}

// New returns a keeper of what was allowed before.
func New(o Options) *Keeper {
	if o.Begun == nil {
		o.Begun = owner.NewLatest[struct{}]()
	}
	k := &Keeper{
		config: o.Config, watcher: o.Watcher, journal: o.Journal, clock: o.Clock, log: o.Log,
		machine: o.Machine.OrReal(), begun: o.Begun, before: o.Addresses,
		byWhom: make(map[Subject]Allowance), unsent: make(map[Subject]struct{}),
	}
	for s, a := range o.Allowed {
		k.put(s, a)
	}
	return k
}

// Subject names the addresses that are allowed: a prefix, or those of a host name.
type Subject struct {
	Prefix netip.Prefix
	Host   string // "" for a prefix
}

// String returns the subject as it is written, which is also its name in the journal.
func (s Subject) String() string {
	if s.Host != "" {
		return s.Host
	}
	return s.Prefix.String()
}

// parseSubject is the inverse of String. ok is false for one that may not be allowed.
func parseSubject(text string) (s Subject, ok bool) {
	if p, err := netip.ParsePrefix(text); err == nil {
		return Subject{Prefix: p}, p == p.Masked() && p.Bits() != 0
	}
	host, err := config.ParseName(text)
	return Subject{Host: host}, err == nil && host == text
}

// Allowance says for how long a subject is allowed, by whom and why, in the journal's form.
type Allowance struct {
	UID    uint32    `json:"uid"`
	Says   string    `json:"says,omitempty"`   // the name that the command gave, fit to be printed
	Reason string    `json:"reason,omitempty"` // quoted
	Until  time.Time `json:"until,omitzero"`   // wall clock; zero: until it is taken out

	// Boot and Uptime are Until by a clock that nobody sets, for the next run: the end is at this
	// uptime of that boot. "": there is no end, or it is not known.
	Boot   string        `json:"boot,omitempty"`
	Uptime time.Duration `json:"uptime,omitempty"`
	Whole  time.Duration `json:"whole,omitempty"` // for how long it was allowed

	// Expiry is Until by the daemon's clock, which nobody sets; 0 if the allowance is from an
	// earlier boot.
	Expiry int64 `json:"-"`
	latest int64 // by the same clock: it ends then in any case; 0: not limited
}

// Text returns why the subject is allowed.
func (a Allowance) Text() string {
	text := fmt.Sprintf("allowed by uid %d", a.UID)
	if a.Says != "" {
		text += " (" + a.Says + " says)"
	}

	text += " (amifend allow)"
	if a.Reason != "" {
		text += ": " + a.Reason
	}

	return text
}

// isOver reports whether an allowance has ended, by the daemon's clock if it can be.
func (a Allowance) isOver(wall time.Time, now int64) bool {
	if a.Expiry != 0 {
		return a.Expiry <= now
	}
	return !a.Until.IsZero() && !a.Until.After(wall) || a.latest != 0 && a.latest <= now
}

// Add allows a subject, or changes how it is allowed, and hands the list on. It returns [ErrFull]
// when there are too many.
func (k *Keeper) Add(s Subject, a Allowance) error {
	if err := k.add(s, a); err != nil {
		return err
	}
	k.Relist()
	return nil
}

func (k *Keeper) add(s Subject, a Allowance) error {
	k.mu.Lock()
	defer k.mu.Unlock()

	if _, ok := k.byWhom[s]; !ok && len(k.byWhom) >= Most {
		return ErrFull
	}

	// The wall clock may be set while amifend is down. Within this boot, the uptime tells.
	if a.Expiry != 0 {
		a.Whole = k.clock.Left(a.Expiry)
		if a.Boot = k.machine.Boot; a.Boot != "" {
			a.Uptime = k.machine.Uptime() + a.Whole
		}
	}

	k.put(s, a)
	return nil
}

// resume returns an allowance of an earlier run with its end by the daemon's clock. One of an
// earlier boot ends by the wall clock, and lasts no longer from now on than it was allowed for: the
// clock may be wrong.
func (k *Keeper) resume(a Allowance) Allowance {
	switch now := k.clock.Now(); {
	case a.Whole == 0:
	case a.Boot != "" && a.Boot == k.machine.Boot:
		left := min(a.Uptime-k.machine.Uptime(), a.Whole)
		a.Expiry = max(1, now+int64(left))
	default:
		a.latest = now + int64(a.Whole)
	}
	return a
}

// put is called with the lock.
func (k *Keeper) put(s Subject, a Allowance) {
	k.byWhom[s] = a
	k.unsent[s] = struct{}{}
}

// Remove takes a subject out, and hands the list on. It returns false if the subject was not
// allowed by a command.
func (k *Keeper) Remove(s Subject) (Allowance, bool) {
	old, ok := k.remove(s)
	if ok {
		k.Relist()
	}
	return old, ok
}

func (k *Keeper) remove(s Subject) (Allowance, bool) {
	k.mu.Lock()
	defer k.mu.Unlock()

	old, ok := k.byWhom[s]
	if ok {
		delete(k.byWhom, s)
		k.unsent[s] = struct{}{}
	}
	return old, ok
}

// Allowances returns what is allowed by command.
func (k *Keeper) Allowances() map[Subject]Allowance {
	k.mu.Lock()
	defer k.mu.Unlock()

	return maps.Clone(k.byWhom)
}

// Relist hands the lists of the config and of the commands to the watcher.
func (k *Keeper) Relist() {
	k.relisting.Lock()
	defer k.relisting.Unlock()

	known := FromConfig(k.config())
	also, names := k.entries()

	k.watcher.Relist(protect.Listed{
		Allow: known.Allow, Names: append(known.Names, names...), Servers: known.Servers,
		Also: also,
	})
}

// entries returns what the commands allow as the watcher has it.
func (k *Keeper) entries() (prefixes []protect.Entry, names []protect.Name) {
	for s, a := range k.Allowances() {
		if s.Host != "" {
			names = append(names, protect.Name{Host: s.Host, Reason: a.Text()})
		} else {
			prefixes = append(prefixes, protect.Entry{Prefix: s.Prefix, Reason: a.Text()})
		}
	}
	return prefixes, names
}

// Run ends what is over, and saves what changed, until ctx ends.
func (k *Keeper) Run(ctx context.Context) {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()

	for {
		// The journal could not be read at the start: its disk may be back.
		if !k.loaded {
			k.Load(ctx)
		}

		if over := k.expire(time.Now(), k.clock.Now()); len(over) > 0 {
			slices.Sort(over)
			k.log.Info("prefixes or names are no longer allowed: their time is over",
				"allowed", over)
			k.Relist()
		}

		// What the journal has no room for is tried again in a second. The addresses of names wait
		// until those of the run before are read.
		k.Save()
		if k.loaded && k.journal != nil {
			k.names.save(k.watcher.Addresses(), k.journal.Save)
		}

		select {
		case <-ctx.Done():
			k.Save() // the last second's
			return
		case <-k.begun.C():
			k.saveAnew()
		case <-tick.C:
		}
	}
}

// expire takes out what is over, and returns it. Where the wall clock was set, the ends that people
// read and the journal has move along.
func (k *Keeper) expire(wall time.Time, now int64) (over []string) {
	k.mu.Lock()
	defer k.mu.Unlock()

	for s, a := range k.byWhom {
		if a.isOver(wall, now) {
			delete(k.byWhom, s)
			k.unsent[s] = struct{}{}
			over = append(over, s.String())
			continue
		}

		// Of an allowance of an earlier run, only the end by the wall clock is known.
		if a.Expiry == 0 {
			continue
		}

		// The wall clock may have been set since.
		end := wall.Add(time.Duration(a.Expiry - now)).Round(0).UTC()
		if end.Sub(a.Until).Abs() > slack {
			a.Until = end
			k.put(s, a)
		}
	}

	return over
}
