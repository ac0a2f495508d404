package journal

import (
	"cmp"
	"net/netip"
	"slices"
	"time"

	"github.com/amifend/amifend/firewall"
)

// Others is the name of the row with the sum of all names that had no room.
const Others = "(others)"

// mostNames bounds the sources and accounts that get a row of their own in one hour.
const mostNames = 20_000

// totalKey identifies one hourly total.
type totalKey struct {
	hour         int64
	server, name string
	account      bool
}

// backlog holds the records that were taken from the queue and are not written yet. It grows up to
// a bound while nothing can be written. Only the journal's goroutine uses it.
type backlog struct {
	pending
	most   int // the largest number of entries
	totals map[totalKey]*Total
	names  map[totalKey]struct{} // those with a row of their own in the latest hour
	hour   int64                 // the latest hour
	sorted int                   // keys at the beginning of order that are in order of prefixes
	lost   uint64
}

// add moves the content of the queue into the backlog.
func (b *backlog) add(p pending, now time.Time) {
	if p.all != nil {
		b.liftAll(p.all)
		b.sorted = 0
	}

	// If there is no room, bans that have ended are dropped, because they are history only.
	for i, k := range p.order {
		e := b.entry(k, b.most)
		if e == nil {
			b.dropEnded(now)
			if e = b.entry(k, b.most); e == nil {
				b.lost += uint64(len(p.order) - i)
				break
			}
		}

		e.add(p.entries[k])
		b.lifted(e)
	}

	for i := range p.alerts {
		b.alerts = addAlert(b.alerts, &p.alerts[i])
	}
	b.operations = append(b.operations,
		p.operations[:min(len(p.operations), mostOperations-len(b.operations))]...)

	// The functions copy totals. They are called here, so that the caller does not wait for that.
	for _, totals := range p.counts {
		b.count(totals())
	}

	b.blocks = append(b.blocks, p.blocks...)
	if len(p.rows) > 0 {
		b.addRows(p.rows)
	}
}

// addRows adds rows of the table state. The last row of a key wins. The number is bounded, so that
// rows do not pile up while the disk accepts nothing.
func (b *backlog) addRows(rows []Row) {
	if len(b.rows) == 0 {
		b.rows = rows
		return
	}

	// Without the map, each new row would be compared with all that wait.
	at := make(map[string]int, len(b.rows))
	for i, r := range b.rows {
		at[string(r.Key)] = i
	}

	for _, r := range rows {
		if i, ok := at[string(r.Key)]; ok {
			b.rows[i] = r
		} else if len(b.rows) < 2*MostRows {
			b.rows = append(b.rows, r)
		}
	}
}

// dropEnded drops bans that have ended. They are history, which can be lost without harm.
func (b *backlog) dropEnded(now time.Time) {
	kept := b.order[:0]
	for _, k := range b.order {
		e := b.entries[k]
		if e != nil && e.ban != nil && !e.ban.Until.After(now) && e.lift == nil {
			delete(b.entries, k)
			b.lost++
			continue
		}
		if e != nil {
			kept = append(kept, k)
		}
	}

	b.order, b.sorted = kept, 0
}

// count adds hourly totals.
func (b *backlog) count(totals []Total) {
	for _, t := range totals {
		k := totalKey{t.Hour.UnixMilli(), t.Server, t.Name, t.Account}
		if b.totals == nil || k.hour > b.hour {
			b.totals = mergeable(b.totals)
			b.names, b.hour = make(map[totalKey]struct{}), k.hour
		}

		// Attackers invent names. The bound limits them in memory and on disk.
		if _, ok := b.names[k]; !ok && len(b.names) >= mostNames {
			k.name, t.Name = Others, Others
		} else {
			b.names[k] = struct{}{}
		}

		if sum := b.totals[k]; sum != nil {
			sum.Failures += t.Failures
			sum.Logins += t.Logins
			sum.Ways |= t.Ways
			sum.Networks |= t.Networks
			continue
		}

		b.totals[k] = &t
	}
}

// mergeable returns the totals of earlier hours that wait to be written. If they are too many,
// nothing was written for an hour, and it returns an empty map.
func mergeable(totals map[totalKey]*Total) map[totalKey]*Total {
	if totals == nil || len(totals) > 2*mostNames {
		return make(map[totalKey]*Total)
	}
	return totals
}

// urgent reports whether anything must be written at once. Totals can wait.
func (b *backlog) urgent() bool { return len(b.entries) > 0 || b.pressing() }

// pressing reports whether anything but bans that are not lifted must be written at once.
func (b *backlog) pressing() bool {
	return b.all != nil ||
		len(b.lifts)+len(b.alerts)+len(b.operations)+len(b.rows)+len(b.blocks) > 0
}

// batch returns the content of the next commit: lifts, alerts and operations first, then at most n
// bans that are not lifted. They stay in the backlog until [backlog.written].
func (b *backlog) batch(n int, withTotals bool) *batch {
	// There are at most two blocks: one of [queue.keep], and that of a LiftAll.
	out := &batch{
		all: b.all, alerts: b.alerts, operations: b.operations, blocks: b.blocks,
		rows: b.rows[:min(len(b.rows), MostRows)],
	}

	// An operator waits for the lift of all bans, so the bans are left to the next commit.
	if b.all != nil {
		return out
	}

	for _, k := range b.lifts[:min(len(b.lifts), groupMost)] {
		out.lifts++
		if e := b.entries[k]; e != nil {
			out.bans = append(out.bans, e)
		}
	}

	// Then the bans, oldest first, or of very many in the order of their prefixes. Those with a lift
	// are in the batch already, or will be soon.
	b.sort()
	for _, k := range b.order {
		if n == 0 || len(out.bans) >= groupMost {
			break
		}
		out.order++
		if e := b.entries[k]; e != nil && !e.front {
			n--
			out.bans = append(out.bans, e)
		}
	}

	// Totals can wait while there are many bans.
	if len(out.bans) >= groupMost {
		return out
	}

	if withTotals {
		for k, t := range b.totals {
			if len(out.totals) == groupMost {
				break
			}
			out.totals = append(out.totals, t)
			out.keys = append(out.keys, k)
		}
	}

	return out
}

// hurry has the bans that cover an address written first, and reports whether any wait.
func (b *backlog) hurry(addr netip.Addr) (found bool) {
	for bits := range addr.BitLen() + 1 {
		p := netip.PrefixFrom(addr, bits).Masked()
		for scope := firewall.ScopeAll; scope <= firewall.ScopeStream; scope++ {
			e := b.entries[Key{p, scope}]
			if e == nil {
				continue
			}
			found = true
			if !e.front {
				e.front = true
				b.lifts = append(b.lifts, e.key)
			}
		}
	}
	return found
}

// sort puts the first keys in the order of their prefixes, if there are more than one commit takes.
// Then a commit changes few pages of the database's index, which is in nearly that order: in no order
// it would change nearly all of them.
func (b *backlog) sort() {
	if b.sorted > 0 || len(b.order) <= groupMost {
		return
	}
	b.sorted = min(len(b.order), runMost)
	slices.SortFunc(b.order[:b.sorted], func(x, y Key) int {
		return cmp.Or(x.Prefix.Compare(y.Prefix), cmp.Compare(x.Scope, y.Scope))
	})
}

// written removes a batch from the backlog.
func (b *backlog) written(w *batch) {
	for _, e := range w.bans {
		delete(b.entries, e.key)
	}

	b.lifts, b.order = b.lifts[w.lifts:], b.order[w.order:]
	b.sorted = max(0, b.sorted-w.order)
	if len(b.entries) == 0 {
		// A map keeps its memory however few it has.
		b.lifts, b.order, b.entries, b.sorted = nil, nil, nil, 0
	}
	if w.all != nil {
		b.all = nil // while it is written, nothing is added
	}

	b.alerts = b.alerts[len(w.alerts):]
	b.operations = b.operations[len(w.operations):]
	b.rows = b.rows[len(w.rows):]
	b.blocks = b.blocks[len(w.blocks):]

	for _, k := range w.keys {
		delete(b.totals, k)
	}
}
