package firewall

import (
	"bytes"
	"cmp"
	"iter"
	"net/netip"
	"slices"
	"time"
)

// Elements is a list of elements in little memory: 56 bytes each, without pointers. It has each
// prefix once in a scope, ascending by set, then by address. A nil list has none.
type Elements struct {
	sets []banSet
	all  []packed
}

// packed is an [Element] in its set.
type packed struct {
	addr             [16]byte // of IPv4, its IPv4-mapped form
	set              uint8
	counted          bool
	timeout, expires time.Duration
	packets, bytes   uint64
}

// NewElements returns a list of elements. Of several with the same prefix and scope the last counts.
// An element that no set can hold is left out.
func NewElements(list ...Element) *Elements {
	e := &Elements{sets: banSets(), all: make([]packed, 0, len(list))}
	for _, el := range list {
		set, err := findSet(e.sets, Change{Ban: Ban{Prefix: el.Prefix, Scope: el.Scope}, Lift: true})
		if err != nil {
			continue
		}
		e.all = append(e.all, packed{
			addr: el.Prefix.Addr().As16(), set: uint8(set), counted: el.Counted,
			timeout: el.Timeout, expires: el.Expires, packets: el.Packets, bytes: el.Bytes,
		})
	}

	e.sort(0)
	return e
}

// Len returns the number of elements.
func (e *Elements) Len() int {
	if e == nil {
		return 0
	}
	return len(e.all)
}

// At returns the element with index i, from 0 to Len()-1.
func (e *Elements) At(i int) Element {
	p := &e.all[i]
	s := &e.sets[p.set]
	addr := netip.AddrFrom16(p.addr)
	if !s.is6 {
		addr = addr.Unmap()
	}

	return Element{
		Prefix: netip.PrefixFrom(addr, s.bits), Scope: s.scope, Timeout: p.timeout,
		Expires: p.expires, Packets: p.packets, Bytes: p.bytes, Counted: p.counted,
	}
}

// All returns the elements with their indexes.
func (e *Elements) All() iter.Seq2[int, Element] {
	return func(yield func(int, Element) bool) {
		for i := range e.Len() {
			if !yield(i, e.At(i)) {
				return
			}
		}
	}
}

// Find returns the element of a prefix and scope, and reports whether there is one.
func (e *Elements) Find(prefix netip.Prefix, scope Scope) (Element, bool) {
	if e.Len() == 0 {
		return Element{}, false
	}
	set, err := findSet(e.sets, Change{Ban: Ban{Prefix: prefix, Scope: scope}, Lift: true})
	if err != nil {
		return Element{}, false
	}

	want := packed{addr: prefix.Addr().As16(), set: uint8(set)}
	i, ok := slices.BinarySearchFunc(e.all, want, packed.compare)
	if !ok {
		return Element{}, false
	}
	return e.At(i), true
}

// compare orders elements by set and address.
func (p packed) compare(o packed) int {
	return cmp.Or(cmp.Compare(p.set, o.set), bytes.Compare(p.addr[:], o.addr[:]))
}

// sort sorts the elements from an index on, which are all of their sets, and removes duplicates: of
// equal ones the last stays.
func (e *Elements) sort(from int) {
	part := e.all[from:]
	slices.SortStableFunc(part, packed.compare)

	n := 0
	for i := range part {
		if i+1 < len(part) && part[i].compare(part[i+1]) == 0 {
			continue
		}
		part[n] = part[i]
		n++
	}
	e.all = e.all[:from+n]
}
