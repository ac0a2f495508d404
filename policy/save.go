package policy

import (
	"encoding/binary"
	"hash/crc32"

	"github.com/amifend/amifend/policy/internal/table"
)

// This file saves the engine's state little by little, as blocks of bytes for a log that the caller
// keeps. Each block can be read without the others, and a later entry replaces an earlier one.
// [Recall] makes an engine from such a log.
//
// There are three sorts of tables:
//   - sources, prefixes, accounts, accounts at sources, the latest attempts, alerts, vouchers,
//     sites, sharers and conditions: [Engine.Changes] gives the entries that changed, and
//     [Engine.Sweep] gives all;
//   - requests, dialogs and unanswered challenges, which mean something for a minute: [Engine.Rest]
//     gives them;
//   - bans: they are not saved here. The enforcer of the bans keeps them, see [Engine.AdoptBan].

// saving is the progress of saving.
type saving struct {
	// Set while there is a log: its record of an entry must be corrected before the entry is
	// forgotten.
	begun   bool
	pardon  uint8    // the number of the latest pardon, see source.pardon
	pardons []pardon // since they were last saved
	sweep   place
	rest    place
	hot     [hotLists]hotList
}

// pardon clears what was held against a key.
type pardon struct {
	tag tag // tagPardon or tagLift
	key key
	no  uint8
}

// place is the progress of a pass over some tables.
type place struct {
	col int // of the tables of the pass
	r   table.Ref
}

// maxPardons bounds the pardons that wait to be saved. A pardon beyond it is saved only with its
// source, if that is still remembered then.
const maxPardons = 1 << 14

// A block begins with blockMagic and the version of its format, what sort of block it is, the seed,
// the time, and the engine's few numbers. Its end is a CRC-32 (IEEE) of all before.
const (
	blockMagic   = "amifend block "
	blockVersion = 3
)

// The sorts of blocks.
const (
	blockLasting = iota // of Changes and Sweep
	blockRest
)

var (
	lastingTables = [...]tag{
		tagSources, tagPairs, tagAccounts, tagNetworks, tagTrails, tagAlerts, tagVouchers, tagSites,
		tagSharers, tagConditions,
	}
	restTables = [...]tag{tagRequests, tagDialogs, tagSilents}
)

// Changes appends to buf one block of what changed since it was last saved by Changes or Sweep:
// most entries at most. The hottest come first: pardons, then sources that were banned, have a
// score, or are proved, and what belongs to them. n is the number of entries; 0 means that nothing
// changed and nothing was appended. An entry takes some 100 bytes, 700 at most; 5,000 take about a
// millisecond. A forged packet of a flood changes seven entries in IPv4, eleven in IPv6; an
// ordinary event changes one. Entries are given once. A caller that could not store them needs a
// round of [Engine.Sweep].
func (e *Engine) Changes(buf []byte, most int) (out []byte, n int) {
	e.save.begun = true
	c := e.beginBlock(buf, blockLasting)
	n = e.givePardons(c, most)

	// Each list gets its share first, so that a flood in one does not keep the others from being
	// saved.
	var next [hotLists]table.Ref
	for i, h := range &e.save.hot {
		var given int
		next[i], given = h.write(c, h.newest(), min(most-n, (most*h.share+31)/32))
		n += given
	}

	for i, h := range &e.save.hot {
		_, given := h.write(c, next[i], most-n)
		n += given
	}

	for _, t := range lastingTables {
		n += e.columns[t].cold(c, most-n)
	}

	return e.endBlock(c, buf, n), n
}

// Sweep appends to buf one block of the next entries of the tables of Changes, most at most,
// whether they changed or not. A round of Sweep writes a log anew: when done, what the log had
// before the round is not needed any more, and the next Sweep begins another round. Blocks of
// Changes may stand in between. n may be 0 before it is done.
func (e *Engine) Sweep(buf []byte, most int) (out []byte, n int, done bool) {
	return e.pass(buf, most, &e.save.sweep, lastingTables[:], blockLasting)
}

// Rest appends to buf one block of the next entries of what Changes does not give, as Sweep does.
// It is for a clean stop: such blocks must be the last of the log, and [Recall] takes them only
// when little time has passed since.
func (e *Engine) Rest(buf []byte, most int) (out []byte, n int, done bool) {
	return e.pass(buf, most, &e.save.rest, restTables[:], blockRest)
}

// pass appends one block of the next records of some tables, from where at stands.
func (e *Engine) pass(
	buf []byte, most int, at *place, tables []tag, sort uint8,
) (out []byte, n int, done bool) {
	e.save.begun = true
	c := e.beginBlock(buf, sort)
	if sort == blockLasting {
		n = e.givePardons(c, most) // before what was decided since
	}

	var given int
	at.r, given = e.columns[tables[at.col]].each(c, max(at.r, 1), most-n)
	n += given
	if at.r == 0 {
		at.col = (at.col + 1) % len(tables)
		done = at.col == 0
	}

	return e.endBlock(c, buf, n), n, done
}

// notePardon notes that what was held against a host or prefix is forgotten: no older block may
// bring it back. It returns the number of this pardon.
func (e *Engine) notePardon(t tag, k key) uint8 {
	e.save.pardon = max(1, e.save.pardon+1)
	if len(e.save.pardons) < maxPardons {
		e.save.pardons = append(e.save.pardons, pardon{t, k, e.save.pardon})
	}
	return e.save.pardon
}

// givePardons writes pardons that were not saved yet, at most so many, and returns how many.
func (e *Engine) givePardons(c *coder, most int) int {
	n := min(most, len(e.save.pardons))
	for _, p := range e.save.pardons[:n] {
		c.u8((*uint8)(&p.tag))
		p.key.code(c)
		c.u8(&p.no)
	}
	e.save.pardons = append(e.save.pardons[:0], e.save.pardons[n:]...)
	return n
}

func (e *Engine) beginBlock(buf []byte, sort uint8) *coder {
	c := &coder{buf: append(buf, blockMagic...)}
	version := uint8(blockVersion)
	now := e.now
	c.u8(&version)
	c.u8(&sort)
	c.u64(&e.opt.Seed)
	c.at(&now)
	e.codeGlobals(c)
	return c
}

// endBlock returns buf with the block, or without it if there is nothing in it.
func (e *Engine) endBlock(c *coder, buf []byte, n int) []byte {
	if n == 0 {
		return buf
	}
	return binary.BigEndian.AppendUint32(c.buf, crc32.ChecksumIEEE(c.buf[len(buf):]))
}

// blockHead is the head of a block.
type blockHead struct {
	sort uint8
	seed uint64
	at   int64
}

// openBlock checks a block and returns a coder that stands behind the head. The engine's numbers
// are still to be read.
func openBlock(b []byte, now int64) (h blockHead, c *coder, verdict blockState) {
	const least = len(blockMagic) + 2 + 4
	if len(b) < least || string(b[:len(blockMagic)]) != blockMagic {
		return h, nil, blockDamaged
	}
	if b[len(blockMagic)] != blockVersion {
		return h, nil, blockForeign
	}

	// The version comes before the checksum: that of another version may be of another kind.
	body := b[:len(b)-4]
	if crc32.ChecksumIEEE(body) != binary.BigEndian.Uint32(b[len(body):]) {
		return h, nil, blockDamaged
	}

	c = &coder{in: body[len(blockMagic)+1:], reading: true, now: now}
	c.u8(&h.sort)
	c.u64(&h.seed)
	c.at(&h.at)
	if c.err != nil {
		return h, nil, blockDamaged
	}

	return h, c, blockGood
}

// blockState is the result of opening a block.
type blockState uint8

const (
	blockGood blockState = iota
	blockDamaged
	blockForeign // of another version
)
