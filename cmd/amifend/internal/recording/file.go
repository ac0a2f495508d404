package recording

import (
	"errors"
	"io"
	"net/netip"
	"time"

	"github.com/amifend/amifend/ami"
	"github.com/amifend/amifend/cmd/amifend/internal/asterisklog"
	"github.com/amifend/amifend/cmd/amifend/internal/observe"
	"github.com/amifend/amifend/policy"
)

// reader is what a file's format is read by: a capture or a log.
type reader interface {
	// Read reads a piece and calls emit with the events in it. At the end it returns io.EOF.
	Read(emit func(ami.Event)) error
}

// Format is what a file holds.
type Format string

// The formats.
const (
	FormatAMI   Format = "AMI capture"
	FormatLog   Format = "Asterisk log"
	FormatEmpty Format = "empty"
)

// File tells what was read of a file.
type File struct {
	Name   string
	Format Format
	Events uint64            // events with a certain source
	AMI    ami.Stats         // of the decoder
	Log    asterisklog.Stats // of a log
}

// leadMost is how many events are held back at most until the first time that counts is found.
const leadMost = 4096

// file is one recording. Its events wait in queue, in the order of the file, each with the PBX's time in At.
type file struct {
	name       string
	format     Format
	closer     io.Closer
	reader     reader
	translator observe.Translator
	err        error // io.EOF at the end
	queue      []Event
	head       int
	raw        int64 // the time of the last event that tells one
	clock      clock
	started    bool
	events     uint64
}

func openFile(name string, server uint16, o Options) (*file, error) {
	in, err := open(name)
	if err != nil {
		return nil, err
	}
	f := &file{
		name: name, format: in.format, closer: in.closer,
		translator: observe.Translator{Server: server, Hasher: policy.NewHasher(policy.FixedSeed)},
	}
	switch in.format {
	case FormatAMI:
		f.reader = &capture{in: in, decoder: ami.NewDecoder(o.Username)}
	case FormatLog:
		f.reader = asterisklog.NewReader(in, asterisklog.Options{Location: o.Location, Modified: in.modified})
	case FormatEmpty:
		f.err = io.EOF
	}
	return f, nil
}

// next returns the file's next event with its time.
func (f *file) next() (Event, bool) {
	if !f.started {
		f.started = true
		f.start()
	}
	f.fill(2)
	if f.head == len(f.queue) {
		return Event{}, false
	}
	ev := f.queue[f.head]
	f.head++
	var next int64
	hasNext := f.head < len(f.queue)
	if hasNext {
		next = f.queue[f.head].At
	}
	ev.At = f.clock.time(ev.At, next, hasNext)
	f.events++
	return ev, true
}

// start finds the first time that counts: what comes before it has no predecessor whose time it could take.
func (f *file) start() {
	for n := 2; n <= leadMost; n++ {
		f.fill(n)
		if len(f.queue) < n {
			break
		}
		if counts(f.queue[n-2].At, f.queue[n-1].At) {
			f.clock.last = f.queue[n-2].At
			return
		}
	}
	if len(f.queue) > 0 {
		f.clock.last = f.queue[0].At
	}
}

// fill reads until n events wait or the file ends.
func (f *file) fill(n int) {
	if f.head > 0 && len(f.queue)-f.head < n {
		f.queue = f.queue[:copy(f.queue, f.queue[f.head:])]
		f.head = 0
	}
	for len(f.queue)-f.head < n && f.err == nil {
		f.err = f.reader.Read(f.take)
	}
}

// take appends one event. The time of an injection is Asterisk's own too: EventTV stands before all injected text. One
// that tells no time, which only an injection does not, has that of the one before it.
func (f *file) take(ev ami.Event) {
	if !ev.Time.IsZero() {
		f.raw = ev.Time.UnixNano()
	}
	o, ok := f.translator.Observation(ev, f.raw)
	if !ok {
		return
	}
	out := Event{Observation: o, Transport: ev.Transport, Taint: ev.Taint, Own: ev.Own}
	if ev.Taint == ami.Untainted {
		out.Local = ev.Local.Addr()
	}
	if f.queue = append(f.queue, out); len(f.queue) == 1 || f.queue[0].At != 0 {
		return
	}
	if f.raw != 0 && f.head == 0 { // the first that tells a time tells it for those before it
		for i := range f.queue {
			if f.queue[i].At == 0 {
				f.queue[i].At = f.raw
			}
		}
	}
}

func (f *file) describe() File {
	out := File{Name: f.name, Format: f.format, Events: f.events}
	switch r := f.reader.(type) {
	case *capture:
		out.AMI = r.decoder.Stats()
	case *asterisklog.Reader:
		out.Log = r.Stats()
		out.AMI = out.Log.Decoder
	}
	return out
}

// capture reads the bytes of an AMI connection.
type capture struct {
	in      io.Reader
	decoder *ami.Decoder
}

// Read reads a piece. What waits for more at the end is released, as in a session that is closed.
func (c *capture) Read(emit func(ami.Event)) error {
	n, err := c.in.Read(c.decoder.Buffer())
	c.decoder.Advance(n, emit, func([]byte) {})
	if err != nil {
		c.decoder.Release(emit)
		if errors.Is(err, io.EOF) {
			return io.EOF
		}
	}
	return err
}

// PBXAddr is the PBX's address, as far as it is one that must be protected.
func (e *Event) PBXAddr() (netip.Addr, bool) {
	a := e.Local.Unmap().WithZone("")
	return a, a.IsValid() && !a.IsUnspecified() && !a.IsLoopback() && !a.IsMulticast()
}

// Time is the event's time.
func (e *Event) Time() time.Time { return time.Unix(0, e.At).UTC() }
