package journal

import "time"

// Others is the name that stands for all names for which there was no room.
const Others = "(others)"

// mostNames is how many sources and accounts together have a row of their own an hour.
const mostNames = 20_000

type totalKey struct {
	hour         int64
	server, name string
	account      bool
}

// backlog is what was taken from the queue and is not written yet. While nothing can be written it
// grows, up to a bound. It is the journal's goroutine's own.
type backlog struct {
	pending
	most   int
	totals map[totalKey]*Total
	names  map[totalKey]struct{} // that have a row of their own in the latest hour
	hour   int64                 // that hour
	lost   uint64
}

// add takes in what came from the queue.
func (b *backlog) add(p pending, now time.Time) {
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
	}

	b.alerts = append(b.alerts, p.alerts[:min(len(p.alerts), mostAlerts-len(b.alerts))]...)
	b.operations = append(b.operations,
		p.operations[:min(len(p.operations), mostOperations-len(b.operations))]...)
	for _, totals := range p.counts {
		b.count(totals())
	}

	b.blocks = append(b.blocks, p.blocks...)
	if len(p.rows) > 0 {
		b.addRows(p.rows)
	}
}

// addRows adds rows of the table state. Of one key the last one counts, and there is a bound, so
// that a disk that takes nothing does not make them pile up.
func (b *backlog) addRows(rows []Row) {
	if len(b.rows) == 0 {
		b.rows = rows
		return
	}

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

// dropEnded drops the bans that are over: history is what can be spared best.
func (b *backlog) dropEnded(now time.Time) {
	kept := b.order[:0]
	for _, k := range b.order {
		if e := b.entries[k]; e.ban != nil && !e.ban.Until.After(now) && e.lift == nil {
			delete(b.entries, k)
			b.lost++
			continue
		}
		kept = append(kept, k)
	}

	b.order = kept
}

// count adds totals.
func (b *backlog) count(totals []Total) {
	for _, t := range totals {
		k := totalKey{t.Hour.UnixMilli(), t.Server, t.Name, t.Account}
		if b.totals == nil || k.hour > b.hour {
			b.totals, b.names, b.hour = mergeable(b.totals), make(map[totalKey]struct{}), k.hour
		}

		if _, ok := b.names[k]; !ok && len(b.names) >= mostNames {
			k.name, t.Name = Others, Others
		} else {
			b.names[k] = struct{}{}
		}

		if sum := b.totals[k]; sum != nil {
			sum.Failures += t.Failures
			sum.Logins += t.Logins
			continue
		}

		b.totals[k] = &t
	}
}

// mergeable is what may still wait of the hours before. If nothing could be written in an hour it
// is too much.
func mergeable(totals map[totalKey]*Total) map[totalKey]*Total {
	if totals == nil || len(totals) > 2*mostNames {
		return make(map[totalKey]*Total)
	}
	return totals
}

// urgent tells whether anything is to be written at once. Totals are not.
func (b *backlog) urgent() bool {
	return len(b.order)+len(b.alerts)+len(b.operations)+len(b.rows)+len(b.blocks) > 0
}

// batch returns what to write next: bans, alerts and operations first. It stays in the backlog
// until [backlog.written].
func (b *backlog) batch(n int, withTotals bool) *batch {
	// one block at most, see [queue.keep]
	out := &batch{alerts: b.alerts, operations: b.operations, blocks: b.blocks}
	for _, k := range b.order[:min(n, len(b.order))] {
		out.bans = append(out.bans, b.entries[k])
	}

	if len(out.bans) == n {
		return out
	}

	out.rows = b.rows[:min(len(b.rows), MostRows)]
	if withTotals {
		for k, t := range b.totals {
			if len(out.totals) == n {
				break
			}
			out.totals = append(out.totals, t)
			out.keys = append(out.keys, k)
		}
	}

	return out
}

// written forgets a batch.
func (b *backlog) written(w *batch) {
	for _, e := range w.bans {
		delete(b.entries, e.key)
	}

	if b.order = b.order[len(w.bans):]; len(b.order) == 0 {
		b.order = nil // and its memory
	}

	b.alerts, b.operations, b.rows = b.alerts[len(w.alerts):], b.operations[len(w.operations):],
		b.rows[len(w.rows):]

	b.blocks = b.blocks[len(w.blocks):]
	for _, k := range w.keys {
		delete(b.totals, k)
	}
}
