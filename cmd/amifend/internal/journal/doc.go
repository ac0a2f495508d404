// Package journal stores what amifend must not forget in a SQLite database: bans and their reasons,
// who lifted them, alerts, hourly totals and the engine's state.
//
// A [Journal] is one goroutine that owns the database. Callers that record something never wait: a
// bounded queue takes their records, and merges those of one ban. Bans, lifts and alerts are
// written at once, many in one commit. A budget of [writeBudget] bytes a second leaves the disk
// free for others, whatever an attacker does. In a flood, the commits become larger instead of
// more. While more bans wait than one commit takes, the budget is [backlogBudget], and the bans are
// written in the order of their prefixes: a power cut loses those that wait.
//
// A disk that is full, read-only or broken stops nobody. Records wait in the queue until the disk
// works again, and [Journal.Health] reports the problem. A file of 2 MiB beside the database is
// kept in reserve for an operator's changes on a full disk, see [Journal.Sync]. A corrupt database
// is renamed (never deleted) and begun anew. The caller then records again what it knows, see
// [Options.Changed].
//
// # Times
//
// Times on disk are those of the wall clock, in milliseconds since the Unix epoch. So people can
// read them, and the rest of a ban survives a reboot. When the clock is set, the rest of a ban does
// not change: the times that were written since the boot are corrected by the same step. Times from
// before the boot are not, because a machine without a battery-backed clock boots in the past and
// is set right later. Until then, at least the machine's uptime counts as passed.
//
// # Tables
//
// The file is journal.db in [Options.Directory]. A dry run uses observed.db, so that a ban that was
// only observed never comes into force.
//
// One process has the file open, so that the index of SQLite's log is in its memory and not in a
// mapped file, see [sole]. Others read a copy, see [Backup] and [Journal.Copy]:
//
//	amifend backup copy.db; sqlite3 copy.db "SELECT * FROM bans WHERE running"
//
// The views bans, alerts, operations, sources and accounts show times in UTC for people; the tables
// below them hold milliseconds. The column running of the view bans is 1 while the ban is in force.
//
//	ban             one row for each decision
//	  prefix          203.0.113.7/32, 2001:db8::/64
//	  scope           what is dropped: all, sip (the SIP ports only) or stream
//	                  (TCP to the SIP, WebSocket and AMI ports only)
//	  rule            of the policy; adopted: found in the kernel
//	  score, attempts, strike, evidence
//	                  the reason; what attackers wrote is quoted (ami.Quote)
//	  servers         whose events are the evidence: a list in JSON, or empty
//	  decided, until  the time of the ban
//	  lifted, lifted_by, lifted_why
//	                  when and by whom it was ended early; null: it was not
//	  observed        1: only observed, nothing was dropped
//	  current         1: the latest row of this prefix and scope, and not over: the ban
//	                  runs, or its lift is remembered so that no copy of it comes back
//	  boot            number of the machine's boot in which it was written
//	alert           at, kind, source, account (quoted), server, text (why), advice (what to do),
//	                severity (1 is the worst), forgeable (1: forged packets can raise the kind)
//	  key             of a condition, which has one row from its beginning (at) on; "": an event
//	  seen, ended     when a condition was noticed last, and when it was over (0: it goes on)
//	  count           how often it was noticed
//	operation       what operators did: at, uid, says (a name), what, object, reason
//	source_hour     events of a source in an hour: hour, server, source, failures, logins
//	account_hour    the same of an account, its name quoted (ami.Quote). In both tables the
//	                name "(others)" sums up all that had no room. Events, not attempts: one
//	                attempt may raise several.
//	  ways, networks  of an account: bits of how and from which networks it logged in (Ways,
//	                NetworkBit); no address can be read from them
//	engine          the engine's state (scores, proof, strikes, …) as a log of blocks: id,
//	                round, block. A later block replaces records of earlier ones. Now and
//	                then a full copy, a round, is written, and the older blocks are deleted.
//	                round is the id of the first block of its round, or 0. A block is a line
//	                that names the servers, then bytes that only the engine reads.
//	state           small values by key: what commands allowed (allow/PREFIX, allow/NAME),
//	                the addresses of names (name/NAME), the
//	                alerts that operators silenced (ignore/KEY), whose bans these are (owner), the
//	                latest round of the engine's state (engine/round), notifications that are not
//	                delivered yet (notify/…)
//	clock           one row: the wall clock and the machine's uptime at the last commit
//
// PRAGMA application_id is 0x616d6966 ("amif"), and PRAGMA user_version is the version of these
// tables. A newer version than this program knows is refused.
package journal
