package policy

import (
	"encoding/binary"
	"errors"
	"io"
	"math"
	"time"
)

// codeGlobals writes or reads what the engine remembers beside its tables and the time.
func (e *Engine) codeGlobals(c *coder) {
	c.u32(&e.limits.minute)

	// One more rule must not change the format, so their number comes first.
	n := uint8(ruleCount)
	c.u8(&n)
	for r := range n {
		var other uint16 // of a rule of a later version
		used := &other
		if r < uint8(ruleCount) {
			used = &e.limits.used[r]
		}
		c.u16(used)
	}

	used := uint32(e.budget.used)
	c.u32(&e.budget.minute)
	c.u32(&used)
	c.second(&e.blindAt)
	c.bool(&e.blind)
	e.budget.used = int(min(used, maxForgeable))
	c.u8(&e.save.pardon)
	half := int64(e.opt.HalfLife)
	c.i64(&half)
	c.refade = newRefade(time.Duration(half), e.opt.HalfLife)
}

// coder appends values to buf, or reads them from in. Every record names its fields once, for both.
type coder struct {
	buf     []byte
	tmp     [8]byte
	in      []byte
	reading bool      // from in
	owned   accountID // that the latest source was written or read with
	refade  refade    // from the half-life of what is read to that of the engine
	err     error

	now int64 // when it reads: no time may be later
}

// bytes writes b, or fills it.
func (c *coder) bytes(b []byte) {
	switch {
	case c.err != nil:
	case !c.reading:
		c.buf = append(c.buf, b...)
	case len(c.in) < len(b):
		c.err = io.ErrUnexpectedEOF
	default:
		c.in = c.in[copy(b, c.in):]
	}
}

// fail notes what is wrong with what is read.
func (c *coder) fail(what string) {
	if c.reading && c.err == nil {
		c.err = errors.New(what)
	}
}

// at is a time in nanoseconds since the Unix epoch that has been.
func (c *coder) at(v *int64) {
	c.i64(v)
	if c.reading {
		*v = min(*v, c.now)
	}
}

// second is a time in seconds since the Unix epoch that has been.
func (c *coder) second(v *uint32) {
	c.u32(v)
	if c.reading {
		*v = min(*v, secondOf(c.now))
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
		c.fail("a score is not a number")
	}
}
