package app

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"

	"github.com/amifend/amifend/cmd/amifend/internal/control"
	"github.com/amifend/amifend/cmd/amifend/internal/journal"
)

// allowedNames lists the host names whose addresses are never banned. It is called with the lock of the allowances.
func (k *desk) allowedNames() (out []control.Allowed) {
	addresses := k.watcher.Addresses()
	for _, host := range k.config.Load().Names {
		out = append(out, control.Allowed{Name: host, Addresses: addresses[host], Reason: "allowlist ([allow] names)"})
	}
	for whom, a := range k.allowances.byWhom {
		if whom.host != "" {
			out = append(out, control.Allowed{Name: whom.host, Addresses: addresses[whom.host], Reason: a.reason(), Until: a.Until, Command: true})
		}
	}
	slices.SortStableFunc(out, func(a, b control.Allowed) int { return strings.Compare(a.Name, b.Name) })
	return out
}

// allowName has the addresses of a name never banned. One that does not resolve is refused: it may be misspelt.
func (k *desk) allowName(ctx context.Context, by control.Peer, whom subject, a allowance, reason string) (control.Allowed, error) {
	addrs, err := k.watcher.Resolve(ctx, whom.host)
	if err != nil {
		return control.Allowed{}, control.Errorf(control.CodeFailed, "%s does not resolve, and nothing was changed: %s", whom, printable(err.Error())).
			Advise("see whether it is spelt right: getent ahosts %s; to have it allowed once DNS works again, write it into [allow] names and say amifend reload", whom)
	}
	if err := k.allowances.add(whom, a); err != nil {
		return control.Allowed{}, err
	}
	k.relist()
	k.watcher.Remember(whom.host, addrs)
	k.saveAllowances()
	k.record(by, "allow", whom.host, reason)
	out := control.Allowed{Name: whom.host, Addresses: k.watcher.Addresses()[whom.host], Reason: a.reason(), Until: a.Until, Command: true}
	for _, addr := range out.Addresses {
		if err := k.awaitProtected(ctx, netip.PrefixFrom(addr, addr.BitLen())); err != nil {
			return out, err
		}
	}
	out.Note = k.diskNote(ctx)
	return out, nil
}

// DisallowName takes out a name that Allow put in.
func (k *desk) DisallowName(ctx context.Context, by control.Peer, name string) (control.Allowed, error) {
	a, note, err := k.disallow(ctx, by, subject{host: name}, printable(name))
	return control.Allowed{Name: name, Reason: a.reason(), Until: a.Until, Command: true, Note: note}, err
}

// nameWarnings tells of names that do not resolve.
func (k *desk) nameWarnings() (out []control.Warning) {
	for _, e := range k.watcher.Unresolved() {
		if e.Server != "" {
			continue // its session says so
		}
		what := fmt.Sprintf("%s has not resolved yet, so nobody is allowed by it", e.Host)
		if e.Kept > 0 {
			what = fmt.Sprintf("%s does not resolve, its last addresses (%d) stay allowed", e.Host, e.Kept)
		}
		out = append(out, control.Warning{
			About: "allowlist", What: what + ": " + printable(e.Err.Error()), Do: "see whether the name is right and DNS works: getent ahosts " + e.Host,
		})
	}
	return out
}

// nameKey begins the keys of names among the journal's rows; the value is a list of addresses.
const nameKey = "name/"

// nameKeeper tells the journal which addresses names have, so that they are known after a restart while DNS fails. It is of the
// goroutine that keeps the allowances.
type nameKeeper struct {
	kept map[string][]netip.Addr // as the journal has them
}

// load takes in a row of the journal.
func (n *nameKeeper) load(r journal.Row) {
	host, ok := strings.CutPrefix(string(r.Key), nameKey)
	var addrs []netip.Addr
	if !ok || json.Unmarshal(r.Value, &addrs) != nil {
		return
	}
	if n.kept == nil {
		n.kept = map[string][]netip.Addr{}
	}
	n.kept[host] = addrs
}

// recall returns the addresses of names that have none now.
func (n *nameKeeper) recall(now map[string][]netip.Addr) map[string][]netip.Addr {
	old := maps.Clone(n.kept)
	maps.DeleteFunc(old, func(host string, _ []netip.Addr) bool { return len(now[host]) > 0 })
	return old
}

// save hands to the journal what changed. It takes all or nothing.
func (n *nameKeeper) save(now map[string][]netip.Addr, take func([]journal.Row) bool) {
	var rows []journal.Row
	for host, addrs := range now {
		if !slices.Equal(n.kept[host], addrs) {
			value, _ := json.Marshal(addrs) // texts: it cannot fail
			rows = append(rows, journal.Row{Key: []byte(nameKey + host), Value: value})
		}
	}
	for host := range n.kept {
		if _, ok := now[host]; !ok {
			rows = append(rows, journal.Row{Key: []byte(nameKey + host)})
		}
	}
	if len(rows) > 0 && take(rows) {
		n.kept = now
	}
}
