// Package recording reads what PBXs told in the past, captures of AMI and log files, as one stream of observations in the
// order of time: what the daemon would have heard.
//
// Each file is a server of its own. What kind of file it is, its content says: a capture of AMI (every byte that a client
// received), or a log of Asterisk, either of them as it is or packed by gzip or bzip2.
package recording

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"net/netip"
	"time"

	"github.com/amifend/amifend/ami"
	"github.com/amifend/amifend/policy"
)

// Event is one event of a recording.
type Event struct {
	policy.Observation               // At is the time of the recording, see clock
	Transport          ami.Transport // TransportUnknown if the file does not tell
	Taint              ami.Taint
	Local              netip.Addr // the PBX's address, if the event tells it and can be trusted
	Own                bool       // the login of the daemon itself
}

// Options say how to read.
type Options struct {
	Location *time.Location // of a log's time stamps without an offset; nil: the system's
	Username string         // the daemon's manager user, so that its own login is known; may be empty
}

// maxFiles is how many files can be read together: an observation names its server in 16 bits.
const maxFiles = math.MaxUint16

// Set is several recordings that are read together.
type Set struct {
	files []*file
	heads []Event // the next event of each file
	alive []bool  // whether it has one
}

// Open opens files. Their order is the order of events of the same time. The observations are hashed with seed 0.
func Open(names []string, o Options) (*Set, error) {
	if len(names) > maxFiles {
		return nil, fmt.Errorf("open %d files: no more than %d can be read together", len(names), maxFiles)
	}
	s := &Set{heads: make([]Event, len(names)), alive: make([]bool, len(names))}
	var errs []error
	for i, name := range names {
		f, err := openFile(name, uint16(i), o)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		s.files = append(s.files, f)
	}
	if len(errs) > 0 {
		s.Close()
		return nil, errors.Join(errs...)
	}
	return s, nil
}

// Close closes the files.
func (s *Set) Close() {
	for _, f := range s.files {
		f.closer.Close()
	}
}

// Play calls yield with each event, in the order of time, of the same time in the order of the files. A file that breaks
// off is played as far as it goes, and then told of in the error. It stops at once when ctx ends.
func (s *Set) Play(ctx context.Context, yield func(*Event)) error {
	for i := range s.files {
		s.heads[i], s.alive[i] = s.files[i].next()
	}
	for n := 0; ; n++ {
		if n%4096 == 0 && ctx.Err() != nil {
			return ctx.Err()
		}
		first := -1
		for i := range s.files {
			if s.alive[i] && (first < 0 || s.heads[i].At < s.heads[first].At) {
				first = i
			}
		}
		if first < 0 {
			return s.err()
		}
		yield(&s.heads[first])
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

// Files tells of each file what was read of it so far.
func (s *Set) Files() []File {
	out := make([]File, len(s.files))
	for i, f := range s.files {
		out[i] = f.describe()
	}
	return out
}
