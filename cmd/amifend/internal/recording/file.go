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

// reader reads one format: a capture or a log.
type reader interface {
	// Read reads a piece and calls emit with the events in it. At the end it returns io.EOF.
	Read(emit func(asterisklog.Event)) error
}

// Format is the format of a file.
type Format string

// The formats.
const (
	FormatAMI   Format = "AMI capture"
	FormatLog   Format = "Asterisk log"
	FormatEmpty Format = "empty"
)

// File describes a file and counts what was read from it.
type File struct {
	Name   string
	Format Format
	Events uint64            // events with a certain source
	Lost   uint64            // events of a capture that was changed on its way in part
	AMI    ami.Stats         // of the decoder
	Log    asterisklog.Stats // of a log
}

// leadMost is the largest number of events that are held back until the first accepted time is
// found.
const leadMost = 4096

// file is one recording. Its events wait in queue, in the order of the file, each with the PBX's
// time in At.
type file struct {
	name       string
	number     int // among the files
	format     Format
	closer     io.Closer
	reader     reader
	translator fromami.Translator
	err        error // io.EOF at the end
	queue      []Event
	head       int
	raw        int64 // the time of the last event that has one, as the file has it
	clock      clock
	ahead      []int64 // scratch: the times of following events
	started    bool
	paired     bool // a log is among the files, so events need keys
	events     uint64
}

func openFile(name string, in *input, o Options) *file {
	f := &file{
		name: name, format: in.format, closer: in.closer,
		translator: fromami.Translator{Hasher: policy.NewHasher(policy.FixedSeed)},
	}

	// An empty file ends at once. It is still listed.
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

// next returns the file's next event with its time. It reports false at the end of the file.
func (f *file) next() (Event, bool) {
	if !f.started {
		f.started = true
		f.start()
	}

	// The event behind this one may contradict its time.
	f.fill(2)
	if f.head == len(f.queue) {
		return Event{}, false
	}

	ev := f.queue[f.head]
	f.head++
	ev.stamp = ev.At
	ev.file = f.number

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

	// At the end of the file fewer than n may remain.
	f.ahead = f.ahead[:0]
	for i := f.head; i < len(f.queue) && len(f.ahead) < n; i++ {
		f.ahead = append(f.ahead, f.queue[i].At)
	}

	return f.ahead
}

// start finds the first accepted time. The events before it have no predecessor whose time they
// could take.
func (f *file) start() {
	// Two times in order confirm each other.
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

	// No two are in order, so take the first.
	if len(f.queue) > 0 {
		f.clock.last = f.queue[0].At
	}
}

// fill reads until n events wait or the file ends.
func (f *file) fill(n int) {
	// The queue moves down, so that it stays as short as what waits.
	if f.head > 0 && len(f.queue)-f.head < n {
		f.queue = f.queue[:copy(f.queue, f.queue[f.head:])]
		f.head = 0
	}
	for len(f.queue)-f.head < n && f.err == nil {
		f.err = f.reader.Read(f.take)
	}
}

// take appends one event. The time of an injection can be trusted too, because EventTV comes before
// all injected text. An injection without a time takes that of the event before it.
func (f *file) take(ev asterisklog.Event) {
	if !ev.Time.IsZero() {
		f.raw = ev.Time.UnixNano()
	}

	// An event without a certain source is no evidence.
	o, ok := f.translator.Observation(ev.Event, f.raw)
	if !ok {
		return
	}

	if ev.Family == asterisklog.FamilyIAX2 {
		o.Service = policy.ServiceIAX2 // package ami does not know it, as it raises no events
	}
	out := Event{
		Observation: o, Transport: ev.Transport, Taint: ev.Taint, Own: ev.Own,
		Family: ev.Family,
	}

	// Hashing costs time, so keys are computed only where a log may repeat an event.
	if f.paired {
		out.keys = keysOf(&ev.Event, ev.Family, &o, f.translator.Hasher)
	}

	// Injected text may name any address as the PBX's own, which would then be protected.
	if ev.Taint == ami.Untainted {
		out.Local = ev.Local.Addr()
	}

	// Only events at the very beginning may lack a time. They take the first one that comes.
	if f.queue = append(f.queue, out); len(f.queue) == 1 || f.queue[0].At != 0 {
		return
	}
	if f.raw != 0 && f.head == 0 {
		for i := range f.queue {
			if f.queue[i].At == 0 {
				f.queue[i].At = f.raw
			}
		}
	}
}

func (f *file) describe() File {
	out := File{Name: f.name, Format: f.format, Events: f.events}

	// A log uses a decoder too, for the lines of the security channel.
	switch r := f.reader.(type) {
	case *capture:
		out.AMI = r.decoder.Stats()
		out.Lost = r.lost()
	case *asterisklog.Reader:
		out.Log = r.Stats()
		out.AMI = out.Log.Decoder
	}

	return out
}

// PBXAddr returns the PBX's address. It reports false if the event has none that must be
// protected.
func (e *Event) PBXAddr() (netip.Addr, bool) {
	a := e.Local.Unmap().WithZone("")
	return a, a.IsValid() && !a.IsUnspecified() && !a.IsLoopback() && !a.IsMulticast()
}

// Time returns the event's time in UTC.
func (e *Event) Time() time.Time { return time.Unix(0, e.At).UTC() }
