package table

import "math/bits"

// wordBits is how many records a word of Table.dirty tells of.
const wordBits = 64

// Mark notes that a record changed since it was last saved. The table does not see changes through
// [Table.Val] itself. A record that is added is not marked.
func (t *Table[K, V, L]) Mark(r Ref) { t.dirty[(r-1)/wordBits] |= 1 << ((r - 1) % wordBits) }

// Clean notes that a record is saved.
func (t *Table[K, V, L]) Clean(r Ref) { t.dirty[(r-1)/wordBits] &^= 1 << ((r - 1) % wordBits) }

// Changed reports whether a record is marked.
func (t *Table[K, V, L]) Changed(r Ref) bool {
	return t.dirty[(r-1)/wordBits]&(1<<((r-1)%wordBits)) != 0
}

// NextChanged returns the first marked record from r on, by Ref, or 0. It takes a step for each 64
// records that are not marked.
func (t *Table[K, V, L]) NextChanged(r Ref) Ref {
	if r == 0 || int(r-1)/wordBits >= len(t.dirty) {
		return 0
	}

	// The bits of records before r do not count.
	i := (r - 1) / wordBits
	word := t.dirty[i] &^ (1<<((r-1)%wordBits) - 1)
	for word == 0 {
		if i++; int(i) == len(t.dirty) {
			return 0
		}
		word = t.dirty[i]
	}
	return i*wordBits + Ref(bits.TrailingZeros64(word)) + 1 // below 64
}
