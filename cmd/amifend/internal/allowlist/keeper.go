package allowlist

import (
	"context"
	"errors"
	"log/slog"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/amifend/amifend/cmd/amifend/internal/clock"
	"github.com/amifend/amifend/cmd/amifend/internal/config"
	"github.com/amifend/amifend/cmd/amifend/internal/control"
	"github.com/amifend/amifend/cmd/amifend/internal/journal"
	"github.com/amifend/amifend/cmd/amifend/internal/owner"
	"github.com/amifend/amifend/cmd/amifend/internal/protect"
)

// Most is the largest number of prefixes and names that may be allowed by command. The kernel takes
// seconds for tens of thousands of prefixes.
const Most = 1000

// ErrFull is returned for a new subject when [Most] subjects are allowed.
var ErrFull = errors.New("too much is allowed by command")

// readTime is the longest wait for the journal.
const readTime = 2 * time.Second

// slack is how far the end of an allowance may differ from the end that the journal has, before it
// is written again.
const slack = 2 * time.Second

// Options configure a [Keeper].
type Options struct {
	Config  func() *config.Config // returns the config in force
	Watcher *protect.Watcher
	Journal Rows // nil: allowances by command end with the run
	Clock   clock.Clock
	Machine journal.Clock // for ends that outlive a restart; the zero value: the real one
	Log     *slog.Logger
	// Begun gets a value when the journal was lost and begun anew; nil: never.
	Begun *owner.Latest[struct{}]
	// Allowed and Addresses come from the Keeper of an earlier run of this process: its allowances,
	// and the addresses of the names that it followed. Both are written to the journal.
	Allowed   map[Subject]Allowance
	Addresses map[string][]netip.Addr
}

// Rows is the part of the journal that a Keeper needs. [journal.Journal] implements it.
type Rows interface {
	State(ctx context.Context, visit func(journal.Row) error) error
	// Save accepts all rows or none, and reports which. It does not wait.
	Save(rows []journal.Row) bool
}

// Keeper owns the allowances by command. Except for Load and Run, its methods may be called from
// any goroutine.
type Keeper struct {
	config  func() *config.Config
	watcher *protect.Watcher
	journal Rows
	clock   clock.Clock
	machine journal.Clock
	log     *slog.Logger
	begun   *owner.Latest[struct{}]

	relisting sync.Mutex // so that an older list never comes after a newer one

	mu     sync.Mutex // guards byWhom: operators change it, Run ends allowances
	byWhom *journal.Records[Subject, Allowance]

	// Used by Load, and then by the goroutine of Run only.
	before map[string][]netip.Addr // Options.Addresses
	loaded bool                    // the journal was read
	names  nameRows
}

// New returns a Keeper that begins with the allowances of o. It hands no list to the watcher yet.
func New(o Options) *Keeper {
	if o.Begun == nil {
		o.Begun = owner.NewLatest[struct{}]()
	}

	k := &Keeper{
		config: o.Config, watcher: o.Watcher, journal: o.Journal, clock: o.Clock, log: o.Log,
		machine: o.Machine.OrReal(), begun: o.Begun, before: o.Addresses,
		byWhom: journal.NewRecords[Subject, Allowance](func(s Subject) string {
			return allowanceKey + s.String()
		}),
	}

	// The journal may be a new one, so these count as unsaved.
	for s, a := range o.Allowed {
		k.byWhom.Put(s, a)
	}
	return k
}

// Subject names the addresses that are allowed: a prefix, or those of a host name.
type Subject struct {
	Prefix netip.Prefix
	Host   string // "" for a prefix
}

// String returns the prefix or the host name. The journal's key ends with it.
func (s Subject) String() string {
	if s.Host != "" {
		return s.Host
	}
	return s.Prefix.String()
}

// parseSubject is the inverse of String. ok is false for a subject that may not be allowed.
func parseSubject(text string) (s Subject, ok bool) {
	if p, err := netip.ParsePrefix(text); err == nil {
		return Subject{Prefix: p}, p == p.Masked() && p.Bits() != 0
	}
	host, err := config.ParseName(text)
	return Subject{Host: host}, err == nil && host == text
}

// Allowance holds who allowed a subject, why and until when. The journal has it as JSON.
type Allowance struct {
	UID    uint32    `json:"uid"`
	Says   string    `json:"says,omitempty"`   // the name that the command gave, fit to be printed
	Reason string    `json:"reason,omitempty"` // quoted
	At     time.Time `json:"at,omitzero"`      // when it was allowed; zero: by an older amifend
	Until  time.Time `json:"until,omitzero"`   // wall clock; zero: until it is removed

	// Boot and Uptime are the same end by a clock that nobody can set, for the next run: the
	// allowance ends at this uptime of that boot. Boot is "" if there is no end, or if the boot is
	// not known.
	Boot   string        `json:"boot,omitempty"`
	Uptime time.Duration `json:"uptime,omitempty"`
	Whole  time.Duration `json:"whole,omitempty"` // for how long it was allowed; 0: no end

	// Expiry is the same end by the daemon's clock. It is 0 if there is no end, or if the allowance
	// is from an earlier boot.
	Expiry int64 `json:"-"`
	latest int64 // by the same clock, the allowance ends then at the latest; 0: no limit
}

// By returns who allowed it.
func (a Allowance) By() string { return control.Operator(a.UID, a.Says) }

// Text returns the reason why the subject is allowed.
func (a Allowance) Text() string {
	text := "allowed by " + a.By()
	if !a.At.IsZero() {
		text += " on " + a.At.Local().Format(time.DateOnly)
	}

	text += " (amifend allow)"
	if a.Reason != "" {
		text += ": " + a.Reason
	}

	return text
}

// isOver reports whether an allowance has ended. It uses the daemon's clock if the end by that
// clock is known, else the wall clock.
func (a Allowance) isOver(wall time.Time, now int64) bool {
	if a.Expiry != 0 {
		return a.Expiry <= now
	}
	return !a.Until.IsZero() && !a.Until.After(wall) || a.latest != 0 && a.latest <= now
}

// Add allows a subject, and hands the lists on. An earlier allowance of the subject is replaced.
// Add returns [ErrFull] if the subject is new and [Most] subjects are allowed.
func (k *Keeper) Add(s Subject, a Allowance) error {
	if err := k.add(s, a); err != nil {
		return err
	}
	k.Relist()
	return nil
}

// add stores the allowance of a subject, with its end by the machine's uptime.
func (k *Keeper) add(s Subject, a Allowance) error {
	k.mu.Lock()
	defer k.mu.Unlock()

	if k.byWhom.Len() >= Most && !k.byWhom.Has(s) {
		return ErrFull
	}

	// Somebody may set the wall clock while amifend is down, but not the uptime of this boot.
	if a.Expiry != 0 {
		a.Whole = k.clock.Left(a.Expiry)
		if a.Boot = k.machine.Boot; a.Boot != "" {
			a.Uptime = k.machine.Uptime() + a.Whole
		}
	}

	k.byWhom.Put(s, a)
	return nil
}

// resume returns an allowance of an earlier run with its end by the daemon's clock.
func (k *Keeper) resume(a Allowance) Allowance {
	now := k.clock.Now()
	switch {
	case a.Whole == 0:
		// It has no end.

	case a.Boot != "" && a.Boot == k.machine.Boot:
		left := min(a.Uptime-k.machine.Uptime(), a.Whole)
		a.Expiry = max(1, now+int64(left))

	default:
		// After a reboot only the wall clock has the end. If that clock is wrong, the allowance
		// still lasts no longer than it was given for.
		a.latest = now + int64(a.Whole)
	}

	return a
}

// Remove ends the allowance of a subject and returns it, and hands the lists on. It returns false
// if the subject was not allowed by command.
func (k *Keeper) Remove(s Subject) (Allowance, bool) {
	old, ok := k.remove(s)
	if ok {
		k.Relist()
	}
	return old, ok
}

// remove deletes the allowance of a subject, and marks it as unsaved.
func (k *Keeper) remove(s Subject) (Allowance, bool) {
	k.mu.Lock()
	defer k.mu.Unlock()

	return k.byWhom.Delete(s)
}

// Allowances returns a copy of all allowances by command.
func (k *Keeper) Allowances() map[Subject]Allowance {
	k.mu.Lock()
	defer k.mu.Unlock()

	return k.byWhom.Clone()
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

// entries returns the allowances by command in the form of the watcher.
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

// Run ends allowances whose time is over, and saves changes, until ctx ends. It looks once a
// second.
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

		// Rows that the journal has no room for are tried again a second later. The addresses of
		// names wait until the journal's are read, because only the difference is saved.
		k.Save()
		if k.loaded && k.journal != nil {
			k.names.save(k.watcher.Addresses(), k.journal.Save)
		}

		select {
		case <-ctx.Done():
			k.Save() // the changes of the last second
			return
		case <-k.begun.C():
			k.saveAnew()
		case <-tick.C:
		}
	}
}

// expire deletes the allowances that are over, and returns their subjects. If the wall clock was
// set, it corrects Until, which people read and the journal has.
func (k *Keeper) expire(wall time.Time, now int64) (over []string) {
	k.mu.Lock()
	defer k.mu.Unlock()

	for s, a := range k.byWhom.All() {
		if a.isOver(wall, now) {
			k.byWhom.Delete(s)
			over = append(over, s.String())
			continue
		}

		// It has no end, or, after a reboot, an end by the wall clock only.
		if a.Expiry == 0 {
			continue
		}

		// Small differences come from the clocks themselves, and would be written every second.
		end := wall.Add(time.Duration(a.Expiry - now)).Round(0).UTC()
		if end.Sub(a.Until).Abs() > slack {
			a.Until = end
			k.byWhom.Put(s, a)
		}
	}

	return over
}
