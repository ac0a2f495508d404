package policy

import (
	"iter"
	"math/bits"
)

// A table is a map of bounded size whose entries stand in a few lists, oldest first out. Go's maps do not serve here:
// under endless insertion and deletion they go on allocating, and a flood is just that. Entries hold no pointers and
// never move, so the garbage collector skips them and a *V stays good until its entry is removed.
type table[K hashable, V any] struct {
	k0, k1 uint64
	max    int
	index  []uint32 // open addressing with linear probing; at most three quarters full
	chunks [][]entry[K, V]
	used   uint32 // how many entries were ever handed out
	free   uint32 // the first of the removed ones, linked by next
	n      int
	lists  [listCount]list
	dirty  []uint64 // a bit an entry: changed since it was last saved, see mark
}

// hashable is a key with a keyed hash, so that an attacker who chooses keys cannot make them meet.
type hashable interface {
	comparable
	hash(k0, k1 uint64) uint64
}

// A ref names an entry; 0 names none.
type ref = uint32

type entry[K hashable, V any] struct {
	key        K
	val        V
	sum        uint32 // of the key's hash
	prev, next ref
	list       uint8
}

type list struct {
	head, tail ref // newest, oldest
	n          int
}

// listCount is how many lists a table has; each user names its own. listNone is that of an entry which was removed.
const (
	listCount = 5
	listNone  = listCount
)

const chunkBits = 8

func newTable[K hashable, V any](limit int, k0, k1 uint64) *table[K, V] {
	return &table[K, V]{k0: k0, k1: k1, max: limit, index: make([]uint32, indexSize(limit))}
}

func indexSize(limit int) int { return 1 << bits.Len(uint(limit+limit/3)) } // limit is positive

// resize sets how many entries there may be. Entries beyond stay until they are removed.
func (t *table[K, V]) resize(limit int) {
	t.max = limit
	size := indexSize(max(limit, t.n))
	if size == len(t.index) {
		return
	}
	t.index = make([]uint32, size)
	for r := range t.all() {
		t.enter(r)
	}
}

func (t *table[K, V]) at(r ref) *entry[K, V] {
	return &t.chunks[(r-1)>>chunkBits][(r-1)&(1<<chunkBits-1)]
}

// oldestFirst iterates over the entries of each list, the oldest first. They may be moved meanwhile.
func (t *table[K, V]) oldestFirst() iter.Seq[ref] {
	return func(yield func(ref) bool) {
		for i := range t.lists {
			n := t.lists[i].n
			for r := t.lists[i].tail; r != 0 && n > 0; n-- {
				prev := t.at(r).prev
				if !yield(r) {
					return
				}
				r = prev
			}
		}
	}
}

// all iterates over all entries, where they stand, which is the fastest. The one it is at may be removed meanwhile.
func (t *table[K, V]) all() iter.Seq[ref] {
	return func(yield func(ref) bool) {
		for r := ref(1); r <= t.used; r++ {
			if t.at(r).list != listNone && !yield(r) {
				return
			}
		}
	}
}

func (t *table[K, V]) full() bool { return t.n >= t.max }

// get returns the entry of a key, or 0.
func (t *table[K, V]) get(k K) ref {
	return t.find(k, uint32(k.hash(t.k0, t.k1))) // the lower half is meant
}

func (t *table[K, V]) find(k K, sum uint32) ref {
	mask := uint32(len(t.index) - 1) // below 2^28
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

// add returns the entry of a key that is not in the table, with a zero value, as the newest of a list. The table must not
// be full.
func (t *table[K, V]) add(k K, list uint8) ref {
	sum := uint32(k.hash(t.k0, t.k1)) // the lower half is meant
	r := t.free
	if r != 0 {
		t.free = t.at(r).next
	} else {
		if t.used&(1<<chunkBits-1) == 0 {
			t.chunks = append(t.chunks, make([]entry[K, V], 1<<chunkBits))
			t.dirty = append(t.dirty, make([]uint64, 1<<chunkBits/wordBits)...)
		}
		t.used++
		r = t.used
	}
	e := t.at(r)
	*e = entry[K, V]{key: k, sum: sum}
	t.enter(r)
	t.n++
	t.link(r, list)
	return r
}

// enter puts an entry into the index.
func (t *table[K, V]) enter(r ref) {
	mask := uint32(len(t.index) - 1) // below 2^28
	i := t.at(r).sum & mask
	for t.index[i] != 0 {
		i = (i + 1) & mask
	}
	t.index[i] = r
}

// remove forgets an entry.
func (t *table[K, V]) remove(r ref) {
	t.unlink(r)
	t.unindex(r)
	t.clean(r)
	t.at(r).next = t.free
	t.at(r).list = listNone
	t.free = r
	t.n--
}

// unindex takes an entry out of the index and closes the gap (Knuth, The Art of Computer Programming 6.4, algorithm R).
func (t *table[K, V]) unindex(r ref) {
	mask := uint32(len(t.index) - 1) // below 2^28
	gap := t.at(r).sum & mask
	for t.index[gap] != r {
		gap = (gap + 1) & mask
	}
	for i := (gap + 1) & mask; t.index[i] != 0; i = (i + 1) & mask {
		home := t.at(t.index[i]).sum & mask
		if (i-home)&mask >= (i-gap)&mask {
			t.index[gap] = t.index[i]
			gap = i
		}
	}
	t.index[gap] = 0
}

// move makes an entry the newest of a list.
func (t *table[K, V]) move(r ref, list uint8) {
	e := t.at(r)
	if e.list == list && t.lists[list].head == r {
		return
	}
	t.unlink(r)
	t.link(r, list)
}

func (t *table[K, V]) link(r ref, list uint8) {
	l, e := &t.lists[list], t.at(r)
	e.list, e.prev, e.next = list, 0, l.head
	if l.head != 0 {
		t.at(l.head).prev = r
	} else {
		l.tail = r
	}
	l.head = r
	l.n++
}

func (t *table[K, V]) unlink(r ref) {
	e := t.at(r)
	l := &t.lists[e.list]
	if e.prev != 0 {
		t.at(e.prev).next = e.next
	} else {
		l.head = e.next
	}
	if e.next != 0 {
		t.at(e.next).prev = e.prev
	} else {
		l.tail = e.prev
	}
	l.n--
}
