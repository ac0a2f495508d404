package policy

import (
	"fmt"
	"iter"
	"slices"

	"github.com/amifend/amifend/policy/internal/table"
)

// Recalled counts what a [Recall] found.
type Recalled struct {
	Blocks  int // that were read
	Entries int // that they held
	Damaged int // blocks that were left out: a checksum is wrong, or a value is not valid
	Foreign int // blocks that were left out: of another version of the format
	Dropped int // entries that were forgotten, since later blocks are of another seed
}

// Recall returns an engine that goes on where another one stopped. blocks are those that the other
// one gave with [Engine.Changes], [Engine.Sweep] and [Engine.Rest], in that order of time. A block
// that is damaged or of another version is left out and counted. now is the time, nanoseconds since
// the Unix epoch. A time in a block that is later, because a clock was wrong, becomes now. The seed
// is that of the blocks, or that of the options if there are no blocks: make observations with
// [Engine.Hasher]. Entries without room are left out, usually the oldest. There are no bans, see
// [Engine.AdoptBan], and nothing is protected, see [Engine.Protect].
//
// After a crash, the end is missing: what Changes had not given, and what only Rest gives. Then
// nothing is held against a source for challenges that it may have answered meanwhile. And for a
// minute the engine believes no account that chan_sip names in the answer to a challenge, since the
// challenge may have come before the crash.
//
// An error means that the options are invalid, and nothing else.
func Recall(o Options, now int64, blocks iter.Seq[[]byte]) (*Engine, Recalled, error) {
	if err := o.Validate(); err != nil {
		return nil, Recalled{}, fmt.Errorf("validate policy options: %w", err)
	}

	rc := recalling{opt: o}
	for b := range blocks {
		rc.block(b, now)
	}
	if rc.e == nil { // no block has a seed
		rc.begin(o.Seed, now)
	}

	rc.finish()
	return rc.e, rc.got, nil
}

// recalling is the state of reading blocks.
type recalling struct {
	opt      Options
	e        *Engine // nil until the seed is known
	got      Recalled
	rest     bool        // the latest block was one of Rest, and young enough
	n        uint32      // entries so far
	sources  []uint32    // for each entry of that table, when it was read
	owned    []accountID // for each of them, what its source owns
	networks []uint32    // for each entry of that table, when it was read
	pairs    []uint32    // the same
	amnesty  readPardon  // the latest one of everybody
	pardons  map[key]readPardon
	lifts    map[key]readPardon
	lengths  []uint8 // the prefix lengths of pardons
}

// readPardon is a pardon, and when it was read.
type readPardon struct {
	at uint32
	no uint8
}

// begin makes an engine that remembers nothing.
func (rc *recalling) begin(seed uint64, now int64) {
	rc.opt.Seed = seed
	rc.e = newEngine(rc.opt)
	rc.e.now, rc.e.sec = now, secondOf(now)
	rc.sources, rc.owned, rc.networks = rc.sources[:0], rc.owned[:0], rc.networks[:0]
	rc.pairs, rc.amnesty = rc.pairs[:0], readPardon{}
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
	if rc.e == nil || h.seed != rc.e.opt.Seed {
		rc.got.Dropped += int(rc.n) // hashes of another seed mean nothing
		rc.begin(h.seed, now)
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

// entry takes in an entry.
func (rc *recalling) entry(t tag, c *coder) {
	e := rc.e
	if t == tagPardon || t == tagLift || t == tagAmnesty {
		rc.pardon(t, c)
		return
	}

	if t >= tagCount || e.columns[t] == nil {
		c.fail("a table is unknown")
		return
	}

	r := e.columns[t].recall(c)
	if c.err != nil {
		return
	}

	// When a source or prefix was read decides which pardons apply to it.
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
	case tagPairs:
		rc.pairs = grown(rc.pairs, r)
		rc.pairs[r-1] = rc.n
	default:
	}
}

// grown returns a slice with room for an entry.
func grown[T any](s []T, r table.Ref) []T {
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
	if t == tagAmnesty {
		rc.amnesty = readPardon{rc.n, no}
		return
	}
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
		rc.e.columns[t].empty()
	}
}
