package policy

import "github.com/amifend/amifend/policy/internal/table"

// column is a table with what it takes to save it and to read it again.
type column[K table.Key, V any, L ~uint8] struct {
	tag     tag
	t       *table.Table[K, V, L]
	codeKey func(*K, *coder)
	codeVal func(*V, *coder)
	age     func(*V) int64 // when a record was used last, in the table's unit
	list    func(K, *V) L  // where a record belongs
	evicted func(list L)   // notes that a record of a list had no room when it was read; may be nil

	// Scratch of write and recall. A variable of theirs would be allocated for each record.
	key K
	val V
}

// coded is a column of whatever type.
type coded interface {
	// of returns the tag of the table.
	of() tag

	// cold writes changed records in the order of their Refs, up to a limit, and returns how many.
	cold(c *coder, most int) int

	// each writes records from one on, at most so many. It returns where it stopped, 0 if it came
	// to the end, and how many it wrote.
	each(c *coder, from table.Ref, most int) (next table.Ref, n int)

	// recall reads a record, and replaces the one with the same key. It returns its Ref.
	recall(c *coder) table.Ref

	// sort brings the lists into their order when all is read.
	sort()

	// mark makes all records count as changed.
	mark()

	// empty forgets all records.
	empty()
}

func (col *column[K, V, L]) of() tag { return col.tag }

// write writes a record: its table, its key and its value. It is saved then.
func (col *column[K, V, L]) write(c *coder, r table.Ref) {
	c.u8((*uint8)(&col.tag))
	col.key = col.t.Key(r)
	col.codeKey(&col.key, c)
	col.codeVal(col.t.Val(r), c)
	col.t.Clean(r)
}

// skim is the number of unchanged records in a row that ends the search in a list. What changed
// stands before what did not, except for records that changed while they were not in use.
const skim = 128

// hot writes changed records of a list, the newest first, at most so many, from one on. It returns
// where it stopped, 0 if it came to those that did not change, and how many it wrote.
func (col *column[K, V, L]) hot(c *coder, from table.Ref, most int) (next table.Ref, n int) {
	r := from
	for same := 0; r != 0 && n < most; r = col.t.Older(r) {
		if !col.t.Changed(r) {
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

func (col *column[K, V, L]) cold(c *coder, most int) int {
	n := 0
	for r := col.t.NextChanged(1); r != 0 && n < most; r = col.t.NextChanged(r) {
		col.write(c, r)
		n++
	}
	return n
}

// glance is the number of Refs without a record that are passed for each record that is written. So
// a sweep of an empty table takes no time.
const glance = 16

func (col *column[K, V, L]) each(c *coder, from table.Ref, most int) (next table.Ref, n int) {
	r := from
	for looked := 0; int(r) <= col.t.Slots(); r++ {
		if n == most || looked == glance*most {
			return r, n
		}
		looked++
		if col.t.Used(r) {
			col.write(c, r)
			n++
		}
	}
	return 0, n
}

func (col *column[K, V, L]) recall(c *coder) table.Ref {
	var noKey K
	var noVal V
	col.key, col.val = noKey, noVal
	col.codeKey(&col.key, c)
	col.codeVal(&col.val, c)
	if c.err != nil {
		return 0
	}

	r := col.t.Get(col.key)
	if r == 0 {
		if col.t.Full() {
			col.evict()
		}
		r = col.t.Add(col.key, 0)
	}
	*col.t.Val(r) = col.val
	col.t.Move(r, col.list(col.key, col.t.Val(r)))
	return r
}

// evict makes room for a record: it forgets the one of a list that was read first.
func (col *column[K, V, L]) evict() {
	r := col.t.Victim()
	list := col.t.List(r)
	col.t.Remove(r)
	if col.evicted != nil {
		col.evicted(list)
	}
}

func (col *column[K, V, L]) sort() { col.t.Sort(col.age, col.list) }

func (col *column[K, V, L]) mark() {
	for r := range col.t.All() {
		col.t.Mark(r)
	}
}

func (col *column[K, V, L]) empty() { col.t.Reset() }
