package policy

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"math"
	"time"
)

// stateMagic begins an exported state; its last byte is the version of the format.
const stateMagic = "amifend policy state \x03"

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
	c := &coder{r: bufio.NewReader(r), reading: true, now: now, longest: int64(o.BanMax)}
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
	e.codeGlobals(c)
	for _, col := range e.columns {
		col.code(c)
	}
	if c.reading && c.err == nil {
		e.relist()
	}
}

// codeGlobals writes or reads what the engine remembers beside its tables and the time.
func (e *Engine) codeGlobals(c *coder) {
	c.u32(&e.alertMinute)
	for r := range e.alertsUsed {
		c.u16(&e.alertsUsed[r])
	}
	used := uint32(e.budgetUsed)
	c.u32(&e.budgetMinute)
	c.u32(&used)
	c.second(&e.blindAt)
	c.bool(&e.blind)
	e.budgetUsed = int(min(used, maxForgeable))
	c.u8(&e.save.pardon)
	half := int64(e.opt.HalfLife)
	c.i64(&half)
	c.refade = newRefade(time.Duration(half), e.opt.HalfLife)
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

// relist counts the bans that were read.
func (e *Engine) relist() {
	e.banCount = [hostBits + 1]int{}
	for _, list := range [...]uint8{listAll, listSIP} {
		for r := e.bans.lists[list].head; r != 0; r = e.bans.at(r).next {
			e.banCount[e.bans.at(r).key.bits]++
		}
	}
	e.listBanBits()
}

// coder writes values, or reads them: to w or buf, from r or in. Every record names its fields once, for both.
type coder struct {
	w       *bufio.Writer
	r       *bufio.Reader
	buf     []byte
	tmp     [8]byte
	in      []byte
	sum     uint32    // CRC-32 of all so far
	reading bool      // from r, or from in
	short   bool      // names and evidence take no more room than they need
	owned   accountID // that the latest source was written or read with
	refade  refade    // from the half-life of what is read to that of the engine
	err     error

	now     int64 // when it reads: no time may be later
	longest int64 // a ban may last from now on
}

// bytes writes b, or fills it.
func (c *coder) bytes(b []byte) {
	switch {
	case c.err != nil:
	case c.reading && c.r == nil:
		if len(c.in) < len(b) {
			c.err = io.ErrUnexpectedEOF
			return
		}
		c.in = c.in[copy(b, c.in):]
	case c.reading:
		_, c.err = io.ReadFull(c.r, b)
		c.sum = crc32.Update(c.sum, crc32.IEEETable, b)
	case c.w != nil:
		_, c.err = c.w.Write(b)
		c.sum = crc32.Update(c.sum, crc32.IEEETable, b)
	default:
		c.buf = append(c.buf, b...)
	}
}

// fail notes what is wrong with what is read.
func (c *coder) fail(what string) {
	if c.err == nil {
		c.err = errors.New(what)
	}
}

// checksum ends the state.
func (c *coder) checksum() {
	want := c.sum
	sum := want
	if c.u32(&sum); sum != want {
		c.fail("its checksum is wrong")
	}
}

// at is a time in nanoseconds since the Unix epoch that has been.
func (c *coder) at(v *int64) {
	c.i64(v)
	if c.reading {
		*v = min(*v, c.now)
	}
}

// span is when a ban began and when it ends: never later than it was decided for, nor than a ban may last from now on.
func (c *coder) span(from, until *int64) {
	c.i64(from)
	c.i64(until)
	if c.reading {
		length := max(*until-*from, 0)
		*from = min(*from, c.now)
		*until = min(*until, *from+length, c.now+c.longest)
	}
}

// second is a time in seconds since the Unix epoch that has been.
func (c *coder) second(v *uint32) {
	c.u32(v)
	if c.reading {
		*v = min(*v, secondOf(c.now))
	}
}

// end is a time in seconds since the Unix epoch when a ban ends or ended.
func (c *coder) end(v *uint32) {
	c.u32(v)
	if c.reading {
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
	if !(*v >= 0 && *v <= math.MaxFloat32) {
		c.fail("a score is no number")
	}
}
