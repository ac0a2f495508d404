package policy

import (
	"cmp"
	"slices"
)

// column is a table with what it takes to write it down and to read it again.
type column[K hashable, V any] struct {
	tag  tag
	t    *table[K, V]
	key  func(*K, *coder)
	val  func(*V, *coder)
	age  func(*V) int64           // when an entry was used last, in the table's unit
	list func(*entry[K, V]) uint8 // where it belongs
	full func(list uint8)         // notes that an entry of a list had no room when it was read; may be nil
}

// coded is a column of whatever type.
type coded interface {
	// of returns the tag of the table.
	of() tag
	// hot writes entries of a list that changed, the newest first, at most so many, from one on. It returns where it stopped, 0
	// if it came to those that did not change.
	hot(c *coder, list uint8, from ref, most int) (next ref, n int)
	// newest returns the first entry of a list.
	newest(list uint8) ref
	// cold writes entries that changed, in no order that means anything, at most so many. It returns how many.
	cold(c *coder, most int) int
	// each writes entries from a place on, at most so many. It returns where it stopped, 0 if it came to the end.
	each(c *coder, from ref, most int) (next ref, n int)
	// recall reads an entry, in the place of the one with the same key. It returns where it stands.
	recall(c *coder) ref
	// settle brings the lists into their order, when all is read.
	settle()
	// empty forgets all entries.
	empty()
}

func (col *column[K, V]) of() tag { return col.tag }

// write writes an entry: its table, its key and what is remembered. It is saved then.
func (col *column[K, V]) write(c *coder, r ref) {
	en := col.t.at(r)
	c.u8((*uint8)(&col.tag))
	col.key(&en.key, c)
	col.val(&en.val, c)
	col.t.clean(r)
}

// skim is how many entries in a row that did not change end the search in a list: what changed stands before what did not,
// but for what changed while it was not in use.
const skim = 128

func (col *column[K, V]) hot(c *coder, list uint8, from ref, most int) (next ref, n int) {
	r := from
	for same := 0; r != 0 && n < most; r = col.t.at(r).next {
		if !col.t.changed(r) {
			if same++; same > skim {
				return 0, n
			}
			continue
		}
		same = 0
		col.write(c, r)
		n++
	}
	return r, n
}

func (col *column[K, V]) newest(list uint8) ref { return col.t.lists[list].head }

func (col *column[K, V]) cold(c *coder, most int) int {
	n := 0
	for r := col.t.changedFrom(1); r != 0 && n < most; r = col.t.changedFrom(r) {
		col.write(c, r)
		n++
	}
	return n
}

// glance is how many places may be empty for each entry that is written, so that a sweep of an empty table takes no time.
const glance = 16

func (col *column[K, V]) each(c *coder, from ref, most int) (next ref, n int) {
	r := from
	for looked := 0; r <= col.t.used; r++ {
		if n == most || looked == glance*most {
			return r, n
		}
		looked++
		if col.t.at(r).list != listNone {
			col.write(c, r)
			n++
		}
	}
	return 0, n
}

func (col *column[K, V]) recall(c *coder) ref {
	var k K
	var v V
	col.key(&k, c)
	col.val(&v, c)
	if c.err != nil {
		return 0
	}
	t := col.t
	r := t.get(k)
	if r == 0 {
		if t.full() {
			col.makeRoom()
		}
		r = t.add(k, 0)
	}
	en := t.at(r)
	en.val = v
	t.move(r, col.list(en))
	return r
}

// makeRoom forgets the entry that was read first of the first list that holds more than an eighth of the table: one does.
func (col *column[K, V]) makeRoom() {
	for list := range uint8(listCount) {
		if l := &col.t.lists[list]; l.n > col.t.max/8 {
			col.t.remove(l.tail)
			if col.full != nil {
				col.full(list)
			}
			return
		}
	}
}

func (col *column[K, V]) settle() {
	type aged struct {
		age int64
		r   ref
	}
	t := col.t
	order := make([]aged, 0, t.n)
	for i := range t.lists {
		for r := t.lists[i].tail; r != 0; r = t.at(r).prev {
			order = append(order, aged{col.age(&t.at(r).val), r})
		}
	}
	slices.SortFunc(order, func(a, b aged) int { return cmp.Or(cmp.Compare(a.age, b.age), cmp.Compare(a.r, b.r)) })
	t.lists = [listCount]list{}
	for _, a := range order {
		t.link(a.r, col.list(t.at(a.r)))
	}
}

func (col *column[K, V]) empty() { *col.t = *newTable[K, V](col.t.max, col.t.k0, col.t.k1) }
