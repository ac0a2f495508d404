package journal

import (
	"errors"
	"io/fs"
	"math"
	"os"

	"golang.org/x/sys/unix"
	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"
)

// Errors of a database that cannot be written.
var (
	errReadOnly = errors.New("it is read-only")
	errDamaged  = errors.New("its tables are not those of its version")
	errPanicked = errors.New("the database engine failed")
)

// code returns SQLite's primary result code of an error, or 0.
func code(err error) int {
	var e *sqlite.Error
	if !errors.As(err, &e) {
		return 0
	}
	return e.Code() & 0xff
}

// corrupt reports whether the database is lost.
func corrupt(err error) bool {
	c := code(err)
	return c == sqlite3.SQLITE_CORRUPT || c == sqlite3.SQLITE_NOTADB || errors.Is(err, errDamaged)
}

// refused is [Refused].
func refused(err error) bool {
	return errors.Is(err, ErrNewer) || errors.Is(err, ErrForeign) || errors.Is(err, ErrLocked) ||
		errors.Is(err, ErrOther)
}

// unwritable reports whether the place of the database cannot be written.
func unwritable(err error) bool {
	switch code(err) {
	case sqlite3.SQLITE_FULL, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM,
		sqlite3.SQLITE_IOERR:
		return true
	}
	return noSpace(err) || noRight(err)
}

// noSpace reports whether the disk is full.
func noSpace(err error) bool {
	return code(err) == sqlite3.SQLITE_FULL || errors.Is(err, unix.ENOSPC) ||
		errors.Is(err, unix.EDQUOT)
}

// noRight reports whether the process lacks a right.
func noRight(err error) bool {
	return code(err) == sqlite3.SQLITE_READONLY || errors.Is(err, unix.EROFS) ||
		errors.Is(err, fs.ErrPermission) || errors.Is(err, errReadOnly)
}

// full reports whether the disk of a folder has next to no room.
func full(dir string) bool { return room(dir) < 1<<20 }

// gone reports whether somebody removed a folder.
func gone(dir string) bool {
	_, err := os.Stat(dir)
	return errors.Is(err, fs.ErrNotExist)
}

// room returns the free bytes on the disk of a folder, or a large number if they are unknown.
func room(dir string) uint64 {
	var s unix.Statfs_t
	if unix.Statfs(dir, &s) != nil {
		return math.MaxUint64
	}
	return s.Bavail * uint64(s.Bsize)
}

// advice returns what a person can do about an error.
func advice(err error, dir string) string {
	switch {
	// The database is not ours to write.
	case errors.Is(err, ErrLocked), errors.Is(err, ErrOther):
		return "give each amifend a [state] directory of its own"
	case refused(err):
		return "move the file away to begin anew, or set [state] directory to another, and " +
			"restart amifend"

	case code(err) == sqlite3.SQLITE_BUSY:
		return "end the program that has the journal open (sudo fuser -v " + dir + "/*.db); " +
			"look into a copy instead: amifend backup FILE"

	// The disk does not take it. On a full disk SQLite cannot even open a database for writing, so
	// the database may have been opened read-only.
	case noSpace(err), errors.Is(err, errReadOnly) && full(dir):
		return "free space on the disk of " + dir
	case noRight(err) && gone(dir):
		return "restart amifend, which makes " + dir + " again: a confined process cannot"
	case noRight(err):
		return "let the user that amifend runs as write to " + dir +
			" and the files in it (chown -R), or set [state] directory"
	default:
		return "look at the disk of " + dir +
			", or set [state] directory to another and restart amifend"
	}
}
