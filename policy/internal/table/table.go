package table

import (
	"iter"
	"math/bits"
	"unsafe"
)

// Table is a map of bounded size whose records are on lists of the type L. L's values are 0 to 23.
type Table[K Key, V any, L ~uint8] struct {
	k0, k1 uint64
	max    int
	order  []L // in which lists give up records, see Victim

	index  []Ref // open addressing with linear probing; at most three quarters full
	chunks [][]entry[K, V]
	dirty  []uint64 // a bit a record, see Mark
	used   Ref      // the largest Ref that was ever handed out
	free   Ref      // the first of the removed records, linked by older
	n      int
	lists  [listCount]list
}

// Key is a key with a keyed hash, so that an attacker who chooses keys cannot make them collide.
type Key interface {
	comparable
	Hash(k0, k1 uint64) uint64
}

// Ref names a record of one table, from when it is added until it is removed. 0 names none.
type Ref uint32

// entry is a record with its place in the table.
type entry[K Key, V any] struct {
	key          K
	val          V
	sum          uint32 // the lower half of the key's hash
	newer, older Ref
	list         uint8
}

// Records are allocated a chunk at a time.
const (
	chunkBits = 8
	chunkSize = 1 << chunkBits
)

// New returns an empty table for at most limit records, which must be positive. k0 and k1 key its
// hashes. order names the lists that give up records when it is full, first to last: see
// [Table.Victim].
func New[K Key, V any, L ~uint8](limit int, k0, k1 uint64, order ...L) *Table[K, V, L] {
	return &Table[K, V, L]{k0: k0, k1: k1, max: limit, order: order, index: make([]Ref, indexSize(limit))}
}

// indexSize returns how many places the index of a table has, a power of two.
func indexSize(limit int) int { return 1 << bits.Len(uint(limit+limit/3)) } // limit is positive

// Resize sets how many records there may be. Those beyond the limit stay until they are removed.
func (t *Table[K, V, L]) Resize(limit int) {
	t.max = limit
	size := indexSize(max(limit, t.n))
	if size == len(t.index) {
		return
	}

	t.index = make([]Ref, size)
	for r := range t.All() {
		t.enter(r)
	}
}

// Reset removes all records and releases their memory.
func (t *Table[K, V, L]) Reset() { *t = *New[K, V](t.max, t.k0, t.k1, t.order...) }

// Len returns how many records there are.
func (t *Table[K, V, L]) Len() int { return t.n }

// Max returns how many records there may be.
func (t *Table[K, V, L]) Max() int { return t.max }

// Full reports whether there is no room for one more record.
func (t *Table[K, V, L]) Full() bool { return t.n >= t.max }

// Slots returns the largest Ref that was ever handed out. Records that are added take the Refs of
// removed ones first, so it is the most records there ever were.
func (t *Table[K, V, L]) Slots() int { return int(t.used) }

// EntrySize returns how many bytes a record takes, its key and its place on a list included. What
// its share of the index takes is not: 5 to 11 bytes.
func (t *Table[K, V, L]) EntrySize() uintptr { return unsafe.Sizeof(entry[K, V]{}) }

// Val returns a record. The pointer is valid until the record is removed.
func (t *Table[K, V, L]) Val(r Ref) *V { return &t.at(r).val }

// Key returns the key of a record.
func (t *Table[K, V, L]) Key(r Ref) K { return t.at(r).key }

// List returns the list that a record is on.
func (t *Table[K, V, L]) List(r Ref) L { return L(t.at(r).list) }

func (t *Table[K, V, L]) at(r Ref) *entry[K, V] {
	return &t.chunks[(r-1)>>chunkBits][(r-1)&(chunkSize-1)]
}

// Get returns the record of a key, 0 if there is none.
func (t *Table[K, V, L]) Get(k K) Ref {
	sum := uint32(k.Hash(t.k0, t.k1)) // the lower half is meant
	mask := uint32(len(t.index) - 1)  // below 2^28
	for i := sum & mask; ; i = (i + 1) & mask {
		r := t.index[i]
		if r == 0 {
			return 0
		}
		if e := t.at(r); e.sum == sum && e.key == k {
			return r
		}
	}
}

// Add adds a record with a zero value for a key that has none, as the newest of a list. If the
// table is full, it removes the [Table.Victim] first. A caller that wants to know of that makes
// room itself.
func (t *Table[K, V, L]) Add(k K, to L) Ref {
	if t.Full() {
		t.Remove(t.Victim())
	}

	r := t.slot()
	*t.at(r) = entry[K, V]{key: k, sum: uint32(k.Hash(t.k0, t.k1))} // the lower half is meant
	t.enter(r)
	t.n++
	t.link(r, uint8(to))
	return r
}

// slot returns the Ref of a record that is not in use.
func (t *Table[K, V, L]) slot() Ref {
	if r := t.free; r != 0 {
		t.free = t.at(r).older
		return r
	}

	if t.used%chunkSize == 0 {
		t.chunks = append(t.chunks, make([]entry[K, V], chunkSize))
		t.dirty = append(t.dirty, make([]uint64, chunkSize/wordBits)...)
	}
	t.used++
	return t.used
}

// Remove removes a record.
func (t *Table[K, V, L]) Remove(r Ref) {
	t.unlink(r)
	t.leave(r)
	t.Clean(r)

	t.at(r).older = t.free
	t.at(r).list = listNone
	t.free = r
	t.n--
}

// enter puts a record into the index.
func (t *Table[K, V, L]) enter(r Ref) {
	mask := uint32(len(t.index) - 1) // below 2^28
	i := t.at(r).sum & mask
	for t.index[i] != 0 {
		i = (i + 1) & mask
	}
	t.index[i] = r
}

// leave takes a record out of the index and closes the gap (Knuth, The Art of Computer Programming
// 6.4, algorithm R).
func (t *Table[K, V, L]) leave(r Ref) {
	mask := uint32(len(t.index) - 1) // below 2^28
	gap := t.at(r).sum & mask
	for t.index[gap] != r {
		gap = (gap + 1) & mask
	}

	// What stands behind the gap moves into it, unless its own place is behind the gap, too.
	for i := (gap + 1) & mask; t.index[i] != 0; i = (i + 1) & mask {
		home := t.at(t.index[i]).sum & mask
		if (i-home)&mask >= (i-gap)&mask {
			t.index[gap] = t.index[i]
			gap = i
		}
	}
	t.index[gap] = 0
}

// All iterates over all records by Ref, which is the fastest way. The loop may remove the record
// that it is at.
func (t *Table[K, V, L]) All() iter.Seq[Ref] {
	return func(yield func(Ref) bool) {
		for r := Ref(1); r <= t.used; r++ {
			if t.Used(r) && !yield(r) {
				return
			}
		}
	}
}

// Used reports whether a Ref names a record now. It may be any number.
func (t *Table[K, V, L]) Used(r Ref) bool {
	return r != 0 && r <= t.used && t.at(r).list != listNone
}
