package table

import (
	"cmp"
	"fmt"
	"iter"
	"slices"
)

// list is the ends of a doubly linked list of records, and its length.
type list struct {
	newest, oldest Ref
	n              int
}

// listCount is how many lists a table has. listNone marks a record that was removed.
const (
	listCount = 24
	listNone  = listCount
)

// Count returns how many records are on a list.
func (t *Table[K, V, L]) Count(of L) int { return t.lists[of].n }

// Newest returns the record of a list that was moved or added last, 0 if the list is empty.
func (t *Table[K, V, L]) Newest(of L) Ref { return t.lists[of].newest }

// Oldest returns the record of a list that was not moved for longest, 0 if the list is empty.
func (t *Table[K, V, L]) Oldest(of L) Ref { return t.lists[of].oldest }

// Older returns the next older record of the same list, 0 if there is none.
func (t *Table[K, V, L]) Older(r Ref) Ref { return t.at(r).older }

// Move makes a record the newest of a list.
func (t *Table[K, V, L]) Move(r Ref, to L) {
	if e := t.at(r); e.list == uint8(to) && t.lists[to].newest == r {
		return
	}
	t.unlink(r)
	t.link(r, uint8(to))
}

// Touch makes a record the newest of the list that it is on.
func (t *Table[K, V, L]) Touch(r Ref) { t.Move(r, t.List(r)) }

// OldestFirst iterates over the records of one list after the other, the oldest first. The loop may
// move or remove the record that it is at.
func (t *Table[K, V, L]) OldestFirst() iter.Seq[Ref] {
	return func(yield func(Ref) bool) {
		for i := range t.lists {
			// A record that the loop moves to the front of its list would come again: n ends that.
			n := t.lists[i].n
			for r := t.lists[i].oldest; r != 0 && n > 0; n-- {
				next := t.at(r).newer
				if !yield(r) {
					return
				}
				r = next
			}
		}
	}
}

// Sort puts each record on the list that listOf returns, and orders the lists by age, the lowest
// first. Records of one age keep the order of their Refs.
func (t *Table[K, V, L]) Sort(age func(*V) int64, listOf func(K, *V) L) {
	type aged struct {
		age int64
		r   Ref
	}
	order := make([]aged, 0, t.n)
	for r := range t.All() {
		order = append(order, aged{age(t.Val(r)), r})
	}
	slices.SortFunc(order, func(a, b aged) int {
		return cmp.Or(cmp.Compare(a.age, b.age), cmp.Compare(a.r, b.r))
	})

	t.lists = [listCount]list{}
	for _, a := range order {
		t.link(a.r, uint8(listOf(t.Key(a.r), t.Val(a.r))))
	}
}

// Victim returns the record to remove when there is no room for another one, 0 if there is none.
//
// It is the oldest of the first list, in the order given to [New], that holds more than a reserve
// of an eighth of the table. So no flood of records of one list, forged or not, takes the room of
// another. Where no list holds more, they give up their reserves in the reverse order. Lists that
// the order leaves out come last.
func (t *Table[K, V, L]) Victim() Ref {
	reserve := t.max / 8
	for _, of := range t.order {
		if t.lists[of].n > reserve {
			return t.lists[of].oldest
		}
	}

	for _, of := range slices.Backward(t.order) {
		if r := t.lists[of].oldest; r != 0 {
			return r
		}
	}
	for _, l := range t.lists {
		if l.oldest != 0 {
			return l.oldest
		}
	}
	return 0
}

func (t *Table[K, V, L]) link(r Ref, to uint8) {
	l, e := &t.lists[to], t.at(r)
	e.list, e.newer, e.older = to, 0, l.newest
	if l.newest != 0 {
		t.at(l.newest).newer = r
	} else {
		l.oldest = r
	}
	l.newest = r
	l.n++
}

func (t *Table[K, V, L]) unlink(r Ref) {
	e := t.at(r)
	l := &t.lists[e.list]
	if e.newer != 0 {
		t.at(e.newer).older = e.older
	} else {
		l.newest = e.older
	}
	if e.older != 0 {
		t.at(e.older).newer = e.newer
	} else {
		l.oldest = e.newer
	}
	l.n--
}

// Check returns an error that names the first place where the lists, the index and the counts do
// not agree. It is for tests.
func (t *Table[K, V, L]) Check() error {
	seen := 0
	for i, l := range t.lists {
		last, n := Ref(0), 0
		for r := l.newest; r != 0; r = t.at(r).older {
			e := t.at(r)
			if e.newer != last || int(e.list) != i || t.Get(e.key) != r {
				return fmt.Errorf("list %d: record %v is out of place", i, e.key)
			}
			last = r
			n++
		}
		if l.oldest != last || l.n != n {
			return fmt.Errorf("list %d: oldest %d, n %d; want %d, %d", i, l.oldest, l.n, last, n)
		}
		seen += n
	}
	if seen != t.n || t.n > t.max {
		return fmt.Errorf("records: %d on lists, n %d, max %d", seen, t.n, t.max)
	}
	return nil
}
