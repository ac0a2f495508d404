package app

import (
	"net/netip"

	"github.com/amifend/amifend/firewall"
)

// How the ledger hands out work.
const (
	sendMost   = 4096 // changes at a time: some 20 ms of the kernel's time
	probeFirst = 64   // bans to try at a set that was full
)

// held is one ban that the kernel must have.
type held struct {
	Ban
	acked int64 // when the kernel acknowledged it, 0: it has not
	told  bool
}

// decided is when it was decided or found.
func (h *held) decided() int64 { return h.until - int64(h.Duration) }

// crowd are bans that found their set full, and when to try some of them again.
type crowd struct {
	waiting map[key]struct{}
	retry   int64
	try     int // how many to try then
}

// ledger is the state that the kernel must have, and how it differs from what the kernel is known to have. Each ban and
// lift stays until the kernel has acknowledged it, whatever fails in between. What a change costs does not depend on how
// many bans there are.
type ledger struct {
	bans  map[key]*held
	send  map[key]struct{} // bans that the kernel does not have, or not so
	lifts map[key]string   // elements that the kernel must not have any more, and why; "": nobody needs to know
	full  map[class]*crowd
	gone  map[key]struct{} // what was lifted since the journal was asked; nil: no question is open
}

func newLedger() *ledger {
	return &ledger{
		bans: make(map[key]*held), send: make(map[key]struct{}), lifts: make(map[key]string), full: make(map[class]*crowd),
	}
}

// grow makes room for very many bans that come at once, before there are any.
func (l *ledger) grow(n int) { l.bans = make(map[key]*held, n) }

// expect takes in a ban that was told by an earlier run. The kernel may have it: see sendMissing.
func (l *ledger) expect(b Ban) { l.bans[b.key()] = &held{Ban: b, told: true} }

// sendMissing wants the expected bans in the kernel that were not found there, and counts them.
func (l *ledger) sendMissing() (n int) {
	for k, h := range l.bans {
		if h.acked == 0 {
			l.send[k] = struct{}{}
			n++
		}
	}
	return n
}

// ban wants b in the kernel.
func (l *ledger) ban(b Ban) {
	k := b.key()
	delete(l.lifts, k)
	old := l.bans[k]
	l.bans[k] = &held{Ban: b}
	if f := l.full[k.class()]; f != nil && (old == nil || old.acked == 0) { // the refresh of an element needs no room
		f.waiting[k] = struct{}{}
		return
	}
	l.send[k] = struct{}{}
}

// lift wants nothing of prefix in the kernel.
func (l *ledger) lift(prefix netip.Prefix, why string) {
	for _, scope := range [...]firewall.Scope{firewall.ScopeAll, firewall.ScopeSIP} {
		l.liftOne(key{prefix, scope}, why)
	}
}

// liftOne is lift of one scope.
func (l *ledger) liftOne(k key, why string) {
	if l.gone != nil {
		l.gone[k] = struct{}{}
	}
	if _, ok := l.bans[k]; !ok {
		return
	}
	if !l.waits(k) { // else the kernel never had it
		l.lifts[k] = why
	}
	l.drop(k)
}

// waits tells whether a ban waits for room.
func (l *ledger) waits(k key) bool {
	f := l.full[k.class()]
	if f == nil {
		return false
	}
	_, ok := f.waiting[k]
	return ok
}

// drop forgets a ban.
func (l *ledger) drop(k key) {
	delete(l.bans, k)
	delete(l.send, k)
	if f := l.full[k.class()]; f != nil {
		delete(f.waiting, k)
	}
}

// adopt takes over an element that the kernel has.
func (l *ledger) adopt(b Ban, now int64) {
	l.bans[b.key()] = &held{Ban: b, acked: now, told: true}
}

// next returns changes to make, some of them if there are many.
func (l *ledger) next(now int64, c clock) []firewall.Change {
	l.admit(now)
	out := make([]firewall.Change, 0, min(len(l.lifts)+len(l.send), sendMost))
	for k := range l.lifts {
		if len(out) == sendMost {
			return out
		}
		out = append(out, firewall.Change{Ban: firewall.Ban{Prefix: k.prefix, Scope: k.scope}, Lift: true})
	}
	for k := range l.send {
		if len(out) == sendMost {
			return out
		}
		h := l.bans[k]
		if h.until <= now {
			l.drop(k) // the kernel lets it run out by itself
			continue
		}
		out = append(out, firewall.Change{Ban: firewall.Ban{Prefix: k.prefix, Scope: k.scope, Until: c.deadline(h.until)}})
	}
	return out
}

// admit lets some of the bans that found their set full try again.
func (l *ledger) admit(now int64) {
	for c, f := range l.full {
		if f.retry > now {
			continue
		}
		n := f.try
		for k := range f.waiting {
			if n == 0 {
				break
			}
			n--
			delete(f.waiting, k)
			l.send[k] = struct{}{}
		}
		f.try = min(2*f.try, sendMost) // applied sets it back if there is no room
		if len(f.waiting) == 0 {
			delete(l.full, c)
		}
	}
}

// done notes a change that the kernel has acknowledged. It returns the ban, or nil for a lift and its reason.
func (l *ledger) done(c firewall.Change, now int64) (h *held, why string) {
	k := key{c.Prefix, c.Scope}
	if c.Lift {
		why = l.lifts[k]
		delete(l.lifts, k)
		return nil, why
	}
	delete(l.send, k)
	if h = l.bans[k]; h == nil {
		return nil, "" // the same changes held a wider ban
	}
	h.acked = now
	narrow := key{k.prefix, firewall.ScopeSIP}
	if n := l.bans[narrow]; k.scope == firewall.ScopeAll && n != nil && n.until <= h.until {
		l.drop(narrow) // only now: had the wider set been full, the narrow ban would be all there is
		l.lifts[narrow] = ""
	}
	return h, ""
}

// crowded notes a ban that found its set full.
func (l *ledger) crowded(k key, retry int64) {
	delete(l.send, k)
	f := l.full[k.class()]
	if f == nil {
		f = &crowd{waiting: make(map[key]struct{})}
		l.full[k.class()] = f
	}
	f.retry, f.try = retry, probeFirst
	f.waiting[k] = struct{}{}
}

// waiting is how many bans wait for room.
func (l *ledger) waiting() int {
	n := 0
	for _, f := range l.full {
		n += len(f.waiting)
	}
	return n
}

// resend wants all bans in the kernel again: nobody knows what it has.
func (l *ledger) resend() {
	clear(l.full)
	for k := range l.bans {
		l.send[k] = struct{}{}
	}
}

// sweep forgets the bans that have run out: the kernel lets them go by itself.
func (l *ledger) sweep(now int64) {
	for k, h := range l.bans {
		if h.until <= now {
			l.drop(k)
		}
	}
}

// missing wants in the kernel again what is not among elements, or runs out there at another time, and counts it.
func (l *ledger) missing(elements []firewall.Element, now int64, slack int64) int {
	left := make(map[key]int64, len(elements))
	for _, el := range elements {
		left[key{el.Prefix, el.Scope}] = int64(el.Expires)
	}
	n := 0
	for k, h := range l.bans {
		if _, pending := l.send[k]; pending || h.acked == 0 || h.until-now <= slack {
			continue
		}
		if d := left[k] - (h.until - now); d < -slack || d > slack {
			l.send[k] = struct{}{}
			n++
		}
	}
	return n
}
