package nonce

import (
	"net/netip"
	"time"

	"github.com/amifend/amifend/policy/internal/table"
)

const (
	// strayTime is the time within which the names are counted that a destination's answers bear.
	strayTime = time.Minute

	// SpoofedFrom is how many names within strayTime show that their sender forges addresses.
	SpoofedFrom = 3

	// mostStrays limits the destinations that are remembered.
	mostStrays = 1024
)

// Stray is what answers show that went elsewhere than their requests came from.
type Stray struct {
	To   netip.Addr // where they went
	Name netip.Addr // where the request of the latest one came from, as the server wrote
	// how many such names there were within a minute, SpoofedFrom at most
	Names   int
	Answers uint32 // in this time
}

// Spoofed reports whether the sender forges addresses, so that To is likely where it reads the
// answers. Otherwise Name is likely the sender, and To its victim.
func (s Stray) Spoofed() bool { return s.Names >= SpoofedFrom }

// stray is what is remembered of a destination.
type stray struct {
	since   int64
	names   [SpoofedFrom][16]byte
	n       uint8
	answers uint32
}

// Strays remembers where answers went that went astray. One goroutine uses it.
type Strays struct {
	strays *table.Table[place, stray, only]
}

// NewStrays returns a Strays that remembers nothing. seed keys its hashes.
func NewStrays(seed uint64) *Strays {
	return &Strays{table.New[place, stray](mostStrays, seed, ^seed, list)}
}

// Note notes an answer, and returns what its destination's answers show. It reports false for one whose
// origin cannot be read, or that went where its request came from.
func (s *Strays) Note(a *Answer) (Stray, bool) {
	name, to := address(a.Received), address(a.To)
	if !a.Received.IsValid() || a.Cut || name == to {
		return Stray{}, false
	}

	r := s.strays.Get(place(to))
	if r == 0 {
		if s.strays.Full() {
			s.strays.Remove(s.strays.Oldest(list))
		}
		r = s.strays.Add(place(to), list)
		s.strays.Val(r).since = a.At
	}
	s.strays.Touch(r)

	v := s.strays.Val(r)
	if a.At-v.since >= int64(strayTime) || a.At < v.since {
		*v = stray{since: a.At}
	}
	v.answers++
	known := false
	for _, one := range v.names[:v.n] {
		known = known || one == name
	}
	if !known && v.n < SpoofedFrom {
		v.names[v.n] = name
		v.n++
	}
	return Stray{To: a.To, Name: a.Received, Names: int(v.n), Answers: v.answers}, true
}
