package enforce

import (
	"net/netip"
	"time"

	"github.com/amifend/amifend/cmd/amifend/internal/bans"
	"github.com/amifend/amifend/cmd/amifend/internal/clock"
	"github.com/amifend/amifend/firewall"
)

// How the ledger hands out work.
const (
	sendMost   = 4096 // changes at a time: some 20 ms of the kernel's time
	probeFirst = 64   // bans to try at a set that was full
)

// held is one ban that the kernel must have.
type held struct {
	bans.Ban
	acked  int64   // when the kernel acknowledged it, 0: it has not
	logged bool    // as banned
	read   reading // of the kernel's counter
	place  int     // in ledger.all
	scan   uint64  // the latest scan that it was part of
}

// reading is a value of the kernel's counter of a ban, and the time at which it was read.
type reading struct {
	packets uint64
	at      int64 // 0: it was not read yet
}

// waitingRoom has the bans that found their set full, and when to try some of them again.
type waitingRoom struct {
	waiting map[bans.Key]struct{}
	retry   int64
	try     int // how many to try then
}

// ledger is the state that the kernel must have, and how it differs from what the kernel is known
// to have. Each ban and lift stays until the kernel has acknowledged it, whatever fails in between.
// The cost of a change does not depend on how many bans there are.
type ledger struct {
	bans  map[bans.Key]*held
	all   []*held // the same, to look through them some at a time; the latest stands last
	scans uint64
	send  map[bans.Key]struct{} // bans that the kernel does not have, or not until the right time
	lifts map[bans.Key]string   // elements to take out, and why; "": nobody needs to know
	full  map[bans.Set]*waitingRoom

	scopes [firewall.ScopeStream + 1]int // how many bans there are of each scope

	clearing *clearing // all bans before are to be lifted; nil: none are

	// liftedSince has what was lifted since the journal was asked; nil: no question is open.
	liftedSince map[bans.Key]struct{}
}

// clearing is an order to lift all bans that the kernel has not carried out.
type clearing struct {
	bans int // how many there were
	why  string
}

func newLedger() *ledger {
	return &ledger{
		bans:  make(map[bans.Key]*held),
		send:  make(map[bans.Key]struct{}),
		lifts: make(map[bans.Key]string),
		full:  make(map[bans.Set]*waitingRoom),
	}
}

// pending returns how many changes the kernel does not have yet. Bans that wait for room do not
// count.
func (l *ledger) pending() int { return len(l.send) + l.lifting() }

// lifting returns how many lifts the kernel does not have yet. An order to lift all bans counts as
// one at least: how many elements there are is not known.
func (l *ledger) lifting() int {
	if l.clearing == nil {
		return len(l.lifts)
	}
	return max(1, l.clearing.bans)
}

// grow makes room for very many bans that come at once, before there are any.
func (l *ledger) grow(n int) {
	l.bans = make(map[bans.Key]*held, n)
	l.all = make([]*held, 0, n)
}

// put takes in a ban, in the place of one with the same key.
func (l *ledger) put(h *held) {
	k := h.Key()
	if old := l.bans[k]; old != nil {
		l.unlist(old)
	}
	h.place = len(l.all)
	l.all = append(l.all, h)
	l.bans[k] = h
	l.scopes[k.Scope]++
}

// unlist takes a ban out of all. The last one takes its place.
func (l *ledger) unlist(h *held) {
	l.scopes[h.Scope]--
	last := l.all[len(l.all)-1]
	l.all[h.place] = last
	last.place = h.place
	l.all[len(l.all)-1] = nil
	l.all = l.all[:len(l.all)-1]
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
func (l *ledger) expect(b bans.Ban) { l.put(&held{Ban: b, logged: true}) }

// sendUnconfirmed sends the expected bans that were not found in the kernel, and counts them.
func (l *ledger) sendUnconfirmed() (n int) {
	for k, h := range l.bans {
		if h.acked == 0 {
			l.send[k] = struct{}{}
			n++
		}
	}
	return n
}

// ban wants b in the kernel.
func (l *ledger) ban(b bans.Ban) {
	k := b.Key()
	delete(l.lifts, k)

	old := l.bans[k]
	l.put(&held{Ban: b})

	// To refresh an element needs no room. A new element waits with the others.
	if f := l.full[k.Set()]; f != nil && (old == nil || old.acked == 0) {
		f.waiting[k] = struct{}{}
		return
	}

	l.send[k] = struct{}{}
}

// lift wants nothing of prefix in the kernel.
func (l *ledger) lift(prefix netip.Prefix, why string) {
	for _, scope := range bans.Scopes() {
		l.liftOne(bans.Key{Prefix: prefix, Scope: scope}, why)
	}
}

// liftOne lifts the ban of one scope.
func (l *ledger) liftOne(k bans.Key, why string) {
	if l.liftedSince != nil {
		l.liftedSince[k] = struct{}{}
	}

	if _, ok := l.bans[k]; !ok {
		return
	}

	if !l.waits(k) { // else the kernel never had it
		l.lifts[k] = why
	}
	l.drop(k)
}

// waits reports whether a ban waits for room.
func (l *ledger) waits(k bans.Key) bool {
	f := l.full[k.Set()]
	if f == nil {
		return false
	}
	_, ok := f.waiting[k]
	return ok
}

// drop removes a ban, whatever the kernel has of it.
func (l *ledger) drop(k bans.Key) {
	if h := l.bans[k]; h != nil {
		l.unlist(h)
	}
	delete(l.bans, k)
	delete(l.send, k)
	if f := l.full[k.Set()]; f != nil {
		delete(f.waiting, k)
	}
}

// adopt takes over an element that the kernel has.
func (l *ledger) adopt(b bans.Ban, now int64) {
	l.put(&held{Ban: b, acked: now, logged: true})
}

// next returns changes to make, some of them if there are many. Lifts come first.
func (l *ledger) next(now int64, c clock.Clock) []firewall.Change {
	l.retryFull(now)
	out := make([]firewall.Change, 0, min(l.pending(), sendMost))

	// Lifts make room for bans, and a person may be waiting for one.
	for k := range l.lifts {
		if len(out) == sendMost {
			return out
		}
		out = append(out, firewall.Change{
			Ban: firewall.Ban{Prefix: k.Prefix, Scope: k.Scope}, Lift: true,
		})
	}

	// What is sent stays in the ledger until the kernel has acknowledged it.
	for k := range l.send {
		if len(out) == sendMost {
			return out
		}

		h := l.bans[k]
		if h.Expiry <= now {
			l.drop(k) // the kernel lets it run out by itself
			continue
		}

		out = append(out, firewall.Change{
			Ban: firewall.Ban{Prefix: k.Prefix, Scope: k.Scope, Until: c.Deadline(h.Expiry)},
		})
	}

	return out
}

// retryFull lets some of the bans that found their set full try again.
func (l *ledger) retryFull(now int64) {
	for set, f := range l.full {
		if f.retry > now {
			continue
		}

		// A set that is still full would refuse them all. So few are tried at first, and twice as
		// many each time.
		n := f.try
		for k := range f.waiting {
			if n == 0 {
				break
			}

			n--
			delete(f.waiting, k)
			l.send[k] = struct{}{}
		}

		f.try = min(2*f.try, sendMost) // foundFull sets it back if there is no room
		if len(f.waiting) == 0 {
			delete(l.full, set)
		}
	}
}

// done notes a change that the kernel has acknowledged. It returns the ban, or nil and the reason
// of a lift.
func (l *ledger) done(c firewall.Change, now int64) (h *held, why string) {
	k := bans.Key{Prefix: c.Prefix, Scope: c.Scope}
	if c.Lift {
		why = l.lifts[k]
		delete(l.lifts, k)
		return nil, why
	}

	delete(l.send, k)
	if h = l.bans[k]; h == nil {
		return nil, "" // a wider ban in the same changes has replaced it
	}

	h.acked = now
	h.read = reading{} // the element is new, and so is its counter

	// A wider ban that lasts as long makes the narrow one needless. It is taken out only now: if
	// the wider set had been full, the narrow ban would have been the only one.
	for _, scope := range bans.Scopes() {
		narrow := bans.Key{Prefix: k.Prefix, Scope: scope}
		if n := l.bans[narrow]; scope != k.Scope && n != nil && h.Replaces(&n.Ban) {
			l.drop(narrow)
			l.lifts[narrow] = ""
		}
	}

	return h, ""
}

// foundFull notes a ban that found its set full.
func (l *ledger) foundFull(k bans.Key, retry int64) {
	delete(l.send, k)

	f := l.full[k.Set()]
	if f == nil {
		f = &waitingRoom{waiting: make(map[bans.Key]struct{})}
		l.full[k.Set()] = f
	}

	f.retry = retry
	f.try = probeFirst
	f.waiting[k] = struct{}{}
}

// waiting returns how many bans wait for room.
func (l *ledger) waiting() int {
	n := 0
	for _, f := range l.full {
		n += len(f.waiting)
	}
	return n
}

// resend sends all bans again: what the kernel has is not known.
func (l *ledger) resend() {
	clear(l.full)
	for k := range l.bans {
		l.send[k] = struct{}{}
	}
}

// sweep drops the bans that have run out. The kernel lets them go by itself.
func (l *ledger) sweep(now int64) {
	for k, h := range l.bans {
		if h.Expiry <= now {
			l.drop(k)
		}
	}
}

// sendMissing sends the bans again that are not among the elements of the kernel, or run out there
// at another time, and counts them. now is when the walk over the elements began: what the kernel
// took since may be missing among them. Their counters are noted.
func (l *ledger) sendMissing(elements []firewall.Element, now int64, slack time.Duration) int {
	l.count(elements, now)

	left := make(map[bans.Key]time.Duration, len(elements))
	for _, el := range elements {
		left[bans.Key{Prefix: el.Prefix, Scope: el.Scope}] = el.Expires
	}

	n := 0
	for k, h := range l.bans {
		if _, pending := l.send[k]; pending || h.acked == 0 || h.acked > now ||
			h.Expiry-now <= int64(slack) {
			continue
		}

		// An element that is missing has nothing left, which is another time as well.
		if d := left[k] - time.Duration(h.Expiry-now); d.Abs() > slack {
			l.send[k] = struct{}{}
			n++
		}
	}

	return n
}

// covers reports whether an address is banned.
func (l *ledger) covers(addr netip.Addr) bool {
	for _, k := range bans.Covering(addr) {
		if l.bans[k] != nil {
			return true
		}
	}
	return false
}
