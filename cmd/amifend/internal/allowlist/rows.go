package allowlist

import (
	"context"
	"encoding/json"
	"maps"
	"net/netip"
	"slices"
	"strings"

	"github.com/amifend/amifend/cmd/amifend/internal/journal"
)

// Among the journal's rows, the keys of allowances and of names begin with these. The value of a
// name is a list of addresses.
const (
	allowanceKey = "allow/"
	nameKey      = "name/"
)

// Load takes in what the journal has, and hands all lists on. It returns false if that cannot be
// had now; Run tries again. It should be called before the first event can come: else an address
// that an operator allowed, or that belongs to a name which does not resolve now, could be banned
// in the first moments of a run.
func (k *Keeper) Load(ctx context.Context) bool {
	ctx, cancel := context.WithTimeout(ctx, readTime)
	defer cancel()

	k.loaded = k.journal == nil || k.journal.State(ctx, func(r journal.Row) error {
		k.names.load(r)
		k.loadRow(r)
		return nil
	}) == nil // else the journal logs what is wrong with it
	if !k.loaded {
		return false
	}

	// A name that resolves has newer addresses than the journal.
	k.Relist()
	for host, addrs := range k.names.missing(k.watcher.Addresses()) {
		k.watcher.Remember(host, addrs)
	}
	for host, addrs := range k.before {
		if len(k.watcher.Addresses()[host]) == 0 {
			k.watcher.Remember(host, addrs)
		}
	}

	return true
}

// loadRow takes in a row of the journal. A command that came first counts more. A row that somebody
// changed by hand is left as it is, and not believed.
func (k *Keeper) loadRow(r journal.Row) {
	name, ok := strings.CutPrefix(string(r.Key), allowanceKey)
	if !ok {
		return
	}

	s, ok := parseSubject(name)
	var a Allowance
	if json.Unmarshal(r.Value, &a) != nil || !ok {
		return
	}

	k.mu.Lock()
	defer k.mu.Unlock()

	_, known := k.byWhom[s]
	_, changed := k.unsent[s]
	if !known && !changed {
		k.byWhom[s] = k.resume(a)
	}
}

// saveAnew has all rows handed over again: the journal has lost them.
func (k *Keeper) saveAnew() {
	k.mu.Lock()
	defer k.mu.Unlock()

	k.names.saved = nil
	for s := range k.byWhom {
		k.unsent[s] = struct{}{}
	}
}

// Save hands to the journal what it has not got. It does not wait.
func (k *Keeper) Save() {
	if k.journal != nil {
		k.save(k.journal.Save)
	}
}

// save hands over what the journal has not got. take takes all or nothing.
func (k *Keeper) save(take func([]journal.Row) bool) {
	k.mu.Lock()
	defer k.mu.Unlock()

	if len(k.unsent) == 0 {
		return
	}

	// A row without a value is deleted from the journal.
	var rows []journal.Row
	for s := range k.unsent {
		r := journal.Row{Key: []byte(allowanceKey + s.String())}
		if a, ok := k.byWhom[s]; ok {
			r.Value, _ = json.Marshal(a) // numbers, texts and a time: it cannot fail
		}
		rows = append(rows, r)
	}

	if take(rows) {
		clear(k.unsent)
	}
}

// nameRows holds the addresses of names that the journal has, so that they are known after a
// restart while DNS fails. Its zero value has none.
type nameRows struct {
	saved map[string][]netip.Addr
}

// load takes in a row of the journal.
func (n *nameRows) load(r journal.Row) {
	host, ok := strings.CutPrefix(string(r.Key), nameKey)
	var addrs []netip.Addr
	if !ok || json.Unmarshal(r.Value, &addrs) != nil {
		return
	}

	if n.saved == nil {
		n.saved = map[string][]netip.Addr{}
	}
	n.saved[host] = addrs
}

// missing returns the saved addresses of names that have none now.
func (n *nameRows) missing(now map[string][]netip.Addr) map[string][]netip.Addr {
	old := maps.Clone(n.saved)
	maps.DeleteFunc(old, func(host string, _ []netip.Addr) bool { return len(now[host]) > 0 })
	return old
}

// save hands over what changed. take takes all or nothing.
func (n *nameRows) save(now map[string][]netip.Addr, take func([]journal.Row) bool) {
	var rows []journal.Row
	for host, addrs := range now {
		if !slices.Equal(n.saved[host], addrs) {
			value, _ := json.Marshal(addrs) // texts: it cannot fail
			rows = append(rows, journal.Row{Key: []byte(nameKey + host), Value: value})
		}
	}

	for host := range n.saved {
		if _, ok := now[host]; !ok {
			rows = append(rows, journal.Row{Key: []byte(nameKey + host)})
		}
	}
	if len(rows) > 0 && take(rows) {
		n.saved = now
	}
}
