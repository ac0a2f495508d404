package policy

import (
	"bufio"
	"bytes"
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"math"
	"slices"
)

// stateMagic begins an exported state; its last byte is the version of the format.
const stateMagic = "amifend policy state \x01"

// Export writes all that the engine remembers, its seed included, so that a restart forgets nothing: see [Restore]. What is
// protected is not part of it. The format is binary, sorted, and the same for the same state.
func (e *Engine) Export(w io.Writer) error {
	b := bufio.NewWriter(w)
	c := &coder{w: b}
	c.bytes([]byte(stateMagic))
	e.code(c)
	c.checksum()
	if c.err == nil {
		c.err = b.Flush()
	}
	return c.err
}

// Restore returns an engine that goes on where the exported one stood, with the options given; the seed is that of the
// state. What has no room by them is left out, the oldest first. now is the time, nanoseconds since the Unix epoch: what the
// state dates later, since a clock was wrong, is taken as of now. An error means that the state is damaged, or of another
// version.
func Restore(o Options, now int64, r io.Reader) (*Engine, error) {
	c := &coder{r: bufio.NewReader(r), now: now, longest: int64(o.BanMax)}
	magic := make([]byte, len(stateMagic))
	if c.bytes(magic); c.err == nil && string(magic) != stateMagic {
		c.err = errors.New("not an exported state of this version")
	}
	c.u64(&o.Seed)
	if c.err != nil {
		return nil, fmt.Errorf("read policy state: %w", c.err)
	}
	e, err := New(o)
	if err != nil {
		return nil, err
	}
	e.codeAfterSeed(c)
	c.checksum()
	if c.err == nil {
		if _, err := c.r.ReadByte(); err != io.EOF {
			c.err = errors.New("it goes on after its end")
		}
	}
	if c.err != nil {
		return nil, fmt.Errorf("read policy state: %w", c.err)
	}
	return e, nil
}

func (e *Engine) code(c *coder) {
	c.u64(&e.opt.Seed)
	e.codeAfterSeed(c)
}

func (e *Engine) codeAfterSeed(c *coder) {
	now := e.now
	c.at(&now)
	e.setNow(now)
	c.u32(&e.alertMinute)
	for r := range e.alertsUsed {
		c.u16(&e.alertsUsed[r])
	}
	used := uint32(e.budgetUsed)
	c.u32(&e.budgetMinute)
	c.u32(&used)
	c.second(&e.blindAt)
	c.bool(&e.blind)
	c.at(&e.dialogsLost)
	e.budgetUsed = int(min(used, maxForgeable))

	// The order matters to reading: bans tell the list of a source, accounts are what it refers to.
	codeTable(c, e.bans, (*key).code, (*ban).code, func(b *ban) int64 { return b.until }, func(en *entry[key, ban]) uint8 { return listOf(en.val.scope) })
	codeTable(c, e.accounts, (*accountID).code, (*account).code, func(a *account) int64 { return int64(a.at) }, func(en *entry[accountID, account]) uint8 {
		return listOfTried(en.val.okAt, whole(en.val.strangers))
	})
	codeTable(c, e.pairs, (*pairKey).code, (*pair).code, func(p *pair) int64 { return int64(p.touched) }, func(en *entry[pairKey, pair]) uint8 {
		return listOfTried(en.val.okAt, int(en.val.fails)+int(en.val.excused)+int(en.val.shielded))
	})
	codeSource := func(s *source, c *coder) { s.code(c, e) }
	codeTable(c, e.sources, (*host).code, codeSource, func(s *source) int64 { return int64(s.at) }, func(*entry[host, source]) uint8 { return listCalm })
	codeTable(c, e.networks, (*key).code, (*network).code, func(n *network) int64 { return int64(n.at) }, func(*entry[key, network]) uint8 { return listCalm })
	if c.truncated {
		e.blindAt, e.blind = e.sec, true // see touchNetwork
	}
	codeTable(c, e.requests, (*requestKey).code, (*request).code, func(q *request) int64 { return q.at }, func(en *entry[requestKey, request]) uint8 {
		if en.val.held {
			return listHeld
		}
		return listPlain
	})
	codeTable(c, e.dialogs, (*dialogKey).code, (*dialog).code, func(d *dialog) int64 { return d.at }, func(*entry[dialogKey, dialog]) uint8 { return listAll })
	codeTable(c, e.silents, (*key).code, (*silent).code, func(q *silent) int64 { return q.at }, func(en *entry[key, silent]) uint8 {
		if en.val.accounts > unansweredFree && en.val.weighed == 0 {
			return listHeld
		}
		return listPlain
	})
	codeTable(c, e.trails, (*key).code, (*trail).code, func(t *trail) int64 { return t.ring[(t.n-1)%evidenceKept].At }, func(en *entry[key, trail]) uint8 {
		if en.val.n > 1 {
			return listTrail
		}
		return listSingle
	})
	codeTable(c, e.alerts, (*alertKey).code, codeSecond, func(at *uint32) int64 { return int64(*at) }, func(*entry[alertKey, uint32]) uint8 { return listAll })
	if c.r != nil && c.err == nil {
		e.relist()
	}
}

// listOfTried returns the list of an account, or of one at a source: by its last success, and how often it was tried.
func listOfTried(okAt uint32, tried int) uint8 {
	switch {
	case okAt != 0:
		return listOwned
	case tried > 1:
		return listGuessed
	}
	return listTried
}

// relist puts what was read in the lists where it belongs.
func (e *Engine) relist() {
	e.banCount = [hostBits + 1]int{}
	for _, list := range [...]uint8{listAll, listSIP} {
		for r := e.bans.lists[list].head; r != 0; r = e.bans.at(r).next {
			e.banCount[e.bans.at(r).key.bits]++
		}
	}
	e.listBanBits()
	for r := range e.sources.oldestFirst() {
		e.classify(e.sources.at(r).key.key(), r)
	}
	for r := range e.networks.oldestFirst() {
		e.classifyNetwork(e.networks.at(r).key, r)
	}
}

// codeTable writes a table, sorted by its encoded keys, or reads it. When it is read, age tells the order of its lists,
// and list which one an entry belongs to.
func codeTable[K hashable, V any](c *coder, t *table[K, V], codeKey func(*K, *coder), codeVal func(*V, *coder), age func(*V) int64, list func(*entry[K, V]) uint8) {
	if c.r != nil {
		readTable(c, t, codeKey, codeVal, age, list)
		return
	}
	// All rows of a table have one size: they stand in one buffer, and their numbers are sorted by key.
	var rows coder
	var order []uint32
	keySize, rowSize := 0, 0
	for i := range t.lists {
		for r := t.lists[i].head; r != 0; r = t.at(r).next {
			en := *t.at(r)
			before := len(rows.buf)
			codeKey(&en.key, &rows)
			keySize = len(rows.buf) - before
			codeVal(&en.val, &rows)
			rowSize = len(rows.buf) - before
			if order == nil {
				rows.buf = slices.Grow(rows.buf, (t.n-1)*rowSize)
				order = make([]uint32, 0, t.n)
			}
			order = append(order, uint32(len(order))) // below 2^27
		}
	}
	row := func(i uint32) []byte { return rows.buf[int(i)*rowSize : (int(i)+1)*rowSize] }
	slices.SortFunc(order, func(a, b uint32) int { return bytes.Compare(row(a)[:keySize], row(b)[:keySize]) })
	n := uint32(len(order)) // below 2^27
	c.u32(&n)
	for _, i := range order {
		c.bytes(row(i))
	}
}

func readTable[K hashable, V any](c *coder, t *table[K, V], codeKey func(*K, *coder), codeVal func(*V, *coder), age func(*V) int64, list func(*entry[K, V]) uint8) {
	var n uint32
	c.u32(&n)
	type row struct {
		key K
		val V
	}
	var rows []row
	for range n {
		var r row
		codeKey(&r.key, c)
		codeVal(&r.val, c)
		if c.err != nil {
			return
		}
		rows = append(rows, r)
	}
	slices.SortStableFunc(rows, func(a, b row) int { return cmp.Compare(age(&a.val), age(&b.val)) })
	c.truncated = len(rows) > t.max
	for i := range rows[max(0, len(rows)-t.max):] {
		row := &rows[max(0, len(rows)-t.max)+i]
		if t.get(row.key) != 0 {
			c.err = errors.New("a key comes twice")
			return
		}
		r := t.add(row.key, 0)
		t.at(r).val = row.val
		t.move(r, list(t.at(r)))
	}
}

// coder writes values, or reads them: to w or buf, or from r. Every record names its fields once, for both.
type coder struct {
	w         *bufio.Writer
	r         *bufio.Reader
	buf       []byte
	tmp       [8]byte
	sum       uint32 // CRC-32 of all so far
	truncated bool   // the latest table that was read had no room for all
	err       error

	now     int64 // when it reads: no time may be later
	longest int64 // a ban may last from now on
}

// bytes writes b, or fills it.
func (c *coder) bytes(b []byte) {
	switch {
	case c.err != nil:
	case c.r != nil:
		_, c.err = io.ReadFull(c.r, b)
		c.sum = crc32.Update(c.sum, crc32.IEEETable, b)
	case c.w != nil:
		_, c.err = c.w.Write(b)
		c.sum = crc32.Update(c.sum, crc32.IEEETable, b)
	default:
		c.buf = append(c.buf, b...)
	}
}

// checksum ends the state.
func (c *coder) checksum() {
	want := c.sum
	sum := want
	if c.u32(&sum); sum != want && c.err == nil {
		c.err = errors.New("its checksum is wrong")
	}
}

// at is a time in nanoseconds since the Unix epoch that has been.
func (c *coder) at(v *int64) {
	c.i64(v)
	if c.r != nil {
		*v = min(*v, c.now)
	}
}

// span is when a ban began and when it ends: never later than it was decided for, nor than a ban may last from now on.
func (c *coder) span(from, until *int64) {
	c.i64(from)
	c.i64(until)
	if c.r != nil {
		length := max(*until-*from, 0)
		*from = min(*from, c.now)
		*until = min(*until, *from+length, c.now+c.longest)
	}
}

// second is a time in seconds since the Unix epoch that has been.
func (c *coder) second(v *uint32) {
	c.u32(v)
	if c.r != nil {
		*v = min(*v, secondOf(c.now))
	}
}

// end is a time in seconds since the Unix epoch when a ban ends or ended.
func (c *coder) end(v *uint32) {
	c.u32(v)
	if c.r != nil {
		*v = min(*v, secondOf(c.now+c.longest))
	}
}

// Numbers are big endian, so that keys sort as addresses do.

func (c *coder) u64(v *uint64) {
	binary.BigEndian.PutUint64(c.tmp[:], *v)
	c.bytes(c.tmp[:8])
	*v = binary.BigEndian.Uint64(c.tmp[:])
}

func (c *coder) u32(v *uint32) {
	binary.BigEndian.PutUint32(c.tmp[:], *v)
	c.bytes(c.tmp[:4])
	*v = binary.BigEndian.Uint32(c.tmp[:])
}

func (c *coder) u16(v *uint16) {
	binary.BigEndian.PutUint16(c.tmp[:], *v)
	c.bytes(c.tmp[:2])
	*v = binary.BigEndian.Uint16(c.tmp[:])
}

func (c *coder) u8(v *uint8) {
	c.tmp[0] = *v
	c.bytes(c.tmp[:1])
	*v = c.tmp[0]
}

func (c *coder) i64(v *int64) {
	u := uint64(*v)
	c.u64(&u)
	*v = int64(u)
}

func (c *coder) bool(v *bool) {
	var u uint8
	if *v {
		u = 1
	}
	c.u8(&u)
	*v = u != 0
}

// f32 is a score: not negative, and a number.
func (c *coder) f32(v *float32) {
	u := math.Float32bits(*v)
	c.u32(&u)
	*v = math.Float32frombits(u)
	if !(*v >= 0 && *v <= math.MaxFloat32) && c.err == nil {
		c.err = errors.New("a score is no number")
	}
}
