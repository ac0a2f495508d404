// Package journal keeps what amifend must not forget in a SQLite database: bans and why, who lifted
// them, alerts, hourly totals and the engine's state.
//
// A [Journal] is one goroutine that owns the database. What is told to it never waits: a bounded
// queue takes it, and what concerns the same ban coalesces there. A group commit writes bans, lifts
// and alerts at once; a budget of [writeBudget] bytes a second keeps the disk free for others
// whatever an attacker causes, so that in a flood the groups grow.
//
// A disk that is full, read-only or broken stops nobody: what was told waits in the queue,
// [Journal.Health] says so, and it is written when that can be. For what an operator changes on a
// full disk, see [Journal.Sync], there is a file of 2 MiB beside the database that can be given up.
// A corrupt database is renamed (never deleted) and begun anew; the caller fills it again from what
// it holds, see [Options.Changed].
//
// # Times
//
// Times on disk are the wall clock's, in milliseconds since the Unix epoch, so that what remains of
// a ban survives a reboot, and so that people can read them. A clock that is set moves no ban: the
// times that were written since the machine booted move along with the clock. Times from before the
// boot are believed: a machine without a battery-backed clock boots in the past and is set right
// later. Until then no less than the machine's uptime is taken as gone by.
//
// # Tables
//
// The file is journal.db in [Options.Directory]; that of a dry run is observed.db, so that nothing
// which was only observed ever comes into force. It can be read at any time, also while amifend
// runs:
//
//	sqlite3 -readonly /var/lib/amifend/journal.db "SELECT * FROM bans WHERE running"
//
// The views bans, alerts, operations, sources and accounts have times as people read them (UTC);
// the tables below them have milliseconds. A view bans has a column running: the ban is in force
// now.
//
//	ban             one row for each decision
//	  prefix          who: 203.0.113.7/32, 2001:db8::/64
//	  scope           what is dropped: all, or sip (the SIP ports only)
//	  rule            of the policy; adopted: found in the kernel
//	  score, attempts, strike, evidence
//	                  why; what attackers wrote is quoted (ami.Quote)
//	  servers         that the evidence is of: a list in JSON, or empty
//	  decided, until  from when until when
//	  lifted, lifted_by, lifted_why
//	                  when and by whom it was ended early; null: it was not
//	  observed        1: only observed, nothing was dropped
//	  current         1: the last word about this prefix and scope, and still of effect: the ban runs, or its lifting is
//	                  remembered so that no copy of it comes back
//	  boot            in which boot of the machine it was written, counted
//	alert           at, kind, source, account (quoted), server, text (why), advice (what to do)
//	operation       what operators did: at, uid, what, object, reason
//	source_hour     events of a source in an hour: hour, server, source, failures, logins
//	account_hour    the same of an account, its name quoted (ami.Quote); the name "(others)" is the sum of all that there
//	                was no room for, in both tables. Events, not attempts: one attempt may raise several.
//	engine          the engine's state (scores, proof, strikes, …) as a log of blocks: id, round, block. What a later
//	                block says replaces what an earlier one said. From time to time all is said anew, in a round, and what is
//	                older is deleted; round is the id of the first block of the round that a block belongs to, or 0. A
//	                block is a line that names the servers, then bytes that only the engine reads.
//	state           small things, key and value: what was allowed by command (allow/PREFIX or allow/NAME), the addresses
//	                that names had (name/NAME), whose bans these are (owner), the latest round of the engine's state
//	                (engine/round)
//	clock           one row: how the wall clock and the machine's uptime were together at the last commit
//
// PRAGMA application_id is 0x616d6966 ("amif"), and PRAGMA user_version the version of these
// tables. A newer version than this program's is refused.
package journal
