// Package table holds records in a map of bounded size that forgets the right ones first.
//
// A [Table] maps keys to records. Each record is on one of at most five lists, where the one that
// was used last is the newest. The caller names the lists by a type of its own, so that a list of
// one table cannot be given to another, and says in which order the lists give up records when the
// table is full: see [Table.Victim].
//
// Go's maps do not serve here. Under endless insertion and deletion they go on allocating, and a
// flood of forged packets is just that. A table allocates only while it grows to its limit. Records
// hold no pointers and never move, so the garbage collector skips them, and a *V stays valid until
// its record is removed.
//
// A table also keeps a bit a record that reports whether it changed since it was last saved: see
// [Table.Mark]. So a caller finds what changed without looking at what did not.
//
// A table is not safe for concurrent use.
package table
