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
)

// Backup writes a copy of the journal in a directory to a new file, as it is at one moment; amifend
// may run meanwhile. What it decided in the last second may be missing. The copy is checked.
func Backup(ctx context.Context, o Options, to string) error {
	from := (&Journal{o: o}).path()
	if _, err := os.Stat(from); err != nil {
		return fmt.Errorf("back up the journal: %w", err)
	}

	// SQLite fills an empty file only, and gives a new one too many rights.
	f, err := createNew(to)
	if err != nil {
		return fmt.Errorf("back up the journal: %w", err)
	}
	f.Close()

	err = guard(func() error {
		db, err := openURI(from, "mode=ro")
		if err != nil {
			return err
		}
		defer db.Close()
		_, err = db.ExecContext(ctx, "VACUUM INTO ?", to)
		return err
	})
	if err == nil {
		_, err = Check(ctx, o, to)
	}
	if err != nil {
		removeDatabase(to)
		return fmt.Errorf("back up the journal %s: %w", from, err)
	}
	return nil
}

// Checked describes a file that [Check] has found to be a journal.
type Checked struct {
	Bans    int // that run, or are remembered
	Allowed int // prefixes and names that operators allowed
	Written time.Time
}

// Check reports whether a file is a whole journal of this table that this amifend can use. It changes
// nothing.
func Check(ctx context.Context, o Options, path string) (c Checked, err error) {
	if _, err := os.Stat(path); err != nil {
		return c, err
	}

	err = guard(func() error {
		// A copy lies still, so nothing is made beside it.
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
		if want := o.owner(); owner != "" && want != "" && owner != want {
			return fmt.Errorf("%w: it is of %q, this is %q", ErrOther, owner, want)
		}
		return nil
	})
	return c, err
}

// Restore puts a backup in the place of the journal. It fails while amifend runs, and changes nothing
// unless the backup is good. The journal that was there is kept: aside is its name, "" if there was
// none.
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

	// The copy is complete and on the disk before the old one goes.
	removeDatabase(path + newEnd)
	if err := copyFile(from, path+newEnd); err != nil {
		removeDatabase(path + newEnd)
		return fail(err)
	}
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

// copyFile copies a file to a new one, which gets the owner of the directory.
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

// syncDir has the names in a directory on the disk.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
