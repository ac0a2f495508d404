package enforce

import (
	"net/netip"

	"github.com/amifend/amifend/cmd/amifend/internal/bans"
	"github.com/amifend/amifend/cmd/amifend/internal/compact"
	"github.com/amifend/amifend/firewall"
)

// How the ledger hands out work.
const (
	sendMost   = 2048 // changes at a time: some 10 ms of the time of the kernel
	probeFirst = 64   // bans to try at a set that was full
	sweepMost  = 4096 // bans that have run out, forgotten at a time
)

// ledger is the state that the kernel must have, and how it differs from what the kernel is known
// to have. Each ban and lift stays until the kernel has acknowledged it, whatever fails in between.
// The cost of a change hardly depends on how many bans there are.
type ledger struct {
	bans    map[compact.Key]*held
	stories stories

	// The same bans in three orders: a list costs what it shows.
	byKey, byAge, byEnd ordered
	filling             bool // bans come from the journal, and are put in order at the end

	queue   []*held // has all that are sending, and perhaps others
	sending int
	lifts   map[compact.Key]string // elements to take out, and why; "": nobody needs to know
	full    map[bans.Set]*waitingRoom

	scopes [firewall.ScopeStream + 1]int // how many bans there are of each scope

	clearing *clearing // all bans before are to be lifted; nil: none are

	// liftedSince has what left the ledger since the journal was asked; nil: no question is open.
	liftedSince map[compact.Key]struct{}
}

// clearing is an order to lift all bans that the kernel has not carried out.
type clearing struct {
	bans int // how many there were
	why  string
}

func newLedger() *ledger {
	return &ledger{
		bans:    make(map[compact.Key]*held),
		stories: make(stories),
		byKey:   ordered{compare: byKey},
		byAge:   ordered{compare: byAge},
		byEnd:   ordered{compare: byEnd},
		lifts:   make(map[compact.Key]string),
		full:    make(map[bans.Set]*waitingRoom),
	}
}

// get returns the ban of a key; nil if there is none.
func (l *ledger) get(prefix netip.Prefix, scope firewall.Scope) *held {
	return l.bans[compact.Of(prefix, scope)]
}

// pending returns how many changes the kernel does not have yet. Bans that wait for room do not
// count.
func (l *ledger) pending() int { return l.sending + l.lifting() }

// lifting returns how many lifts the kernel does not have yet. An order to lift all bans counts as
// one at least: how many elements there are is not known.
func (l *ledger) lifting() int {
	if l.clearing == nil {
		return len(l.lifts)
	}
	return max(1, l.clearing.bans)
}

// put takes in a ban, in the place of one with the same key, and returns it.
func (l *ledger) put(b *bans.Ban) *held {
	h := &held{
		key: compact.Of(b.Prefix, b.Scope), story: l.stories.of(b.Rule, b.Servers),
		decided: b.Decided.UnixNano(), duration: int64(b.Duration), expiry: b.Expiry,
		score: b.Score, attempts: int32(b.Attempts), strike: int32(b.Strike),
	}
	if b.Evidence != "" {
		h.details = &details{b.Evidence, b.Accounts}
	}

	if old := l.bans[h.key]; old != nil {
		l.unlist(old)
	}
	l.bans[h.key] = h
	l.scopes[h.key.Scope()]++
	if !l.filling {
		l.byKey.insert(h)
		l.byAge.insert(h)
		l.byEnd.insert(h)
	}
	return h
}

// unlist takes a ban out of all orders, and out of the queue.
func (l *ledger) unlist(h *held) {
	h.dropped = true
	l.scopes[h.key.Scope()]--
	l.sent(h)
	if !l.filling {
		l.byKey.remove(h)
		l.byAge.remove(h)
		l.byEnd.remove(h)
	}
}

// fill calls f, which takes in very many bans. Putting them in order one by one would take longer.
func (l *ledger) fill(f func()) {
	l.filling = true
	f()
	l.filling = false

	all := make([]*held, 0, len(l.bans))
	for _, h := range l.bans {
		all = append(all, h)
	}
	for _, o := range []*ordered{&l.byAge, &l.byEnd, &l.byKey} {
		o.blocks = nil
		o.fill(all)
	}
}

// setExpiry changes when a ban runs out.
func (l *ledger) setExpiry(h *held, expiry int64) {
	l.byEnd.remove(h)
	h.expiry = expiry
	l.byEnd.insert(h)
}

// liftAll wants no ban in the kernel that is there now.
func (l *ledger) liftAll(why string) {
	n := len(l.bans)
	if l.clearing != nil {
		n += l.clearing.bans
	}
	*l = *newLedger()
	l.clearing = &clearing{n, why}
}

// expect takes in a ban of an earlier run, which was logged then. The kernel may have it; see
// sendUnconfirmed.
func (l *ledger) expect(b *bans.Ban) { l.put(b).logged = true }

// sendUnconfirmed sends the expected bans that were not found in the kernel, and counts them.
func (l *ledger) sendUnconfirmed() (n int) {
	for h := range l.byAge.after(nil) {
		if h.acked == 0 {
			l.send(h)
			n++
		}
	}
	return n
}

// ban wants b in the kernel, and returns it.
func (l *ledger) ban(b *bans.Ban) *held {
	k := compact.Of(b.Prefix, b.Scope)
	delete(l.lifts, k)

	old := l.bans[k]
	h := l.put(b)

	// To refresh an element needs no room. A new element waits with the others.
	if f := l.full[setOf(k)]; f != nil && (old == nil || old.acked == 0) {
		f.waiting[k] = struct{}{}
		return h
	}

	l.send(h)
	return h
}

// setOf returns the set that an element is in.
func setOf(k compact.Key) bans.Set { return keyOf(k).Set() }

// lift wants nothing of prefix in the kernel.
func (l *ledger) lift(prefix netip.Prefix, why string) {
	for _, scope := range bans.Scopes() {
		l.liftOne(compact.Of(prefix, scope), why)
	}
}

// liftOne lifts the ban of one scope.
func (l *ledger) liftOne(k compact.Key, why string) {
	l.noteLifted(k)
	h := l.bans[k]
	if h == nil {
		return
	}

	if !l.waits(k) { // else the kernel never had it
		l.lifts[k] = why
	}
	l.drop(h)
}

// noteLifted notes that the answer to an open question does not count for a ban.
func (l *ledger) noteLifted(k compact.Key) {
	if l.liftedSince != nil {
		l.liftedSince[k] = struct{}{}
	}
}

// drop removes a ban, whatever the kernel has of it.
func (l *ledger) drop(h *held) {
	l.noteLifted(h.key)
	l.unlist(h)
	delete(l.bans, h.key)
	if f := l.full[setOf(h.key)]; f != nil {
		delete(f.waiting, h.key)
	}
}

// adopt takes over an element that the kernel has, and returns its ban.
func (l *ledger) adopt(b *bans.Ban, now int64) *held {
	h := l.put(b)
	h.acked, h.logged = now, true
	return h
}

// done notes a change that the kernel has acknowledged. It returns the ban, or nil and the reason
// of a lift.
func (l *ledger) done(c firewall.Change, now int64) (h *held, why string) {
	k := compact.Of(c.Prefix, c.Scope)
	if c.Lift {
		why = l.lifts[k]
		delete(l.lifts, k)
		return nil, why
	}

	if h = l.bans[k]; h == nil {
		return nil, "" // a wider ban in the same changes has replaced it
	}

	l.sent(h)
	h.acked = now
	h.read = reading{} // the element is new, and so is its counter

	// A wider ban that lasts as long makes the narrow one needless. It is taken out only now: if
	// the wider set had been full, the narrow ban would have been the only one.
	for _, scope := range bans.Scopes() {
		if scope == c.Scope {
			continue
		}
		if n := l.bans[k.WithScope(scope)]; n != nil && h.replaces(n) {
			l.drop(n)
			l.lifts[n.key] = ""
		}
	}

	return h, ""
}

// sweep drops bans that have run out, some of them if there are many, and reports whether there are
// more. The kernel lets them go by itself.
func (l *ledger) sweep(now int64) (more bool) {
	var over []*held
	for h := range l.byEnd.after(nil) {
		if h.expiry > now {
			break
		}
		if len(over) == sweepMost {
			more = true
			break
		}
		over = append(over, h)
	}

	for _, h := range over {
		l.drop(h)
	}
	return more
}

// some returns the next bans after one, in an order, as many as are compared in one round of work.
func (l *ledger) some(o *ordered, after *held) []*held {
	out := make([]*held, 0, min(compareMost, len(l.bans)))
	for h := range o.after(after) {
		if out = append(out, h); len(out) == compareMost {
			break
		}
	}
	return out
}

// covers reports whether an address is banned.
func (l *ledger) covers(addr netip.Addr) bool {
	for _, k := range bans.Covering(addr) {
		if l.get(k.Prefix, k.Scope) != nil {
			return true
		}
	}
	return false
}
