package journal

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
	_ "modernc.org/sqlite" // the driver
	sqlite3 "modernc.org/sqlite/lib"
)

// The names of the database in the state directory.
const (
	File         = "journal.db"
	ObservedFile = "observed.db" // of a dry run: nothing in it is in force
)

// store is an open database. Only the journal's goroutine uses it.
type store struct {
	db       *sql.DB
	conn     *sql.Conn
	path     string
	file     os.FileInfo // of the file that was opened
	readOnly bool        // it can only be read, for a snapshot
	observed bool        // its bans are only observed
	fresh    bool        // there was no database before
	times    timeline
	stmts    map[string]*sql.Stmt
	log      blockLog
}

// openStore opens a database, and makes it if it is missing. If nothing can be written, it opens an
// existing database read-only, for the bans in it.
func openStore(path string, clock Clock) (*store, error) {
	s, err := openWritable(path, clock)
	if err == nil || !unwritable(err) {
		return s, err
	}

	for _, query := range readings() {
		if s, ro := openAs(path, query, clock, true); ro == nil {
			return s, nil
		} else if refused(ro) {
			return nil, ro
		}
	}

	return nil, err
}

// openWritable opens a database for writing.
func openWritable(path string, clock Clock) (*store, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o750); err != nil {
		return nil, err
	}

	f, err := create(path)
	if err != nil {
		return nil, err
	}

	f.Close()
	return openAs(path, sole, clock, false)
}

// The queries of URIs, which say how a database is opened.
//
// SQLite keeps the index of the write-ahead log in a file that it maps, so that several processes
// can share it. To write into the mapping of a disk that hangs is a page fault, which the Go
// runtime cannot tell from work: the next garbage collection would wait for the disk, and all
// goroutines with it. So one process has the database alone, and the index is in its memory.
const (
	sole = "mode=rw&vfs=unix-excl" // to write, for any number of connections of this process

	// To read beside a connection that writes. mode=ro would not share the index in memory.
	beside = sole + "&_pragma=query_only(1)"
)

// readings returns the queries to read a database that cannot be written, the best one first.
func readings() []string {
	return []string{
		beside, // a full disk has no room for a commit, but the file can be opened

		// A read-only disk has no writer, so no locks are needed: only without them is the index in
		// memory.
		"mode=ro&vfs=unix-none&_pragma=locking_mode(exclusive)",

		"immutable=1", // sees nothing of the write-ahead log
	}
}

// connOptions holds the options of every connection. It waits for locks, because a user's query may
// hold one for a moment.
const connOptions = "&_txlock=immediate&_pragma=busy_timeout(2000)" +
	"&_pragma=trusted_schema(0)&_pragma=cell_size_check(1)&_pragma=mmap_size(0)"

// openAs opens a database with the given query of its URI.
func openAs(path, query string, clock Clock, readOnly bool) (*store, error) {
	name := url.URL{Scheme: "file", OmitHost: true, Path: path}
	db, err := sql.Open("sqlite", name.String()+"?"+query+connOptions)
	if err != nil {
		return nil, err
	}

	// One connection, because PRAGMAs and transactions belong to a connection.
	db.SetMaxOpenConns(1)
	s := &store{
		db: db, path: path, readOnly: readOnly, times: timeline{clock: clock},
		stmts: make(map[string]*sql.Stmt),
	}
	if err := s.prepare(); err != nil {
		s.close()
		return nil, err
	}

	return s, nil
}

// prepare checks, migrates and measures the database.
func (s *store) prepare() (err error) {
	if s.conn, err = s.db.Conn(context.Background()); err != nil {
		return err
	}

	if s.file, err = os.Stat(s.path); err != nil {
		return err
	}

	// The version is checked before anything is written: the file may not be ours.
	version, err := schemaVersion(s.conn, len(migrations))
	if err != nil {
		return s.wayBack(err)
	}
	s.fresh = version == 0 && !s.readOnly

	if !s.readOnly {
		// With FULL, a commit survives a power cut. Pages without rows are returned to the disk in
		// steps, see giveBack.
		for _, pragma := range []string{
			"auto_vacuum = INCREMENTAL", "journal_mode = WAL",
			"synchronous = FULL", "journal_size_limit = 4194304",
		} {
			if _, err := s.exec("PRAGMA " + pragma); err != nil {
				return err
			}
		}

		s.keepOld(version)
		if err := migrate(s.conn, migrations); err != nil {
			return err
		}
	} else if version != len(migrations) {
		return fmt.Errorf("schema %d cannot be migrated: %w", version, errReadOnly)
	}

	// To prepare a statement shows that its tables and columns exist.
	for name, text := range statements {
		stmt, err := s.conn.PrepareContext(context.Background(), text)

		// This code means a missing one. Any other error, such as one of the disk, does not.
		if code(err) == sqlite3.SQLITE_ERROR {
			return fmt.Errorf("%w: %w", errDamaged, err)
		}
		if err != nil {
			return err
		}

		s.stmts[name] = stmt
	}

	if err := s.resume(); err != nil {
		return err
	}

	return s.measure()
}

// resume compares the clocks with the last commit, and corrects the times on disk.
func (s *store) resume() error {
	var old reading
	err := s.conn.QueryRowContext(context.Background(),
		"SELECT boot, boot_id, uptime, wall, before FROM clock").
		Scan(&old.boot, &old.bootID, &old.uptime, &old.wall, &old.before)
	if errors.Is(err, sql.ErrNoRows) {
		s.times.last = reading{boot: 1, bootID: s.times.clock.Boot}
		s.times.read()
		return nil
	}

	if err != nil {
		return err
	}

	// In a read-only database the times are as correct as the clock is.
	move, ok := s.times.resume(old)
	if s.readOnly {
		return nil
	}

	return s.write(func() error {
		if !ok {
			return nil
		}
		return s.shift(move)
	})
}

// exec runs a statement that is not prepared.
func (s *store) exec(query string, args ...any) (sql.Result, error) {
	return s.conn.ExecContext(context.Background(), query, args...)
}

// close closes the database. It ignores errors, since nothing could be done about them.
func (s *store) close() {
	for _, stmt := range s.stmts {
		_ = stmt.Close()
	}
	if s.conn != nil {
		_ = s.conn.Close()
	}
	_ = s.db.Close()
}

// replaced reports whether the file is no longer the one that was opened: writes to it would be
// lost.
func (s *store) replaced() bool {
	st, err := os.Stat(s.path)
	return errors.Is(err, fs.ErrNotExist) || err == nil && !os.SameFile(st, s.file)
}

// lockDir takes the lock of a directory, so that two daemons never write the same journal. It
// returns [ErrLocked] if another one has it. Where the lock file cannot be made, no journal can be
// written either.
func lockDir(dir, name string) (*os.File, error) {
	if err := os.MkdirAll(dir, 0o750); err != nil {
		return nil, err
	}

	f, err := create(filepath.Join(dir, name))
	if err != nil {
		return nil, err
	}

	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		f.Close()
		if errors.Is(err, unix.EWOULDBLOCK) {
			err = ErrLocked
		}
		return nil, err
	}

	return f, nil
}
