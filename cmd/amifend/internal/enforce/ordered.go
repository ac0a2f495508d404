package enforce

import (
	"iter"
	"slices"
	"sort"
)

// blockMost limits how many bans a block of an [ordered] has: a change moves at most so many
// pointers.
const blockMost = 512

// ordered has bans in an order, so that the first ones, and those of a range, are found without a
// look at the others. What compare looks at must not change while a ban is in it.
type ordered struct {
	compare func(a, b *held) int // 0 only for the same ban
	blocks  [][]*held            // none is empty
}

// find returns the block and the place in it of the first ban that is not before h.
func (o *ordered) find(h *held) (block, place int) {
	block = sort.Search(len(o.blocks), func(i int) bool {
		b := o.blocks[i]
		return o.compare(b[len(b)-1], h) >= 0
	})
	if block < len(o.blocks) {
		place, _ = slices.BinarySearchFunc(o.blocks[block], h, o.compare)
	}
	return block, place
}

// insert takes in a ban.
func (o *ordered) insert(h *held) {
	block, place := o.find(h)
	if block == len(o.blocks) { // after all others
		if block == 0 {
			o.blocks = append(o.blocks, nil)
		} else {
			block--
		}
		place = len(o.blocks[block])
	}

	b := slices.Insert(o.blocks[block], place, h)
	o.blocks[block] = b
	if len(b) <= blockMost {
		return
	}

	// Bans mostly come in order, so a block that is split at its end stays nearly full.
	cut := blockMost / 2
	if place == len(b)-1 {
		cut = blockMost
	}
	o.blocks = slices.Insert(o.blocks, block+1, slices.Clone(b[cut:]))
	clear(b[cut:])
	o.blocks[block] = b[:cut:cut]
}

// remove takes a ban out.
func (o *ordered) remove(h *held) {
	block, place := o.find(h)
	if block == len(o.blocks) || o.blocks[block][place] != h {
		return
	}

	b := slices.Delete(o.blocks[block], place, place+1)
	if len(b) == 0 {
		o.blocks = slices.Delete(o.blocks, block, block+1)
		return
	}
	o.blocks[block] = b
}

// fill takes in many bans at once. There must be none yet.
func (o *ordered) fill(all []*held) {
	slices.SortFunc(all, o.compare)
	for part := range slices.Chunk(all, blockMost/2) {
		o.blocks = append(o.blocks, slices.Clone(part))
	}
}

// after returns the bans after h in order; all bans for nil. The bans must not change meanwhile. h
// need not be one of them, so that a walk can go on after it was interrupted.
func (o *ordered) after(h *held) iter.Seq[*held] {
	return func(yield func(*held) bool) {
		block, place := 0, 0
		if h != nil {
			block, place = o.find(h)
			if block < len(o.blocks) && o.compare(o.blocks[block][place], h) == 0 {
				place++
			}
		}

		for ; block < len(o.blocks); block, place = block+1, 0 {
			for _, h := range o.blocks[block][place:] {
				if !yield(h) {
					return
				}
			}
		}
	}
}
