package journal

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	sqlite3 "modernc.org/sqlite/lib"
)

// Backup writes a copy of a journal that no daemon has open to a new file. It returns [ErrInUse]
// if one has.
func Backup(ctx context.Context, o Options, to string) error {
	from := (&Journal{o: o}).path()
	if _, err := os.Stat(from); err != nil {
		return fmt.Errorf("back up the journal: %w", err)
	}

	err := copyTo(ctx, from, to)
	if code(err) == sqlite3.SQLITE_BUSY {
		err = ErrInUse
	}
	if err != nil {
		return fmt.Errorf("back up the journal %s: %w", from, err)
	}
	return nil
}

// Copy returns a file that holds a copy of the journal as it is now. Records that still wait to be
// written are missing, see [Journal.Flush]. The file has no name, and is gone when it is closed.
// The disk needs room for it. The goroutine that writes the journal goes on meanwhile.
func (j *Journal) Copy(ctx context.Context) (*os.File, error) {
	j.copying.Lock()
	defer j.copying.Unlock()

	// A crash may have left the copy of an earlier request.
	from := j.Health().Path
	to := from + ".copy"
	removeDatabase(to)

	err := copyTo(ctx, from, to)
	if err != nil {
		return nil, fmt.Errorf("copy the journal %s: %w", from, err)
	}

	f, err := os.Open(to)
	removeDatabase(to)
	return f, err
}

// Receive makes a file for a copy of a journal that send writes, and removes it after an error.
func Receive(to string, send func(io.Writer) error) error {
	f, err := createNew(to)
	if err != nil {
		return err
	}

	if err := errors.Join(send(f), f.Sync(), f.Close()); err != nil {
		removeDatabase(to)
		return err
	}
	return nil
}

// copyTo writes a copy of a database to a new file, which only its owner can read. The copy shows
// one moment. It is removed after an error.
func copyTo(ctx context.Context, from, to string) error {
	// VACUUM INTO accepts an empty file. If SQLite made the file, others could read it.
	f, err := createNew(to)
	if err != nil {
		return err
	}
	f.Close()

	// VACUUM INTO writes, so a connection that may only query would refuse it.
	err = guard(func() error {
		db, err := openURI(from, sole)
		if err != nil {
			return err
		}
		defer db.Close()
		_, err = db.ExecContext(ctx, "VACUUM INTO ?", to)
		return err
	})
	if err != nil {
		removeDatabase(to)
	}
	return err
}

// Checked describes a journal that [Check] accepted.
type Checked struct {
	Bans    int // running bans, and lifted ones that are remembered
	Allowed int // prefixes and names that operators allowed
	Written time.Time
}

// Check returns an error unless a file is an undamaged journal of this table with a schema that
// this amifend knows. It changes nothing.
func Check(ctx context.Context, o Options, path string) (c Checked, err error) {
	if _, err := os.Stat(path); err != nil {
		return c, err
	}

	err = guard(func() error {
		// Nobody writes to a backup, so SQLite needs no further files beside it.
		db, err := openURI(path, "immutable=1")
		if err != nil {
			return err
		}
		defer db.Close()
		conn, err := db.Conn(ctx)
		if err != nil {
			return err
		}
		defer conn.Close()

		version, err := schemaVersion(conn, len(migrations))
		if err == nil && version == 0 {
			err = ErrForeign // it is empty
		}
		if err != nil {
			return err
		}

		var ok, owner string
		var wall int64
		if err := conn.QueryRowContext(ctx, "PRAGMA integrity_check(1)").Scan(&ok); err != nil {
			return err
		}
		if ok != "ok" {
			return fmt.Errorf("it is damaged: %s", ok)
		}
		if err := conn.QueryRowContext(ctx, `SELECT
			(SELECT count(*) FROM ban WHERE current = 1),
			(SELECT count(*) FROM state WHERE CAST(key AS TEXT) LIKE 'allow/%'),
			coalesce((SELECT wall FROM clock), 0),
			coalesce((SELECT CAST(value AS TEXT) FROM state WHERE key = ?), '')`,
			[]byte(ownerKey)).Scan(&c.Bans, &c.Allowed, &wall, &owner); err != nil {
			return err
		}
		c.Written = time.UnixMilli(wall)

		// The bans of another table would be restored into ours.
		if want := o.owner(); owner != "" && want != "" && owner != want {
			return fmt.Errorf("%w: it is of %q, this is %q", ErrOther, owner, want)
		}
		return nil
	})
	return c, err
}

// Restore puts a backup in the place of the journal. It changes nothing while amifend runs, or if
// [Check] rejects the backup. The old journal is kept: aside is its name, "" if there was none.
func Restore(ctx context.Context, o Options, from string) (aside string, err error) {
	o.Clock = o.Clock.OrReal()
	path := (&Journal{o: o}).path()
	fail := func(err error) (string, error) {
		return "", fmt.Errorf("restore the journal %s: %w", path, err)
	}

	lock, err := lockDir(o.Directory, o.lock())
	if err != nil {
		return fail(err)
	}
	defer lock.Close()

	if _, err := Check(ctx, o, from); err != nil {
		return fail(fmt.Errorf("%s: %w", from, err))
	}

	// The copy is complete and on the disk before the old journal is renamed.
	removeDatabase(path + newEnd)
	if err := copyFile(from, path+newEnd); err != nil {
		removeDatabase(path + newEnd)
		return fail(err)
	}

	// The old journal is renamed and not deleted, since the user may have chosen a wrong backup.
	if _, err := os.Stat(path); err == nil {
		aside = path + ".before-" + o.Clock.Wall().UTC().Format("20060102T150405.000Z")
		if err := moveDatabase(path, aside); err != nil {
			return fail(err)
		}
	} else if !errors.Is(err, fs.ErrNotExist) {
		return fail(err)
	}

	if err := moveDatabase(path+newEnd, path); err != nil {
		return fail(err)
	}
	return aside, syncDir(filepath.Dir(path))
}

// copyFile copies a file to a new one, see [createNew].
func copyFile(from, to string) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()

	out, err := createNew(to)
	if err != nil {
		return err
	}

	_, err = io.Copy(out, in)
	return errors.Join(err, out.Sync(), out.Close())
}

// syncDir returns when the names in a directory are on the disk.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
