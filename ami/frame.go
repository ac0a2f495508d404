package ami

import "bytes"

const (
	// MaxPacket bounds the bytes that are kept of a packet, after its values were cut to MaxValue.
	// The longest event that Asterisk can raise has one value of about 64 KiB (a Call-ID). So a
	// longer packet is not an event: it is skipped and counted.
	MaxPacket = 256 << 10

	maxLine   = MaxValue + 64 // room for a key, its `: ` and one byte more than MaxValue
	firstSize = 4 << 10       // the first size of the buffer
	usualSize = 64 << 10      // the size to which it grows when reads fill it
	freeSize  = 2 << 10       // the least space that Buffer returns
)

// frame is the read buffer: it cuts the stream into lines that end with CRLF. A lone CR or a lone
// LF is data.
type frame struct {
	buf  []byte
	end  int // of the bytes in buf
	line int // where the current line begins
	scan int // where to look for the next LF
	// The CR of the line end is here or later. A CR before that is data of an unfinished line that
	// was cut.
	cr   int
	full bool // the last read filled the buffer
}

// next returns the next line without its line end; it begins at f.line until advance is called. It
// returns false when no line is complete.
func (f *frame) next() ([]byte, bool) {
	for {
		i := bytes.IndexByte(f.buf[f.scan:f.end], '\n')
		if i < 0 {
			f.scan = f.end
			f.cutUnfinished()
			return nil, false
		}

		lf := f.scan + i
		f.scan = lf + 1
		if lf > f.cr && f.buf[lf-1] == '\r' {
			return f.cutFinished(lf - 1), true
		}
	}
}

// advance moves to the line after the one that next returned.
func (f *frame) advance() { f.line, f.cr = f.scan, f.scan }

// cutFinished cuts the current line, whose CR is at cr, to maxLine bytes.
func (f *frame) cutFinished(cr int) []byte {
	if keep := f.line + maxLine; cr > keep {
		copy(f.buf[keep:], f.buf[cr:f.end])
		f.end -= cr - keep
		f.scan -= cr - keep
		cr = keep
	}
	return f.buf[f.line:cr]
}

// cutUnfinished cuts a line whose end has not come yet to maxLine bytes. It keeps a CR that stands
// last, because it may begin the line end.
func (f *frame) cutUnfinished() {
	keep := f.line + maxLine
	if f.end <= keep {
		return
	}
	last := f.buf[f.end-1]
	f.end, f.cr = keep, keep

	if last == '\r' {
		f.buf[keep] = '\r'
		f.end++
	}
	f.scan = f.end
}

// free returns the space after the bytes in the buffer, and grows it when there is too little or
// reads fill it.
func (f *frame) free() []byte {
	size := max(len(f.buf), firstSize)
	if f.full && size < usualSize {
		size *= 2
	}
	for size-f.end < freeSize {
		size *= 2
	}

	if size > len(f.buf) {
		bigger := make([]byte, size)
		copy(bigger, f.buf[:f.end])
		f.buf = bigger
	}

	return f.buf[f.end:]
}
