package recording

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"net/netip"
	"time"

	"github.com/amifend/amifend/ami"
	"github.com/amifend/amifend/cmd/amifend/internal/asterisklog"
	"github.com/amifend/amifend/policy"
)

// A failed request may stand in the files twice: as an event of the security channel, and as a
// NOTICE or WARNING line. It counts once. A line and an event are of one request if they have the
// same source and Call-ID; or the same source, port and account, no more than two seconds apart,
// since chan_sip and manager.c print no Call-ID. Either may come first, and they may be in
// different files.

const (
	// before and after are how much earlier or later than the line the event may be. A line's stamp
	// has whole seconds, so the line seems up to a second older than it is.
	before = int64(2 * time.Second)
	after  = int64(3 * time.Second)

	// maxWaiting is how many events wait at most for an event of the same request.
	maxWaiting = 1 << 16

	// maxSessions is how many Call-IDs are remembered at least.
	maxSessions = 1 << 16
)

// keys are what a line and an event of the same request have in common.
type keys struct {
	session uint64 // of source and Call-ID; 0 if there is none
	account uint64 // of source, port and account
	source  uint64 // of source and port, of a line or an injection: that names no account which a line has
}

// keysOf returns the keys of an event that was read as o.
func keysOf(ev *ami.Event, family asterisklog.Family, o *policy.Observation, h policy.Hasher) keys {
	source := ev.Source
	if ev.Service == ami.ServiceAMI {
		source = netip.AddrPortFrom(source.Addr(), 0) // manager.c prints no port
	}
	var b [128]byte
	addr := source.Addr().As16()
	n := copy(b[:], addr[:])
	binary.BigEndian.PutUint16(b[n:], source.Port())
	n += 2

	var k keys
	if ev.Service == ami.ServicePJSIP && (family == asterisklog.FamilySecurity ||
		family == asterisklog.FamilyPJSIP) {
		binary.BigEndian.PutUint64(b[n:], o.Session)
		k.session = h.Session(b[:n+8])
	}
	if family != asterisklog.FamilySecurity || ev.Taint != ami.Untainted {
		k.source = h.Session(b[:n])
	}
	n += appendAccount(b[n:], ev.Account)
	k.account = h.Session(b[:n])
	return k
}

// appendAccount writes an account as chan_sip names it in its events: percent-decoded, and without
// a port or parameters.
func appendAccount(b, name []byte) int {
	if i := bytes.IndexAny(name, ":;"); i >= 0 {
		name = name[:i]
	}
	n := 0
	for ; len(name) > 0 && n < len(b); n++ {
		if name[0] == '%' && len(name) >= 3 {
			if _, err := hex.Decode(b[n:n+1], name[1:3]); err == nil {
				name = name[3:]
				continue
			}
		}
		b[n] = name[0]
		name = name[1:]
	}
	return n
}

// pairs takes lines out of a stream of events that are told of by events, too.
type pairs struct {
	yield    func(*Event)
	waiting  []waiting // in the order of time, from head on
	head     int
	accounts generations // the latest time of an event, by its key
	sessions generations
	twice    uint64 // lines that were taken out

	lines  bool // a line came: until then events are only listed
	recent []note
}

// note is an event of the security channel or of AMI.
type note struct {
	at int64
	keys
}

type waiting struct {
	event Event
	line  bool
}

// generations remembers the latest time of keys, for a bounded number of them.
type generations struct {
	now, old map[uint64]int64
	since    int64 // when now began
}

// add notes the time of a key.
func (g *generations) add(key uint64, at int64) {
	if g.now == nil {
		g.now, g.old = make(map[uint64]int64), make(map[uint64]int64)
	}
	g.now[key] = at
}

// turn forgets what is older than the last turn.
func (g *generations) turn(at int64) {
	g.now, g.old = g.old, g.now
	clear(g.now)
	g.since = at
}

// latest returns the latest time of a key.
func (g *generations) latest(key uint64) (int64, bool) {
	at, ok := g.now[key]
	if !ok {
		at, ok = g.old[key]
	}
	return at, ok
}

// take takes the next event, in the order of time.
func (p *pairs) take(ev *Event) {
	if len(p.waiting) > 0 {
		p.release(ev.At)
	}
	line := ev.Family != asterisklog.FamilySecurity
	if !line {
		p.list(note{ev.At, ev.keys})
		if len(p.waiting) == 0 {
			p.yield(ev)
			return
		}
	}
	if line && !p.lines {
		p.lines = true
		for _, n := range p.recent {
			p.note(n)
		}
		p.recent = nil
	}
	if len(p.waiting)-p.head >= maxWaiting {
		p.next()
	}
	p.waiting = append(p.waiting, waiting{*ev, line})
}

// list keeps an event for a line that may come. Most recordings have no such line.
func (p *pairs) list(n note) {
	if p.lines {
		p.note(n)
		return
	}
	if len(p.recent) == cap(p.recent) {
		old := 0
		for old < len(p.recent) && p.recent[old].at < n.at-before {
			old++
		}
		p.recent = p.recent[:copy(p.recent, p.recent[old:])]
	}
	p.recent = append(p.recent, n)
}

// note remembers an event.
func (p *pairs) note(n note) {
	if n.at >= p.accounts.since+2*(before+after) {
		p.accounts.turn(n.at)
	}
	p.accounts.add(n.account, n.at)
	if n.source != 0 {
		p.accounts.add(n.source, n.at)
	}
	if n.session != 0 {
		if len(p.sessions.now) >= maxSessions {
			p.sessions.turn(n.at)
		}
		p.sessions.add(n.session, n.at)
	}
}

// release yields what waited long enough at a time.
func (p *pairs) release(at int64) {
	for p.head < len(p.waiting) && p.waiting[p.head].event.At+after < at {
		p.next()
	}
	if p.head == len(p.waiting) {
		p.waiting, p.head = p.waiting[:0], 0
	} else if p.head > len(p.waiting)/2 {
		p.waiting, p.head = p.waiting[:copy(p.waiting, p.waiting[p.head:])], 0
	}
}

// next yields the event that waits longest, unless it is a line that an event told of too.
func (p *pairs) next() {
	w := &p.waiting[p.head]
	p.head++
	if w.line && p.told(&w.event) {
		p.twice++
		return
	}
	p.yield(&w.event)
}

// told reports whether an event told of the request that a line tells of.
func (p *pairs) told(ev *Event) bool {
	if _, ok := p.sessions.latest(ev.keys.session); ok && ev.keys.session != 0 {
		return true
	}
	for _, key := range [...]uint64{ev.keys.account, ev.keys.source} {
		if at, ok := p.accounts.latest(key); ok && at >= ev.At-before {
			return true
		}
	}
	return false
}

// end yields all that waits.
func (p *pairs) end() {
	for p.head < len(p.waiting) {
		p.next()
	}
}
