package ami

// Stats counts what a [Decoder] saw since it was made. Counters only grow.
type Stats struct {
	Bytes   uint64 // bytes given to Advance
	Packets uint64 // packets, fragments of torn ones included
	// responses, and events other than security events, handed to respond
	Others uint64
	// untainted events emitted, by kind; index 0: security events of an unknown kind, not emitted
	Events [NumKinds]uint64
	// tainted events emitted as evidence against their sender, by cause
	Tainted [NumTaints]uint64
	Dropped [NumTaints]uint64 // packets that gave no event because of a taint, by cause
	Orphans uint64            // fragments that do not begin with a head of their own
	// orphans of a packet that had been emitted as an event before, by Release or as final at once
	LateOrphans uint64
	// events emitted by Release, before the next packet was seen
	Released uint64
	Oversize uint64 // packets with a value longer than MaxValue
	TooLong  uint64 // packets of more than MaxPacket bytes, dropped
}

// Add returns the sums of s and o, for a total over several connections.
func (s Stats) Add(o Stats) Stats {
	s.Bytes += o.Bytes
	s.Packets += o.Packets
	s.Others += o.Others

	for i := range s.Events {
		s.Events[i] += o.Events[i]
	}
	for i := range s.Tainted {
		s.Tainted[i] += o.Tainted[i]
		s.Dropped[i] += o.Dropped[i]
	}

	s.Orphans += o.Orphans
	s.LateOrphans += o.LateOrphans
	s.Released += o.Released
	s.Oversize += o.Oversize
	s.TooLong += o.TooLong

	return s
}
