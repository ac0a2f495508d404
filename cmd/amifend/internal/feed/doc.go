// Package feed fetches the lists of [[feed]], checks them, and keeps them on the disk.
//
// The Keeper's goroutine owns all lists. What may hang runs in goroutines that own nothing: a fetch,
// the reading of a file, the writing of a list to the disk. So neither the network nor the disk holds
// up anybody.
//
//	publisher ─→ fetch ─→ Parse ─→ Summary.refused ─→ Keeper ── SetLists ──→ enforce.Feeder
//	                                                    └─────── save ─────→ state directory
//
// # Errors
//
// A URL may hold a token, and libraries print URLs. A publisher may repeat a token in its answer. So
// no error of this package has text of a library or of an answer: it says what happened in words of
// its own, and names the place in a list by the number of the line.
package feed
