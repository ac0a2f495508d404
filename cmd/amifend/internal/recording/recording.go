// Package recording reads captures of AMI and log files of PBXs as one stream of observations in
// the order of time, as the daemon would have received them.
//
// Each file counts as a server of its own, except that rotated files are one. Its format is
// recognized by its content: a capture of AMI (every byte that a client received), or a log of
// Asterisk, plain or packed by gzip or bzip2. A request that the files report twice, in the security
// channel and in a NOTICE line, is one event, and so is a line that is in two files.
package recording

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"net/netip"
	"path/filepath"
	"strings"
	"sync/atomic"
	"time"

	"github.com/amifend/amifend/ami"
	"github.com/amifend/amifend/cmd/amifend/internal/asterisklog"
	"github.com/amifend/amifend/policy"
)

// Event is one event of a recording.
type Event struct {
	policy.Observation               // At is the time of the recording, see clock
	Transport          ami.Transport // TransportUnknown if the file does not have it
	Taint              ami.Taint
	Local              netip.Addr // the PBX's address, if the event has one that can be trusted
	Own                bool       // the login of the daemon itself

	// Family is the kind of lines that reported it, FamilySecurity for an event of the PBX itself.
	Family asterisklog.Family

	keys  keys
	stamp int64 // the time as the file has it
	file  int
}

// Options control how files are read.
type Options struct {
	Location *time.Location // of a log's time stamps without an offset; nil: the system's
	// Username is the daemon's manager user, by which its own login is recognized. It may be
	// empty.
	Username string
}

// maxFiles is the number of files that can be read together: an observation names its server in 16
// bits.
const maxFiles = math.MaxUint16

// Set is a set of recordings that are read together.
type Set struct {
	files   []*file
	heads   []Event  // the next event of each file
	alive   []bool   // whether it has one
	servers []string // their names, by the number in an observation
	skipped []Skipped
	pairs   pairs
	copies  copies
	logs    bool // a log is among the files
	size    int64
	read    atomic.Int64
}

// Skipped is a file that was left out.
type Skipped struct {
	Name string
	Why  string
}

// Open opens files, and those in folders. Events of the same time come in the order of their files.
// The observations are hashed with seed 0. A file that is not a recording is skipped if there are
// others: see [Set.Skipped].
func Open(names []string, o Options) (*Set, error) {
	// Errors are collected, so that all bad names are reported at once.
	names, found, errs := expand(names)
	if len(names) > maxFiles {
		return nil, fmt.Errorf("open %d files: no more than %d can be read together", len(names),
			maxFiles)
	}

	s := &Set{}
	var foreign []error
	for _, name := range names {
		in, err := open(name, &s.read)
		switch {
		case err == nil:
			s.add(name, in, o)
		case isForeign(err), found[name]:
			// It was found in a folder, or it is not a recording. The others are read all the same.
			foreign = append(foreign, err)
			s.skipped = append(s.skipped, Skipped{name, reason(err)})
		default:
			errs = append(errs, err)
		}
	}

	// With nothing left to read, a skipped file is an error after all.
	if len(s.files) == 0 {
		errs = append(errs, foreign...)
	}
	if len(errs) > 0 {
		s.Close()
		return nil, errors.Join(errs...)
	}

	// Now it is certain which files are read, and so which number each server has.
	s.heads = make([]Event, len(s.files))
	s.alive = make([]bool, len(s.files))
	numbers := make(map[string]int)
	for i, f := range s.files {
		stem := stemOf(f.name)
		n, ok := numbers[stem]
		if !ok {
			n = len(numbers)
			numbers[stem] = n
			s.servers = append(s.servers, stem)
		}

		f.translator.Server = uint16(n)
		f.number = i
		f.paired = s.logs
	}

	return s, nil
}

// stemOf returns a file's name without what logrotate and Asterisk add to it: `full.1`,
// `full-20261123.gz`, `full.2026-11-23` and `full` are the log of one PBX.
func stemOf(name string) string {
	for _, end := range [...]string{".gz", ".bz2"} {
		name = strings.TrimSuffix(name, end)
	}

	// The number or the date is the last part.
	stem := strings.TrimRight(name, "0123456789-")
	rest := name[len(stem):]
	switch {
	case rest == "" || stem == "" || stem[len(stem)-1] == filepath.Separator:
		return name
	case strings.HasSuffix(stem, "."):
		return strings.TrimSuffix(stem, ".")
	case rest[0] == '-' && len(rest) >= len("-20261123"):
		return stem
	}

	return name
}

func (s *Set) add(name string, in *input, o Options) {
	s.size += in.size
	s.logs = s.logs || in.format == FormatLog
	s.files = append(s.files, openFile(name, in, o))
}

// reason returns the text of an error without the name of the file in front.
func reason(err error) string {
	if inner := errors.Unwrap(err); inner != nil {
		err = inner
	}
	return err.Error()
}

// Close closes the files.
func (s *Set) Close() {
	for _, f := range s.files {
		f.closer.Close()
	}
}

// Names returns the names of the servers, by their numbers: those of the files, without the numbers
// and dates of rotated ones.
func (s *Set) Names() []string { return s.servers }

// Skipped returns the files that were left out.
func (s *Set) Skipped() []Skipped { return s.skipped }

// Twice returns the number of lines that were left out because an event reported the same request.
func (s *Set) Twice() uint64 { return s.pairs.twice }

// Copies returns the number of events that were left out because another file holds the same.
func (s *Set) Copies() uint64 { return s.copies.left }

// Progress returns how many bytes of the files were read so far, and how many there are in all, or
// 0 if that is not known. It may be called while Play runs.
func (s *Set) Progress() (read, size int64) { return s.read.Load(), s.size }

// Play calls yield with each event in the order of time. Events of the same time come in the order
// of their files. A file that cannot be read to its end is played up to there, and named in the
// error. Play stops at once when ctx ends.
func (s *Set) Play(ctx context.Context, yield func(*Event)) error {
	// Only a log can report a request a second time.
	take := yield
	if s.logs {
		s.pairs.yield = yield
		take = s.pairs.take
	}

	// A merge of sorted streams: the earliest of all heads is next.
	for i := range s.files {
		s.heads[i], s.alive[i] = s.files[i].next()
	}

	for n := 0; ; n++ {
		// Asking for every event would cost time. This is often enough for an interrupt.
		if n%4096 == 0 && ctx.Err() != nil {
			return ctx.Err()
		}

		// A linear search is fast enough, because most sets have a handful of files.
		first := -1
		for i := range s.files {
			if s.alive[i] && (first < 0 || s.heads[i].At < s.heads[first].At) {
				first = i
			}
		}

		if first < 0 {
			// Lines may still wait for an event.
			s.pairs.end()
			return s.err()
		}

		// A PBX that logs to several files writes the same line to each.
		if ev := &s.heads[first]; !s.logs || len(s.files) == 1 || !s.copies.repeats(ev) {
			take(ev)
		}
		s.heads[first], s.alive[first] = s.files[first].next()
	}
}

func (s *Set) err() error {
	var errs []error
	for _, f := range s.files {
		if f.err != nil && !errors.Is(f.err, io.EOF) {
			errs = append(errs, fmt.Errorf("read %s: %w", f.name, f.err))
		}
	}
	return errors.Join(errs...)
}

// Files returns a description of each file, with the counts so far.
func (s *Set) Files() []File {
	out := make([]File, len(s.files))
	for i, f := range s.files {
		out[i] = f.describe()
	}
	return out
}
