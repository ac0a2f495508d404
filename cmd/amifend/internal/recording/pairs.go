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

// A failed request may be in the files twice: as an event of the security channel, and as a NOTICE
// or WARNING line. It must count once. A line and an event belong to one request if they have the
// same source and Call-ID. chan_sip and manager.c print no Call-ID; there, source, port and account
// must be the same, and the times no more than two seconds apart. Either may come first, and they
// may be in different files.

const (
	// before and after are how much earlier or later than the line the event may be. A line's stamp
	// has whole seconds, so the line seems up to a second older than it is.
	before = int64(2 * time.Second)
	after  = int64(3 * time.Second)

	// maxWaiting bounds the lines and events that wait for an event of the same request.
	maxWaiting = 1 << 16

	// maxSessions is the least number of Call-IDs that are remembered.
	maxSessions = 1 << 16
)

// keys identify a request: a line and an event of the same request have one in common.
type keys struct {
	session uint64 // of source and Call-ID; 0 if there is none
	account uint64 // of source, port and account
	// source is of source and port, and 0 unless the event is a line or an injection. It pairs
	// those two, because an injection lacks the line's account.
	source uint64
}

// keysOf returns the keys of an event that was read as o.
func keysOf(ev *ami.Event, family asterisklog.Family, o *policy.Observation, h policy.Hasher) keys {
	source := ev.Source
	if ev.Service == ami.ServiceAMI {
		source = netip.AddrPortFrom(source.Addr(), 0) // manager.c prints no port
	}

	// The fields have a fixed length, so that different fields never give the same bytes.
	var b [128]byte
	addr := source.Addr().As16()
	n := copy(b[:], addr[:])
	binary.BigEndian.PutUint16(b[n:], source.Port())
	n += 2

	// Only PJSIP prints the Call-ID in lines and events alike.
	var k keys
	if ev.Service == ami.ServicePJSIP && (family == asterisklog.FamilySecurity ||
		family == asterisklog.FamilyPJSIP) {
		binary.BigEndian.PutUint64(b[n:], o.Session)
		k.session = h.Session(b[:n+8])
	}

	// This key pairs a line with an injection.
	if family != asterisklog.FamilySecurity || ev.Taint != ami.Untainted {
		k.source = h.Session(b[:n])
	}

	// The key of the account extends the bytes of that of the source, so it comes last.
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
		// chan_sip prints the name encoded in lines, and decoded in events.
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

// pairs removes lines from a stream of events if an event reports the same request.
type pairs struct {
	yield    func(*Event)
	waiting  []waiting // in the order of time, from head on
	head     int
	accounts generations // the latest time of an event, by its key
	sessions generations
	twice    uint64 // lines that were taken out

	lines  bool   // a line has come; until then events are only listed in recent
	recent []note // the events for which a line may still come
}

// note is an event of the security channel or of AMI.
type note struct {
	at int64
	keys
}

// waiting is a line or an event whose turn has not come.
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
		g.now = make(map[uint64]int64)
		g.old = make(map[uint64]int64)
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

// take receives the next event, in the order of time.
func (p *pairs) take(ev *Event) {
	if len(p.waiting) > 0 {
		p.release(ev.At)
	}

	// A line waits for an event that may come behind it. An event only waits behind lines.
	line := ev.Family != asterisklog.FamilySecurity
	if !line {
		p.list(note{ev.At, ev.keys})
		if len(p.waiting) == 0 {
			p.yield(ev)
			return
		}
	}

	// From the first line on, the keys of events are needed.
	if line && !p.lines {
		p.lines = true
		for _, n := range p.recent {
			p.note(n)
		}
		p.recent = nil
	}

	// A flood of lines must not fill the memory, so the oldest one waits no longer.
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

	// Before the list grows, drop the events to which no line can belong any more.
	if len(p.recent) == cap(p.recent) {
		old := 0
		for old < len(p.recent) && p.recent[old].at < n.at-before {
			old++
		}
		p.recent = p.recent[:copy(p.recent, p.recent[old:])]
	}

	p.recent = append(p.recent, n)
}

// note remembers the keys of an event.
func (p *pairs) note(n note) {
	// Two generations, so that forgetting costs nothing for each key.
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

// release yields the events that waited long enough at the time at.
func (p *pairs) release(at int64) {
	for p.head < len(p.waiting) && p.waiting[p.head].event.At+after < at {
		p.next()
	}

	// The slice is used again from its start, so that it does not grow without end.
	if p.head == len(p.waiting) {
		p.waiting = p.waiting[:0]
		p.head = 0
	} else if p.head > len(p.waiting)/2 {
		p.waiting = p.waiting[:copy(p.waiting, p.waiting[p.head:])]
		p.head = 0
	}
}

// next yields the event that waits longest, unless it is a line whose request an event reported
// too.
func (p *pairs) next() {
	w := &p.waiting[p.head]
	p.head++
	if w.line && p.reported(&w.event) {
		p.twice++
		return
	}
	p.yield(&w.event)
}

// reported reports whether an event of the security channel or of AMI came from the same request as
// the line ev.
func (p *pairs) reported(ev *Event) bool {
	// A Call-ID identifies the request at any time.
	if _, ok := p.sessions.latest(ev.keys.session); ok && ev.keys.session != 0 {
		return true
	}

	// Accounts repeat, so only an event of about the same time counts.
	for _, key := range [...]uint64{ev.keys.account, ev.keys.source} {
		if at, ok := p.accounts.latest(key); ok && at >= ev.At-before {
			return true
		}
	}

	return false
}

// end yields all events that wait.
func (p *pairs) end() {
	for p.head < len(p.waiting) {
		p.next()
	}
}
