package recording

import (
	"io"
	"net/netip"
	"time"

	"github.com/amifend/amifend/ami"
	"github.com/amifend/amifend/cmd/amifend/internal/asterisklog"
	"github.com/amifend/amifend/policy"
	"github.com/amifend/amifend/policy/fromami"
)

// reader is what a file's format is read by: a capture or a log.
type reader interface {
	// Read reads a piece and calls emit with the events in it. At the end it returns io.EOF.
	Read(emit func(asterisklog.Event)) error
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

// file is one recording. Its events wait in queue, in the order of the file, each with the PBX's
// time in At.
type file struct {
	name       string
	format     Format
	closer     io.Closer
	reader     reader
	translator fromami.Translator
	err        error // io.EOF at the end
	queue      []Event
	head       int
	raw        int64 // the time of the last event that tells one
	clock      clock
	ahead      []int64 // scratch: the times of following events
	started    bool
	paired     bool // keys are needed, since a log is among the files
	events     uint64
}

func openFile(name string, in *input, o Options) *file {
	f := &file{
		name: name, format: in.format, closer: in.closer,
		translator: fromami.Translator{Hasher: policy.NewHasher(policy.FixedSeed)},
	}
	switch in.format {
	case FormatAMI:
		f.reader = &capture{in: in.Reader, decoder: ami.NewDecoder(o.Username)}
	case FormatLog:
		f.reader = asterisklog.NewReader(in.Reader, asterisklog.Options{
			Location: o.Location,
			Modified: in.modified,
		})
	case FormatEmpty:
		f.err = io.EOF
	}
	return f
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

	ev.At = f.clock.time(ev.At, f.following(ev.At))
	f.events++
	return ev, true
}

// following returns the times of the events behind the current one, which is dated at: the next
// one, or several if at is a jump.
func (f *file) following(at int64) []int64 {
	n := 1
	if at+f.clock.shift-f.clock.last > jump {
		n = confirming
		f.fill(n)
	}
	f.ahead = f.ahead[:0]
	for i := f.head; i < len(f.queue) && len(f.ahead) < n; i++ {
		f.ahead = append(f.ahead, f.queue[i].At)
	}
	return f.ahead
}

// start finds the first time that counts: an event before it has no predecessor whose time it could
// take.
func (f *file) start() {
	for n := 2; n <= leadMost; n++ {
		f.fill(n)
		if len(f.queue) < n {
			break
		}
		if f.queue[n-2].At <= f.queue[n-1].At {
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

// take appends one event. The time of an injection is Asterisk's own too: EventTV stands before all
// injected text. One that tells no time, which only an injection does not, has that of the one
// before it.
func (f *file) take(ev asterisklog.Event) {
	if !ev.Time.IsZero() {
		f.raw = ev.Time.UnixNano()
	}
	o, ok := f.translator.Observation(ev.Event, f.raw)
	if !ok {
		return
	}
	if ev.Family == asterisklog.FamilyIAX2 {
		o.Service = policy.ServiceIAX2 // which the AMI library does not know: it raises no event
	}
	out := Event{
		Observation: o, Transport: ev.Transport, Taint: ev.Taint, Own: ev.Own,
		Family: ev.Family,
	}
	if f.paired {
		out.keys = keysOf(&ev.Event, ev.Family, &o, f.translator.Hasher)
	}
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

// PBXAddr is the PBX's address, as far as it is one that must be protected.
func (e *Event) PBXAddr() (netip.Addr, bool) {
	a := e.Local.Unmap().WithZone("")
	return a, a.IsValid() && !a.IsUnspecified() && !a.IsLoopback() && !a.IsMulticast()
}

// Time is the event's time.
func (e *Event) Time() time.Time { return time.Unix(0, e.At).UTC() }
