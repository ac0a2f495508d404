// Package owner implements the three ways in which the goroutines of the daemon talk to each other.
// Each goroutine owns its data, and no other reads or writes it.
//
//   - [Do] has a function called by the goroutine that owns the data, and returns its answer. It is
//     for questions and commands of operators. The caller waits; the owner never does.
//   - A [Mailbox] hands over one value for each key. The sender never waits: a second value of a
//     key is merged with the first one, or replaces it.
//   - A [Latest] hands over one value. The sender never waits: a second value replaces the first.
//
// The one channel besides these is that of the events, from the sessions to the judge: a full one
// makes the session wait, which is counted.
package owner
