package policy

import (
	"iter"
	"slices"
)

// Recalled counts what a [Recall] found.
type Recalled struct {
	Blocks  int // that were read
	Entries int // that they held
	Damaged int // blocks that were left out: a checksum is wrong, or a value is none
	Foreign int // blocks that were left out: of another version of the format
	Dropped int // entries that were forgotten, since later blocks are of another seed
}

// Recall returns an engine that goes on where one stood that gave blocks with [Engine.Changes], [Engine.Sweep] and
// [Engine.Rest], in the order in which they were given. A block that is damaged or of another version is left out and counted.
// now is the time, nanoseconds since the Unix epoch: what a block dates later, since a clock was wrong, is taken as of
// now. The seed is that of the blocks, or that of the options if there are none. What has no room is left out, as a rule the oldest. There
// are no bans, see [Engine.AdoptBan], and nothing is protected, see [Engine.Protect].
//
// After a crash, what came last before it is missing: what Changes had not given, and what only Rest gives. Then nothing
// is held against a source for challenges that it may have answered meanwhile, and for a minute no answer is believed
// to a challenge of chan_sip that may have come before the crash.
//
// An error means that the options are invalid, and nothing else.
func Recall(o Options, now int64, blocks iter.Seq[[]byte]) (*Engine, Recalled, error) {
	e, err := New(o)
	if err != nil {
		return nil, Recalled{}, err
	}
	rc := recalling{e: e}
	rc.begin(now)
	for b := range blocks {
		rc.block(b, now)
	}
	rc.finish()
	return rc.e, rc.got, nil
}

// recalling is what is noted while blocks are read.
type recalling struct {
	e        *Engine
	got      Recalled
	seeded   bool        // a block has told the seed
	rest     bool        // the latest block was one of Rest, and young enough
	n        uint32      // entries so far
	sources  []uint32    // for each entry of that table, when it was read
	owned    []accountID // for each of them, what its source owns
	networks []uint32    // for each entry of that table, when it was read
	pardons  map[key]readPardon
	lifts    map[key]readPardon
	lengths  []uint8 // the prefix lengths of pardons
}

// readPardon is a pardon, and when it was read.
type readPardon struct {
	at uint32
	no uint8
}

func (rc *recalling) begin(now int64) {
	rc.e.now, rc.e.sec = now, secondOf(now)
	rc.sources, rc.owned, rc.networks = rc.sources[:0], rc.owned[:0], rc.networks[:0]
	rc.pardons, rc.lifts, rc.lengths = map[key]readPardon{}, map[key]readPardon{}, nil
	rc.n, rc.rest = 0, false
}

// block takes in a block.
func (rc *recalling) block(b []byte, now int64) {
	h, c, state := openBlock(b, now)
	switch state {
	case blockDamaged:
		rc.got.Damaged++
		return
	case blockForeign:
		rc.got.Foreign++
		return
	case blockGood:
	}
	if !rc.seeded || h.seed != rc.e.opt.Seed {
		rc.reseed(h.seed, now)
	}
	fresh := h.sort == blockRest && now-h.at <= dialogTime
	if rc.rest && h.sort != blockRest {
		rc.forgetRest()
	}
	rc.rest = fresh
	rc.e.codeGlobals(c)
	for c.err == nil && len(c.in) > 0 {
		var t tag
		c.u8((*uint8)(&t))
		rc.entry(t, c)
	}
	if c.err != nil {
		rc.got.Damaged++
		return
	}
	rc.got.Blocks++
}

// reseed begins anew with the seed of a block: hashes of another one mean nothing.
func (rc *recalling) reseed(seed uint64, now int64) {
	o := rc.e.opt
	rc.got.Dropped += int(rc.n)
	o.Seed = seed
	e, err := New(o)
	if err != nil {
		return // it was valid with another seed
	}
	rc.e, rc.seeded = e, true
	rc.begin(now)
}

// entry takes in an entry.
func (rc *recalling) entry(t tag, c *coder) {
	e := rc.e
	if t == tagPardon || t == tagLift {
		rc.pardon(t, c)
		return
	}
	if !slices.Contains(lastingTables[:], t) && !slices.Contains(restTables[:], t) {
		c.fail("a table is unknown")
		return
	}
	r := e.columns[t-1].recall(c)
	if c.err != nil {
		return
	}
	rc.n++
	rc.got.Entries++
	switch t {
	case tagSources:
		rc.sources = grown(rc.sources, r)
		rc.owned = grown(rc.owned, r)
		rc.sources[r-1], rc.owned[r-1] = rc.n, c.owned
	case tagNetworks:
		rc.networks = grown(rc.networks, r)
		rc.networks[r-1] = rc.n
	default:
	}
}

// grown returns a slice with room for an entry.
func grown[T any](s []T, r ref) []T {
	if n := int(r) - len(s); n > 0 {
		s = append(s, make([]T, n)...)
	}
	return s
}

func (rc *recalling) pardon(t tag, c *coder) {
	var k key
	var no uint8
	k.code(c)
	c.u8(&no)
	if c.err != nil {
		return
	}
	rc.n++
	rc.got.Entries++
	if t == tagLift && k.bits != hostBits {
		rc.lifts[k] = readPardon{rc.n, no}
		return
	}
	rc.pardons[k] = readPardon{rc.n, no}
	if !slices.Contains(rc.lengths, k.bits) {
		rc.lengths = append(rc.lengths, k.bits)
	}
}

func (rc *recalling) forgetRest() {
	for _, t := range restTables {
		rc.e.columns[t-1].empty()
	}
}

// finish brings the tables into the state that the engine wants, when all is read.
func (rc *recalling) finish() {
	if !rc.rest {
		rc.forgetRest()
		if rc.seeded {
			rc.e.dialogsLost = rc.e.now
		}
	}
	rc.disregard()
	rc.absolve()
	rc.own()
	rc.recount()
	for _, col := range rc.e.columns {
		col.settle()
	}
}

// absolve forgets what was held against whom a later entry pardons.
func (rc *recalling) absolve() {
	if len(rc.pardons)+len(rc.lifts) == 0 {
		return
	}
	e := rc.e
	for r := range e.networks.oldestFirst() {
		if k := e.networks.at(r).key; max(rc.pardoned(k).at, rc.lifts[k].at) > rc.networks[r-1] {
			e.absolve(k, 0) // a prefix has no number
		}
	}
	for r := range e.sources.oldestFirst() {
		k := e.sources.at(r).key.key()
		p := rc.pardoned(k)
		if p.at > rc.sources[r-1] {
			e.absolveSource(r, p.no)
		}
		rc.absolveParts(k, p.at)
	}
	for k, p := range rc.pardons {
		if k.bits == hostBits {
			rc.absolveParts(k, p.at) // its source may be forgotten
		}
	}
}

// absolveParts forgets what networks that were read before a pardon have of a host.
func (rc *recalling) absolveParts(k key, at uint32) {
	for _, sp := range k.spreads() {
		if r := rc.e.networks.get(k.masked(sp.bits)); r != 0 && at > rc.networks[r-1] {
			rc.e.absolvePart(r, rc.e.part(k, sp.bits))
		}
	}
}

// pardoned returns the latest pardon of a host or prefix.
func (rc *recalling) pardoned(k key) (latest readPardon) {
	for _, bits := range rc.lengths {
		if bits > k.bits {
			continue
		}
		if p := rc.pardons[k.masked(bits)]; p.at > latest.at {
			latest = p
		}
	}
	return latest
}

// own finds the accounts that sources own: they may have been read after them.
func (rc *recalling) own() {
	for r := range rc.e.sources.oldestFirst() {
		owned := rc.e.accounts.get(rc.owned[r-1])
		rc.e.sources.at(r).val.owned = owned
		if owned == 0 && rc.owned[r-1] != 0 {
			rc.e.sources.mark(r)
		}
	}
}

// recount forgets what is out of date of accounts at sources, and corrects what sources count of them, where one was saved and
// the other was not.
func (rc *recalling) recount() {
	e := rc.e
	counts := make([]struct{ failed, proven, owns uint8 }, e.sources.used)
	memory := [...]uint32{listTried: seconds(triedMemory), listGuessed: seconds(triedMemory), listOwned: seconds(ownedMemory)}
	for r := range e.pairs.oldestFirst() {
		en := e.pairs.at(r)
		if e.sec-en.val.touched >= memory[en.list] {
			e.pairs.remove(r)
			continue
		}
		was := en.val
		sr := e.sources.get(en.key.host())
		if sr != 0 {
			en.val.anew(&e.sources.at(sr).val)
		} else {
			en.val.anew(&source{})
			en.val.flags &^= pairFailed | pairFailedProven | pairOwned // no source counts it
		}
		if en.val != was {
			e.pairs.mark(r)
		}
		if sr == 0 {
			continue
		}
		n := &counts[sr-1]
		n.failed = bump(n.failed, en.val.flags&pairFailed/pairFailed)
		n.proven = bump(n.proven, en.val.flags&pairFailedProven/pairFailedProven)
		n.owns = bump(n.owns, en.val.flags&pairOwned/pairOwned)
	}
	for r := range e.sources.oldestFirst() {
		s, n := &e.sources.at(r).val, counts[r-1]
		if n.failed != s.failed || n.proven != s.failedProven || n.owns != s.owns {
			s.failed, s.failedProven, s.owns = n.failed, n.proven, n.owns
			e.sources.mark(r)
		}
	}
}

// disregard lets pass what the engine was waiting for when it stopped: it cannot know whether it came.
func (rc *recalling) disregard() {
	e := rc.e
	for r := range e.requests.oldestFirst() {
		if q := &e.requests.at(r).val; q.held {
			q.held, q.pending, q.credit = false, 0, true
			e.requests.move(r, listPlain)
		}
	}
	for r := range e.silents.oldestFirst() {
		if q := &e.silents.at(r).val; q.weighed == 0 {
			q.accounts = min(q.accounts, unansweredFree)
			e.silents.move(r, listPlain)
		}
	}
	if rc.rest {
		return
	}
	for r := range e.pairs.oldestFirst() {
		if p := &e.pairs.at(r).val; p.flags&pairChallenged != 0 {
			p.flags &^= pairChallenged
			e.pairs.mark(r)
		}
	}
}
