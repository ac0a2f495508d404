package journal

import (
	"slices"
	"sync"
)

// Bounds of the records that may wait. For bans and lifts see [Options.MaxWaiting].
const (
	mostAlerts     = 1000
	mostOperations = 1000
	mostCounts     = 16
	// MostRows is the largest number of rows of state in one call.
	MostRows = 5000
)

// entry holds the changes of one key since it was last written, in this order: the lift of a
// written ban, a new ban, and the lift of the new ban.
type entry struct {
	key   Key
	front bool // it is in pending.lifts
	lift  *Lift
	ban   *Ban
	end   *Lift // of ban
}

// addBan records a ban after the changes so far.
func (e *entry) addBan(b *Ban) {
	if b.Found && (e.ban != nil || e.lift != nil) {
		return // a ban that was found in the kernel tells less
	}
	e.ban, e.end = b, nil
}

// addLift records the lift of the new ban or, if there is none, of the written one.
func (e *entry) addLift(l *Lift) {
	if e.ban != nil {
		e.end = l
		return
	}
	e.lift = l
}

// add merges the changes that came after those of e.
func (e *entry) add(next *entry) {
	// The order is that in which they happened.
	if next.lift != nil {
		e.addLift(next.lift)
	}
	if next.ban != nil {
		e.addBan(next.ban)
	}
	if next.end != nil {
		e.addLift(next.end)
	}
}

// pending holds the records that wait to be written. Changes of one key are merged.
type pending struct {
	all     *LiftAll // before all entries; nil: none
	entries map[Key]*entry
	// The keys of entries in the order of arrival: lifts has those with a lift, order has all. The
	// entry of a key may have been written already.
	lifts, order []Key
	alerts       []Alert
	operations   []Operation
	counts       []func() []Total
	rows         []Row
	blocks       []Block
}

// entry returns the entry of a key, or a new one. It returns nil if there is no room for one.
func (p *pending) entry(k Key, most int) *entry {
	e := p.entries[k]
	if e == nil && len(p.entries) < most {
		if p.entries == nil {
			p.entries = make(map[Key]*entry)
		}
		e = &entry{key: k}
		p.entries[k] = e
		p.order = append(p.order, k)
	}

	return e
}

// lifted puts an entry with a lift before the others, because a crash must not undo a lift.
func (p *pending) lifted(e *entry) {
	if !e.front && (e.lift != nil || e.end != nil) {
		e.front = true
		p.lifts = append(p.lifts, e.key)
	}
}

// liftAll records a LiftAll, which makes all waiting changes of bans superfluous. So is the block
// of an earlier LiftAll.
func (p *pending) liftAll(l *LiftAll) {
	p.all = l
	p.entries, p.lifts, p.order = nil, nil, nil
	p.blocks = slices.DeleteFunc(p.blocks, func(b Block) bool { return b.general })
}

// queue passes records to the journal's goroutine. A call takes the same short time however many
// wait.
type queue struct {
	wake chan struct{} // holds a token while there may be something to take
	most int           // the largest number of keys

	mu      sync.Mutex
	pending pending
	lost    uint64 // bans and lifts for which there was no room
	full    bool   // a block is not written yet
	round   bool   // a round of blocks is due
}

// newQueue returns a queue for the changes of at most `most` bans.
func newQueue(most int) *queue {
	return &queue{wake: make(chan struct{}, 1), most: most}
}

// put calls f with the waiting records, and wakes the journal's goroutine.
func (q *queue) put(f func(p *pending)) {
	q.mu.Lock()
	f(&q.pending)
	q.mu.Unlock()

	select {
	case q.wake <- struct{}{}:
	default:
	}
}

func (q *queue) ban(b Ban) {
	q.put(func(p *pending) {
		if e := p.entry(b.Key, q.most); e != nil {
			e.addBan(&b)
			return
		}
		q.lost++
	})
}

func (q *queue) lift(l Lift) {
	q.put(func(p *pending) {
		if e := p.entry(l.Key, q.most); e != nil {
			e.addLift(&l)
			p.lifted(e)
			return
		}
		q.lost++
	})
}

func (q *queue) liftAll(l LiftAll) {
	q.put(func(p *pending) {
		p.liftAll(&l)
		if len(l.Block) > 0 {
			p.blocks = append(p.blocks, Block{Data: l.Block, general: true})
		}
	})
}

func (q *queue) alert(a Alert) {
	q.put(func(p *pending) { p.alerts = addAlert(p.alerts, &a) })
}

func (q *queue) operation(o Operation) {
	q.put(func(p *pending) {
		if len(p.operations) < mostOperations {
			p.operations = append(p.operations, o)
		}
	})
}

func (q *queue) count(totals func() []Total) {
	q.put(func(p *pending) {
		if len(p.counts) < mostCounts {
			p.counts = append(p.counts, totals)
		}
	})
}

// save is [Journal.Save].
func (q *queue) save(rows []Row) (ok bool) {
	q.put(func(p *pending) {
		if ok = len(p.rows) == 0 && len(rows) <= MostRows; ok {
			p.rows = rows
		}
	})
	return ok
}

// keep is [Journal.Keep].
func (q *queue) keep(b Block) (ok bool) {
	q.put(func(p *pending) {
		if ok = !q.full; ok {
			p.blocks = append(p.blocks, b)
			q.full = true
			q.round = q.round && !b.First
		}
	})
	return ok
}

// wants is [Journal.Wants].
func (q *queue) wants() (block, round bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	return !q.full, q.round
}

// demand records what [queue.wants] returns: whether the last block still waits, and whether a
// round is due.
func (q *queue) demand(full, round bool) {
	q.mu.Lock()
	defer q.mu.Unlock()

	q.full, q.round = full || len(q.pending.blocks) > 0, round
}

// take empties the queue. It returns its records, and the number of bans and lifts that were lost
// since the last call.
func (q *queue) take() (pending, uint64) {
	q.mu.Lock()
	defer q.mu.Unlock()

	p, lost := q.pending, q.lost
	q.pending, q.lost = pending{}, 0
	return p, lost
}
