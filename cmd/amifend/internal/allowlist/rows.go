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

// The keys of our rows in the journal begin with these. The value of an allowance is an [Allowance]
// in JSON, that of a name is a list of addresses.
const (
	allowanceKey = "allow/"
	nameKey      = "name/"
)

// Load reads the allowances and the addresses of names from the journal, and hands all lists on. It
// returns false if the journal cannot be read now. Run then tries again.
//
// Load must be called before the first event can come. Otherwise the first events could ban an
// address that an operator allowed, or an address of a name that DNS does not resolve now.
func (k *Keeper) Load(ctx context.Context) bool {
	ctx, cancel := context.WithTimeout(ctx, readTime)
	defer cancel()

	k.loaded = k.journal == nil || k.journal.State(ctx, func(r journal.Row) error {
		k.names.load(r)
		k.loadRow(r)
		return nil
	}) == nil // the journal has logged its error
	if !k.loaded {
		return false
	}

	// A name that resolves has newer addresses than the journal, and than the run before a turn.
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

// loadRow reads one row of the journal. A command that this run has already carried out takes
// precedence. A row that is not valid, because somebody changed it by hand, is ignored. It stays in
// the journal.
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

	k.byWhom.Adopt(s, k.resume(a))
}

// saveAnew marks all rows as unsaved, because the journal has lost them.
func (k *Keeper) saveAnew() {
	k.mu.Lock()
	defer k.mu.Unlock()

	k.names.saved = nil
	k.byWhom.SaveAnew()
}

// Save hands the unsaved allowances to the journal. It does not wait.
func (k *Keeper) Save() {
	if k.journal != nil {
		k.save(k.journal.Save)
	}
}

// save hands the unsaved allowances to take, which accepts all rows or none. Those that it refuses
// stay unsaved.
func (k *Keeper) save(take func([]journal.Row) bool) {
	k.mu.Lock()
	defer k.mu.Unlock()

	k.byWhom.Save(take)
}

// nameRows holds the addresses of names as the journal has them. After a restart, they protect the
// names that DNS does not resolve. The zero value is empty.
type nameRows struct {
	saved map[string][]netip.Addr
}

// load reads one row of the journal. It ignores rows that are not those of a name.
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

// save hands the rows that changed to take, which accepts all rows or none. Those that it refuses
// come again with the next call.
func (n *nameRows) save(now map[string][]netip.Addr, take func([]journal.Row) bool) {
	// Most names keep their addresses, and cost the journal nothing.
	var rows []journal.Row
	for host, addrs := range now {
		if !slices.Equal(n.saved[host], addrs) {
			value, _ := json.Marshal(addrs) // texts: it cannot fail
			rows = append(rows, journal.Row{Key: []byte(nameKey + host), Value: value})
		}
	}

	// A row without a value is deleted from the journal.
	for host := range n.saved {
		if _, ok := now[host]; !ok {
			rows = append(rows, journal.Row{Key: []byte(nameKey + host)})
		}
	}

	if len(rows) > 0 && take(rows) {
		n.saved = now
	}
}
