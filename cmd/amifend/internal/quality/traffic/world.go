// Package traffic generates labelled traffic: phones, offices, attackers and forgers that talk to
// PBXs, each with the truth about it.
//
// The same seed and size give the same parties and plans. The parties react: as in reality, each
// learns whether its request got an answer. A packet that a ban of the judged tool covers never
// reaches the PBX. A phone without an answer tries again, and an attacker without one may move on.
// So each tool gets a run of its own. The events that a PBX raises for a request are those that
// real ones raised (ami/testdata/captures).
package traffic

import (
	"container/heap"
	"iter"
	"math/rand/v2"
	"net/netip"
	"slices"
	"time"

	"github.com/amifend/amifend/cmd/amifend/internal/recording"
	"github.com/amifend/amifend/policy"
)

// Tool decides on events, and is judged by its decisions.
type Tool interface {
	// Hear judges an event, and reports whether the packet that raised it reached the PBX. source
	// is the packet's source address: a ban must cover it to stop the packet. It differs from
	// ev.Source where the sender can choose the address that Asterisk names. The event is borrowed.
	Hear(ev *recording.Event, source netip.Addr) bool
}

// begin is when all traffic starts: a Monday.
var begin = time.Date(2026, 11, 23, 0, 0, 0, 0, time.UTC)

// World is one run of the traffic against one tool.
type World struct {
	Classes     []*Class
	Alerts      int        // how many there were
	FalseAlerts []Decision // those about addresses at which nobody is

	now, end int64
	tool     Tool
	hasher   policy.Hasher
	queue    queue
	events   int
	session  uint64

	at        map[netip.Addr][]*Party // who sends from an address now
	forged    map[netip.Addr]bool     // that events named though they did not send the packet
	namers    []*Party                // who made PBXs name them, and has an account or may crack one
	attacked  map[Target]int64        // when somebody attacked it last
	alerted   map[Target]int64        // when an alert last reported the attack on it
	suspected map[netip.Addr]int64    // when an alert last said that somebody guesses in that name
	failed    map[netip.Addr]bool     // good addresses that had failures of their own
	flood     bool                    // packets were forged from random addresses
	flooding  bool                    // they are being forged now
	free      []netip.Addr            // that customers gave back
	given     uint32                  // how many addresses customers got
}

// New returns a world with everybody in it whose class o.Only accepts.
func New(o Options) *World {
	w := &World{
		now: begin.UnixNano(), end: begin.Add(o.Size.Span).UnixNano(),
		hasher: policy.NewHasher(policy.FixedSeed),
		at:     make(map[netip.Addr][]*Party), forged: make(map[netip.Addr]bool),
		attacked: make(map[Target]int64), alerted: make(map[Target]int64),
		suspected: make(map[netip.Addr]int64),
		failed:    make(map[netip.Addr]bool),
	}
	w.cast(o)
	return w
}

// Run plays the traffic against a tool, whose decisions go to Decided meanwhile. It returns how
// many events were raised.
func (w *World) Run(t Tool) (events int) {
	w.tool = t

	heap.Init(&w.queue)
	for len(w.queue) > 0 && w.queue[0].wake < w.end {
		a := w.queue[0]
		w.now = a.wake
		if wake, more := a.next(); more {
			a.wake = wake
			heap.Fix(&w.queue, 0)
		} else {
			heap.Pop(&w.queue)
		}
	}

	// A script that is stopped finds that no time is left, and returns.
	for _, a := range w.queue {
		a.stop()
	}
	return w.events
}

// End returns the time of the end, in nanoseconds since the Unix epoch.
func (w *World) End() int64 { return w.end }

// Lasts returns the time from the beginning to the end.
func (w *World) Lasts() time.Duration { return time.Duration(w.end - begin.UnixNano()) }

// Actor plays a script on behalf of a party: one device of it.
type Actor struct {
	*rand.Rand
	party *Party
	world *World
	from  netip.AddrPort
	ended bool

	id    int   // in the order of starts
	wake  int64 // the time of the next step
	next  func() (int64, bool)
	stop  func()
	yield func(int64) bool
}

// start has a script played from a time after the beginning on.
func (w *World) start(p *Party, from netip.AddrPort, after time.Duration, script func(*Actor)) {
	r := p.Class.rng
	a := &Actor{
		Rand:  rand.New(rand.NewPCG(r.Uint64(), r.Uint64())),
		party: p, world: w, id: len(w.queue), wake: begin.Add(after).UnixNano(),
	}

	// A script is a coroutine, which Run resumes when its sleep is over. So it can be written as
	// one straight function.
	a.next, a.stop = iter.Pull(func(yield func(int64) bool) {
		a.yield = yield
		a.settle(from)
		script(a)
		a.leave()
	})
	w.queue = append(w.queue, a)
}

// sleep lets time pass. It returns false when none is left: then sends do nothing, and the script
// may end when it likes.
func (a *Actor) sleep(d time.Duration) bool {
	if !a.ended && !a.yield(a.world.now+int64(d)) {
		a.ended = true
	}
	return !a.ended
}

// about returns a random duration of mean d: from half of it to one and a half.
func (a *Actor) about(d time.Duration) time.Duration {
	return d/2 + time.Duration(a.Int64N(int64(d)))
}

// reply returns how long an answer takes over the Internet.
func (a *Actor) reply() time.Duration { return a.about(60 * time.Millisecond) }

// settle makes the actor send from an address and port. The party is not at its former address any
// more, unless it is an attacker: a ban of an address that it used is meant for it.
func (a *Actor) settle(from netip.AddrPort) {
	a.leave()
	a.from = from
	if a.party.Class.Role == Forger {
		return
	}

	addr := from.Addr()
	if slices.Contains(a.world.at[addr], a.party) {
		return
	}
	a.world.at[addr] = append(a.world.at[addr], a.party)
}

// leave takes a good party from its address, unless other devices of it stay there.
func (a *Actor) leave() {
	if !a.party.Class.Role.good() || a.party.shared || !a.from.IsValid() {
		return
	}

	there := a.world.at[a.from.Addr()]
	for i, p := range there {
		if p == a.party {
			a.world.at[a.from.Addr()] = append(there[:i:i], there[i+1:]...)
		}
	}
}

// elapsed returns the time since the beginning.
func (a *Actor) elapsed() time.Duration { return time.Duration(a.world.now - begin.UnixNano()) }

// newPort takes another port: a new mapping of a NAT, or a program that was started anew.
func (a *Actor) newPort() {
	a.from = netip.AddrPortFrom(a.from.Addr(), uint16(1024+a.IntN(64000)))
}

// newSession returns a Call-ID that nobody used before.
func (a *Actor) newSession() uint64 {
	a.world.session++
	return a.world.session
}

// queue holds the actors by the time of their next step; those of the same time in the order of
// starts.
type queue []*Actor

func (q queue) Len() int { return len(q) }
func (q queue) Less(i, j int) bool {
	return q[i].wake < q[j].wake || q[i].wake == q[j].wake && q[i].id < q[j].id
}
func (q queue) Swap(i, j int) { q[i], q[j] = q[j], q[i] }
func (q *queue) Push(x any)   { *q = append(*q, x.(*Actor)) }

func (q *queue) Pop() any {
	last := (*q)[len(*q)-1]
	*q = (*q)[:len(*q)-1]
	return last
}
