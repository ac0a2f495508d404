package app

import (
	"context"
	"encoding/json"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/amifend/amifend/ami"
	"github.com/amifend/amifend/cmd/amifend/internal/config"
	"github.com/amifend/amifend/cmd/amifend/internal/control"
	"github.com/amifend/amifend/cmd/amifend/internal/journal"
	"github.com/amifend/amifend/cmd/amifend/internal/protect"
)

// mostAllowances bounds what may be allowed by command: the kernel takes seconds for tens of thousands of prefixes.
const mostAllowances = 1000

// allowances are what operators allowed by command. They outlive a restart: the journal has them.
type allowances struct {
	mu     sync.Mutex
	byWhom map[subject]allowance
	unsent map[subject]struct{} // that the journal has not got as they are now
	loaded bool                 // what the journal has is in; of the goroutine that keeps them
}

// subject is who is allowed: a prefix or the addresses of a host name.
type subject struct {
	prefix netip.Prefix
	host   string // "" for a prefix
}

// String is how one writes it, and what the journal calls it.
func (s subject) String() string {
	if s.host != "" {
		return s.host
	}
	return s.prefix.String()
}

// parseSubject is the inverse of String, for one that may be allowed.
func parseSubject(text string) (subject, bool) {
	if p, err := netip.ParsePrefix(text); err == nil {
		return subject{prefix: p}, p == p.Masked() && p.Bits() != 0
	}
	host, err := config.ParseName(text)
	return subject{host: host}, err == nil && host == text
}

// allowance is one of them, as the journal has it.
type allowance struct {
	UID    uint32    `json:"uid"`
	Says   string    `json:"says,omitempty"` // as in control.Peer
	Reason string    `json:"reason,omitempty"` // quoted
	Until  time.Time `json:"until,omitzero"`   // wall clock; zero: until it is taken out

	// until is the same by the daemon's clock, which nobody sets; 0 if it is from a run before, which may have been before the boot.
	until int64
}

func (a allowance) reason() string {
	text := "allowed by " + control.Operator(a.UID, a.Says) + " (amifend allow)"
	if a.Reason != "" {
		text += ": " + a.Reason
	}
	return text
}

// over tells whether its time is over, by the wall clock and the daemon's.
func (a allowance) over(wall time.Time, now int64) bool {
	if a.until != 0 {
		return a.until <= now
	}
	return !a.Until.IsZero() && !a.Until.After(wall)
}

// Allowed tells who is never banned.
func (k *desk) Allowed(context.Context) ([]control.Allowed, error) {
	k.allowances.mu.Lock()
	defer k.allowances.mu.Unlock()
	out := k.allowedNames()
	for _, e := range k.watcher.Current().Entries {
		a, ok := k.allowances.byWhom[subject{prefix: e.Prefix}]
		out = append(out, control.Allowed{Prefix: e.Prefix, Reason: printable(e.Reason), Until: a.Until, Command: ok})
	}
	return out, nil
}

// Allow has a prefix never banned, for a time or until it is taken out, and returns when that holds.
func (k *desk) Allow(ctx context.Context, by control.Peer, n control.NewAllow) (control.Allowed, error) {
	bad := func(format string, args ...any) (control.Allowed, error) {
		return control.Allowed{}, control.Errorf(control.CodeBadRequest, format, args...)
	}
	whom := subject{prefix: n.Prefix}
	switch {
	case n.Name != "":
		name, err := config.ParseName(n.Name)
		if err != nil || n.Prefix.IsValid() {
			return bad("name: %s is no host name", ami.Quote([]byte(n.Name)))
		}
		whom = subject{host: name}
	case !n.Prefix.IsValid() || n.Prefix != n.Prefix.Masked() || n.Prefix.Addr().Is4In6():
		return bad("prefix: %v is no prefix", n.Prefix)
	case n.Prefix.Bits() == 0:
		return bad("%s is every address, so nobody would ever be banned; to try amifend out write observe = true in [policy]", n.Prefix)
	}
	switch {
	case n.For != 0 && !(n.For >= 1 && n.For <= longestAllowance.Seconds()):
		return bad("a prefix may be allowed for a second to %d days, or without an end", longestAllowance/(24*time.Hour))
	case len(n.Reason) > longestReason:
		return bad("reason: is longer than %d bytes", longestReason)
	}
	a := allowance{UID: by.UID, Says: by.Says}
	if n.Reason != "" {
		a.Reason = ami.Quote([]byte(n.Reason))
	}
	if n.For != 0 {
		d := time.Duration(n.For * float64(time.Second))
		a.Until, a.until = time.Now().Add(d).Round(0).UTC(), k.clock.now()+int64(d)
	}
	if whom.host != "" {
		return k.allowName(ctx, by, whom, a, n.Reason)
	}
	if err := k.allowances.add(whom, a); err != nil {
		return control.Allowed{}, err
	}
	k.relist()
	k.saveAllowances()
	k.record(by, "allow", source(n.Prefix), n.Reason)
	err := k.awaitProtected(ctx, n.Prefix)
	return control.Allowed{Prefix: n.Prefix, Reason: a.reason(), Until: a.Until, Command: true, Note: k.diskNote(ctx)}, err
}

// diskNote says that the disk does not have what a command did to the allowlist; "": it has.
func (k *desk) diskNote(ctx context.Context) string {
	if k.onDisk(ctx) {
		return ""
	}
	return "the journal does not have it yet: a crash or a reboot now undoes it (amifend status)"
}

// longestAllowance is how long a prefix may be allowed for a time.
const longestAllowance = 10 * 365 * 24 * time.Hour

// Disallow takes out what Allow put in.
func (k *desk) Disallow(ctx context.Context, by control.Peer, prefix netip.Prefix) (control.Allowed, error) {
	a, note, err := k.disallow(ctx, by, subject{prefix: prefix}, source(prefix))
	return control.Allowed{Prefix: prefix, Reason: a.reason(), Until: a.Until, Command: true, Note: note}, err
}

func (k *desk) disallow(ctx context.Context, by control.Peer, whom subject, called string) (a allowance, note string, err error) {
	a, ok := k.allowances.remove(whom)
	if !ok {
		return a, "", control.Errorf(control.CodeNotAllowed, "%s was not allowed by a command", called).
			Advise("amifend allow --list says why an address is never banned; what the config allows is taken out of [allow] prefixes or names")
	}
	k.relist()
	k.saveAllowances()
	k.record(by, "disallow", called, "")
	return a, k.diskNote(ctx), nil
}

// relist hands all lists on.
func (k *desk) relist() {
	known := ProtectConfig(k.config.Load())
	also, names := k.allowances.entries()
	k.watcher.Relist(protect.Listed{Allow: known.Allow, Names: append(known.Names, names...), Servers: known.Servers, Also: also})
}

// awaitProtected waits until the judge knows a prefix to be protected.
func (k *desk) awaitProtected(ctx context.Context, prefix netip.Prefix) error {
	for {
		known, err := ask(ctx, k.judge.asks, askJudge, func() bool {
			_, ok := k.judge.masked.protected.Overlaps(prefix)
			return ok
		})
		if known || err != nil {
			return err
		}
		sleep(ctx, 20*time.Millisecond)
	}
}

func (a *allowances) add(p subject, n allowance) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if _, ok := a.byWhom[p]; !ok && len(a.byWhom) >= mostAllowances {
		return control.Errorf(control.CodeFailed, "%d prefixes and names are allowed by command already", mostAllowances).
			Advise("write whole networks into [allow] prefixes")
	}
	a.put(p, n)
	return nil
}

// put is called with the lock.
func (a *allowances) put(p subject, n allowance) {
	if a.byWhom == nil {
		a.byWhom, a.unsent = make(map[subject]allowance), make(map[subject]struct{})
	}
	a.byWhom[p] = n
	a.unsent[p] = struct{}{}
}

func (a *allowances) remove(p subject) (allowance, bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	old, ok := a.byWhom[p]
	if ok {
		delete(a.byWhom, p)
		a.unsent[p] = struct{}{}
	}
	return old, ok
}

// entries are what must not be banned.
func (a *allowances) entries() (prefixes []protect.Entry, names []protect.Name) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for p, n := range a.byWhom {
		if p.host != "" {
			names = append(names, protect.Name{Host: p.host, Reason: n.reason()})
		} else {
			prefixes = append(prefixes, protect.Entry{Prefix: p.prefix, Reason: n.reason()})
		}
	}
	return prefixes, names
}

// expire takes out what is over, by the wall clock and the daemon's, and tells what that was. Where the wall clock was set, the
// ends that people read and the journal has move along.
func (a *allowances) expire(wall time.Time, now int64) (over []string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for p, n := range a.byWhom {
		if n.over(wall, now) {
			delete(a.byWhom, p)
			a.unsent[p] = struct{}{}
			over = append(over, p.String())
			continue
		}
		if n.until == 0 {
			continue
		}
		end := wall.Add(time.Duration(n.until - now)).Round(0).UTC()
		if end.Sub(n.Until).Abs() > slack {
			n.Until = end
			a.put(p, n)
		}
	}
	return over
}

// allowanceKey begins the keys of allowances among the journal's rows.
const allowanceKey = "allow/"

// save hands to the journal what it has not got. It takes all or nothing.
func (a *allowances) save(take func([]journal.Row) bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.unsent) == 0 {
		return
	}
	var rows []journal.Row
	for p := range a.unsent {
		r := journal.Row{Key: []byte(allowanceKey + p.String())}
		if n, ok := a.byWhom[p]; ok {
			r.Value, _ = json.Marshal(n) // numbers, texts and a time: it cannot fail
		}
		rows = append(rows, r)
	}
	if take(rows) {
		clear(a.unsent)
	}
}

// load takes in a row of the journal. A command that came first counts more.
func (a *allowances) load(r journal.Row) error {
	name, ok := strings.CutPrefix(string(r.Key), allowanceKey)
	if !ok {
		return nil
	}
	p, ok := parseSubject(name)
	var n allowance
	if json.Unmarshal(r.Value, &n) != nil || !ok {
		return nil // changed by hand: it is left as it is, and not believed
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if _, ok := a.byWhom[p]; ok {
		return nil
	}
	if _, ok := a.unsent[p]; ok {
		return nil
	}
	a.put(p, n)
	delete(a.unsent, p)
	return nil
}

// recallAllowances takes in what the journal has, before the first event can come: else an address that an operator allowed, or that
// a name has which does not resolve now, could be banned in the first moments of a run.
func (k *desk) recallAllowances(ctx context.Context) {
	if !k.loadAllowances(ctx) {
		return
	}
	set, err := k.watcher.Collect()
	if err != nil {
		return // the watcher says so, and tries again
	}
	k.protect(set)
}

// loadAllowances takes in what the journal has, and hands all lists on. It is false if that cannot be had now.
func (k *desk) loadAllowances(ctx context.Context) bool {
	ctx, cancel := context.WithTimeout(ctx, diskTime)
	defer cancel()
	k.allowances.loaded = k.records.journal == nil || k.records.journal.State(ctx, func(r journal.Row) error {
		k.nameKeeper.load(r)
		return k.allowances.load(r)
	}) == nil // else it says what is wrong with it
	if !k.allowances.loaded {
		return false
	}
	k.relist()
	for host, addrs := range k.nameKeeper.recall(k.watcher.Addresses()) {
		k.watcher.Remember(host, addrs)
	}
	return true
}

// keepAllowances ends what is over, and saves what changed, until ctx ends.
func (k *desk) keepAllowances(ctx context.Context) {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		if !k.allowances.loaded {
			k.loadAllowances(ctx)
		}
		if over := k.allowances.expire(time.Now(), k.clock.now()); len(over) > 0 {
			slices.Sort(over)
			k.Log.Info("prefixes or names are no longer allowed: their time is over", "allowed", over)
			k.relist()
		}
		k.saveAllowances()
		if k.allowances.loaded && k.records.journal != nil {
			k.nameKeeper.save(k.watcher.Addresses(), k.records.journal.Save)
		}
		select {
		case <-ctx.Done():
			k.saveAllowances() // the last second's
			return
		case <-tick.C:
		}
	}
}

// saveAllowances tells the journal what changed. It does not wait.
func (k *desk) saveAllowances() {
	if k.records.journal != nil {
		k.allowances.save(k.records.journal.Save)
	}
}
