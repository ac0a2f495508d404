package journal

import "sync"

// Bounds of what may wait. For bans and lifts see [Options.MaxWaiting].
const (
	mostAlerts     = 1000
	mostOperations = 1000
	mostCounts     = 16
	// MostRows is the largest number of rows of state in one call.
	MostRows = 5000
)

// entry holds what happened to one ban since it was last written: a lift, then a ban, then a lift
// of that.
type entry struct {
	key  Key
	lift *Lift
	ban  *Ban
	end  *Lift // of ban
}

// addBan records a ban after what is known.
func (e *entry) addBan(b *Ban) {
	if b.Found && (e.ban != nil || e.lift != nil) {
		return // more is known already
	}
	e.ban, e.end = b, nil
}

// addLift records a lift of the known ban, or else of the one before.
func (e *entry) addLift(l *Lift) {
	if e.ban != nil {
		e.end = l
		return
	}
	e.lift = l
}

// add merges what happened after e.
func (e *entry) add(next *entry) {
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

// pending holds what waits to be written. Changes of one key are merged.
type pending struct {
	entries    map[Key]*entry
	order      []Key // of entries, each key once
	alerts     []Alert
	operations []Operation
	counts     []func() []Total
	rows       []Row
	blocks     []Block
}

// entry returns the entry of a key. It makes one if there is room, and returns nil if not.
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

// queue passes data to the journal's goroutine. A call takes the same short time however much
// waits.
type queue struct {
	wake chan struct{} // holds a token while there may be something to take
	most int           // bound of keys

	mu      sync.Mutex
	pending pending
	lost    uint64 // bans and lifts that found no room
	full    bool   // a block is not written yet
	round   bool   // a round of blocks is due
}

func newQueue(most int) *queue {
	return &queue{wake: make(chan struct{}, 1), most: most}
}

// put calls f with what waits, and wakes the journal's goroutine.
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
			return
		}
		q.lost++
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

// save takes rows of state if the rows before were taken.
func (q *queue) save(rows []Row) (ok bool) {
	q.put(func(p *pending) {
		if ok = len(p.rows) == 0 && len(rows) <= MostRows; ok {
			p.rows = rows
		}
	})
	return ok
}

// keep takes a block if the block before is written.
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

func (q *queue) wants() (block, round bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	return !q.full, q.round
}

// demand records whether the last block still waits, and whether a round is due.
func (q *queue) demand(full, round bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.full, q.round = full || len(q.pending.blocks) > 0, round
}

// take empties the queue, and returns how much was lost since the last call.
func (q *queue) take() (pending, uint64) {
	q.mu.Lock()
	defer q.mu.Unlock()
	p, lost := q.pending, q.lost
	q.pending, q.lost = pending{}, 0
	return p, lost
}
