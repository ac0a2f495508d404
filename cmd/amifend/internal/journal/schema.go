package journal

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
)

// applicationID is "amif". It marks the database as ours.
const applicationID = 0x616d6966

// Errors of a database that this program cannot use, and that only a person can solve.
var (
	// ErrNewer is returned for a journal that a newer amifend has written.
	ErrNewer = errors.New("it was written by a newer amifend")
	// ErrForeign is returned for a database of another program.
	ErrForeign = errors.New("it is not a journal of amifend")
	// ErrLocked is returned when another amifend uses the directory.
	ErrLocked = errors.New("another amifend uses it")
	// ErrInUse is returned by [Backup] when another program has the database open.
	ErrInUse = errors.New("another program has it open")
)

// migrations holds the statements that change each version of the schema to the next. migrations[0]
// makes version 1. A released migration never changes.
var migrations = []string{
	`CREATE TABLE ban (
	id         INTEGER PRIMARY KEY,
	prefix     TEXT    NOT NULL,
	scope      TEXT    NOT NULL,
	rule       TEXT    NOT NULL,
	score      REAL    NOT NULL,
	attempts   INTEGER NOT NULL,
	strike     INTEGER NOT NULL,
	evidence   TEXT    NOT NULL,
	decided    INTEGER NOT NULL,
	until      INTEGER NOT NULL,
	lifted     INTEGER,
	lifted_by  TEXT,
	lifted_why TEXT,
	observed   INTEGER NOT NULL,
	current    INTEGER NOT NULL,
	boot       INTEGER NOT NULL
);
CREATE UNIQUE INDEX ban_current ON ban (prefix, scope) WHERE current = 1;
CREATE INDEX ban_end ON ban (until) WHERE current = 1;
CREATE INDEX ban_decided ON ban (decided);
CREATE TABLE alert (
	id      INTEGER PRIMARY KEY,
	at      INTEGER NOT NULL,
	kind    TEXT    NOT NULL,
	source  TEXT    NOT NULL,
	account TEXT    NOT NULL,
	server  TEXT    NOT NULL,
	text    TEXT    NOT NULL,
	advice  TEXT    NOT NULL
);
CREATE INDEX alert_at ON alert (at);
CREATE TABLE operation (
	id     INTEGER PRIMARY KEY,
	at     INTEGER NOT NULL,
	uid    INTEGER NOT NULL,
	what   TEXT    NOT NULL,
	object TEXT    NOT NULL,
	reason TEXT    NOT NULL
);
CREATE TABLE source_hour (
	hour     INTEGER NOT NULL,
	server   TEXT    NOT NULL,
	source   TEXT    NOT NULL,
	failures INTEGER NOT NULL,
	logins   INTEGER NOT NULL,
	PRIMARY KEY (hour, server, source)
) WITHOUT ROWID;
CREATE TABLE account_hour (
	hour     INTEGER NOT NULL,
	server   TEXT    NOT NULL,
	account  TEXT    NOT NULL,
	failures INTEGER NOT NULL,
	logins   INTEGER NOT NULL,
	PRIMARY KEY (hour, server, account)
) WITHOUT ROWID;
CREATE TABLE state (
	key   BLOB PRIMARY KEY,
	value BLOB NOT NULL
) WITHOUT ROWID;
CREATE TABLE engine (
	id    INTEGER PRIMARY KEY,
	round INTEGER NOT NULL,
	block BLOB    NOT NULL
);
CREATE TABLE clock (
	id      INTEGER PRIMARY KEY CHECK (id = 1),
	boot    INTEGER NOT NULL,
	boot_id TEXT    NOT NULL,
	uptime  INTEGER NOT NULL,
	wall    INTEGER NOT NULL,
	before  INTEGER NOT NULL
);
CREATE VIEW bans AS SELECT
	prefix, scope, rule, round(score, 2) AS score, attempts, strike, evidence,
	datetime(decided / 1000, 'unixepoch') AS decided, datetime(until / 1000, 'unixepoch') AS until,
	datetime(lifted / 1000, 'unixepoch') AS lifted, lifted_by, lifted_why, observed,
	current = 1 AND lifted IS NULL AND until / 1000 > CAST(strftime('%s', 'now') AS INTEGER) AS running
	FROM ban ORDER BY ban.decided;
CREATE VIEW alerts AS SELECT datetime(at / 1000, 'unixepoch') AS at, kind, source, account, server, text, advice
	FROM alert ORDER BY alert.at;
CREATE VIEW operations AS SELECT datetime(at / 1000, 'unixepoch') AS at, uid, what, object, reason FROM operation ORDER BY id;
CREATE VIEW sources AS SELECT datetime(hour / 1000, 'unixepoch') AS hour, server, source, failures, logins FROM source_hour ORDER BY source_hour.hour;
CREATE VIEW accounts AS SELECT datetime(hour / 1000, 'unixepoch') AS hour, server, account, failures, logins FROM account_hour ORDER BY account_hour.hour;`,
	`ALTER TABLE ban ADD COLUMN servers TEXT NOT NULL DEFAULT '';
DROP VIEW bans;
CREATE VIEW bans AS SELECT
	prefix, scope, rule, round(score, 2) AS score, attempts, strike, evidence,
	datetime(decided / 1000, 'unixepoch') AS decided, datetime(until / 1000, 'unixepoch') AS until,
	datetime(lifted / 1000, 'unixepoch') AS lifted, lifted_by, lifted_why, observed,
	current = 1 AND lifted IS NULL AND until / 1000 > CAST(strftime('%s', 'now') AS INTEGER) AS running, servers
	FROM ban ORDER BY ban.decided;`,
	`ALTER TABLE operation ADD COLUMN says TEXT NOT NULL DEFAULT '';
DROP VIEW operations;
CREATE VIEW operations AS SELECT datetime(at / 1000, 'unixepoch') AS at, uid, says, what, object,
	reason FROM operation ORDER BY id;`,
	`ALTER TABLE alert ADD COLUMN severity INTEGER NOT NULL DEFAULT 2;
ALTER TABLE alert ADD COLUMN forgeable INTEGER NOT NULL DEFAULT 0;
ALTER TABLE alert ADD COLUMN key TEXT NOT NULL DEFAULT '';
ALTER TABLE alert ADD COLUMN seen INTEGER NOT NULL DEFAULT 0;
ALTER TABLE alert ADD COLUMN ended INTEGER NOT NULL DEFAULT 0;
ALTER TABLE alert ADD COLUMN count INTEGER NOT NULL DEFAULT 1;
UPDATE alert SET seen = at;
CREATE UNIQUE INDEX alert_open ON alert (key) WHERE key <> '' AND ended = 0;
CREATE INDEX alert_seen ON alert (seen);
CREATE INDEX alert_ended ON alert (ended) WHERE ended <> 0;
CREATE INDEX alert_forgeable ON alert (seen) WHERE forgeable = 1;
DROP VIEW alerts;
CREATE VIEW alerts AS SELECT datetime(at / 1000, 'unixepoch') AS at, kind, source, account, server,
	text, advice, severity, key <> '' AND ended = 0 AS open,
	datetime(seen / 1000, 'unixepoch') AS seen,
	iif(ended = 0, NULL, datetime(ended / 1000, 'unixepoch')) AS ended, count
	FROM alert ORDER BY alert.at;`,
	`CREATE TABLE lift_all (
	id         INTEGER PRIMARY KEY,
	upto       INTEGER NOT NULL,
	at         INTEGER NOT NULL,
	lifted_by  TEXT    NOT NULL,
	lifted_why TEXT    NOT NULL,
	boot       INTEGER NOT NULL,
	uptime     INTEGER NOT NULL
);
CREATE VIEW past AS SELECT ban.id, prefix, scope, rule, score, attempts, strike, evidence, servers,
	decided, until, coalesce(ban.lifted, a.at) AS lifted,
	coalesce(ban.lifted_by, a.lifted_by) AS lifted_by,
	coalesce(ban.lifted_why, a.lifted_why) AS lifted_why, observed, current, ban.boot
	FROM ban LEFT JOIN lift_all a ON ban.current = 1 AND ban.lifted IS NULL AND a.id =
		(SELECT min(id) FROM lift_all WHERE upto >= ban.id AND at < ban.until);
DROP VIEW bans;
CREATE VIEW bans AS SELECT
	prefix, scope, rule, round(score, 2) AS score, attempts, strike, evidence,
	datetime(decided / 1000, 'unixepoch') AS decided, datetime(until / 1000, 'unixepoch') AS until,
	datetime(lifted / 1000, 'unixepoch') AS lifted, lifted_by, lifted_why, observed,
	current = 1 AND lifted IS NULL AND until / 1000 > CAST(strftime('%s', 'now') AS INTEGER) AS running, servers
	FROM past ORDER BY past.decided;`,
	`ALTER TABLE account_hour ADD COLUMN ways INTEGER NOT NULL DEFAULT 0;
ALTER TABLE account_hour ADD COLUMN networks INTEGER NOT NULL DEFAULT 0;`,
}

// migrate changes the schema to the version of the last step. Each step is one transaction.
func migrate(conn *sql.Conn, steps []string) error {
	ctx := context.Background()
	version, err := schemaVersion(conn, len(steps))
	if err != nil {
		return err
	}

	for ; version < len(steps); version++ {
		tx, err := conn.BeginTx(ctx, nil)
		if err != nil {
			return err
		}

		// Schema and version change in one transaction, so that a crash cannot separate them.
		set := fmt.Sprintf("PRAGMA application_id = %d; PRAGMA user_version = %d", applicationID,
			version+1)

		_, err = tx.ExecContext(ctx, steps[version]+";"+set)
		if err == nil {
			err = tx.Commit()
		}

		if err != nil {
			_ = tx.Rollback() // the first error is the one to report
			return fmt.Errorf("migrate to schema %d: %w", version+1, err)
		}
	}

	return nil
}

// schemaVersion returns the version of the schema, 0 for an empty database. It returns an error for
// a database of another program, and for a version above known. It changes nothing.
func schemaVersion(conn *sql.Conn, known int) (int, error) {
	var id, version, tables int
	for query, to := range map[string]*int{
		"PRAGMA application_id": &id, "PRAGMA user_version": &version,
		"SELECT count(*) FROM sqlite_schema": &tables,
	} {
		if err := conn.QueryRowContext(context.Background(), query).Scan(to); err != nil {
			return 0, err
		}
	}

	// An empty file is a new database. Any other file must be ours.
	switch {
	case id == 0 && version == 0 && tables == 0:
		return 0, nil
	case id != applicationID:
		return 0, ErrForeign
	case version > known:
		return 0, fmt.Errorf("%w (its schema is %d, this one knows up to %d)", ErrNewer, version,
			known)
	}

	return version, nil
}
