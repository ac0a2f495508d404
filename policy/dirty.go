package policy

import "math/bits"

// This file tells which entries of a table changed since they were last saved: a bit each, so that it costs no memory worth
// the name, and what changed is found without looking at what did not. That time passes, and with it scores fade, is no
// change.

// wordBits is how many entries a word of table.dirty tells of.
const wordBits = 64

// mark notes that an entry changed.
func (t *table[K, V]) mark(r ref) { t.dirty[(r-1)/wordBits] |= 1 << ((r - 1) % wordBits) }

// clean notes that an entry is saved, or gone. False means that it had not changed.
func (t *table[K, V]) clean(r ref) bool {
	word, bit := &t.dirty[(r-1)/wordBits], uint64(1)<<((r-1)%wordBits)
	was := *word&bit != 0
	*word &^= bit
	return was
}

// changedFrom returns the first changed entry from r on, in no order that means anything, or 0.
func (t *table[K, V]) changedFrom(r ref) ref {
	if r == 0 || int(r-1)/wordBits >= len(t.dirty) {
		return 0
	}
	i := (r - 1) / wordBits
	word := t.dirty[i] &^ (1<<((r-1)%wordBits) - 1)
	for word == 0 {
		if i++; int(i) == len(t.dirty) {
			return 0
		}
		word = t.dirty[i]
	}
	return i*wordBits + ref(bits.TrailingZeros64(word)) + 1 // below 64
}

// changed says whether an entry changed.
func (t *table[K, V]) changed(r ref) bool { return t.dirty[(r-1)/wordBits]&(1<<((r-1)%wordBits)) != 0 }
