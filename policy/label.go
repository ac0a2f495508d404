package policy

import (
	"encoding/binary"

	"github.com/dchest/siphash"
)

// labelText is the number of bytes of a name that a Label keeps.
const labelText = 47

// Label is a name that an attacker may have chosen (an account), cut to a fixed size. Two labels of
// one Hasher are equal when their whole names were, not only the part that is kept.
type Label struct {
	hash uint64
	n    uint8
	text [labelText]byte
}

// Bytes returns the part of the name that is kept, 47 bytes at most, as a copy. It holds whatever
// bytes the attacker chose: quote it before you print it.
func (l Label) Bytes() []byte { return append([]byte(nil), l.text[:l.n]...) }

// Hasher turns names that an attacker may have chosen into labels and session hashes. It is keyed,
// so nobody who does not know the seed can make two names meet (SipHash-2-4, Aumasson and
// Bernstein).
type Hasher struct{ k0, k1 uint64 }

// NewHasher returns the hasher of an engine whose [Options] have that seed, which must not be 0.
// Where there is an engine already, ask it: see [Engine.Hasher].
func NewHasher(seed uint64) Hasher {
	k0, k1 := seedKeys(seed)
	return Hasher{k0, k1}
}

// Label returns the label of a name. It allocates nothing and keeps nothing of b.
func (h Hasher) Label(b []byte) Label {
	l := Label{hash: siphash.Hash(h.k0, h.k1, b)}
	l.n = uint8(copy(l.text[:], b)) // at most labelText
	return l
}

// Session returns the hash of a session's name (a Call-ID), for [Observation.Session].
func (h Hasher) Session(b []byte) uint64 { return siphash.Hash(h.k1, h.k0, b) }

// seedKeys spreads a seed over the two halves of a SipHash key.
func seedKeys(seed uint64) (k0, k1 uint64) {
	var b [8]byte
	binary.LittleEndian.PutUint64(b[:], seed)
	return siphash.Hash128(0x616d6966656e6400, 0x706f6c6963790000, b[:])
}
