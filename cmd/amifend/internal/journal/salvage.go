package journal

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"slices"
	"strings"
)

// This file copies the readable rows of a damaged database into a new one. It accepts no row that
// the tables of the new database refuse.

// newEnd is the end of the name of a database that is not complete yet. It is renamed when it is.
const newEnd = ".new"

// companions returns the ends of the names of a database and of the files that belong to it.
func companions() []string { return []string{"", "-wal", "-shm"} }

// tables holds the tables of a database, with the column that orders their rows. The clock comes
// first, because without it the times in the other tables mean nothing.
var tables = []struct{ name, order string }{
	{"clock", "id"},
	{"state", "key"},
	{"operation", "id"},
	{"lift_all", "id"},
	{"ban", "id"},
	{"engine", "id"},
	{"alert", "id"},
	{"source_hour", "hour"},
	{"account_hour", "hour"},
}

// salvaged counts the rows that were copied, by table, and names the tables in which some could not
// be read.
type salvaged struct {
	rows   map[string]int
	broken []string
}

// salvage copies the readable rows of a database into a new one. If there are none, it returns
// false and leaves no new database.
func salvage(from, to string) (out salvaged, ok bool) {
	out.rows = make(map[string]int)
	removeDatabase(to)
	err := guard(func() error { return out.fill(from, to) })

	total := 0
	for _, n := range out.rows {
		total += n
	}
	if err != nil || total == 0 {
		removeDatabase(to)
		return out, false
	}
	return out, true
}

// fill makes a new database, and copies the rows.
func (out *salvaged) fill(from, to string) error {
	old, err := openURI(from, beside)
	if err != nil {
		return err
	}
	defer old.Close()

	f, err := createNew(to)
	if err != nil {
		return err
	}
	f.Close()

	fresh, err := openURI(to, sole)
	if err != nil {
		return err
	}
	defer fresh.Close()

	conn, err := fresh.Conn(context.Background())
	if err != nil {
		return err
	}
	defer conn.Close()

	// SQLite accepts this setting only while a database has no table.
	if _, err := conn.ExecContext(context.Background(),
		"PRAGMA auto_vacuum = INCREMENTAL"); err != nil {
		return err
	}
	if err := migrate(conn, migrations); err != nil {
		return err
	}

	return out.copy(old, conn)
}

// copy copies all tables, in one transaction.
func (out *salvaged) copy(old *sql.DB, conn *sql.Conn) error {
	tx, err := conn.BeginTx(context.Background(), nil)
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback() }() // does nothing after the commit

	for _, t := range tables {
		n, err := copyRows(old, tx, t.name, t.order)
		if err != nil {
			// The rows behind the damage can be read from the other end. Rows that were copied
			// already are refused.
			more, _ := copyRows(old, tx, t.name, t.order+" DESC")
			n += more
			out.broken = append(out.broken, t.name)
		}
		out.rows[t.name] = n
	}

	return tx.Commit()
}

// copyRows copies the rows of a table up to the first one that cannot be read, and returns their
// number. Columns that the new table does not have are left out.
func copyRows(old *sql.DB, tx *sql.Tx, table, order string) (n int, err error) {
	columns, err := sharedColumns(old, tx, table)
	if err != nil {
		return 0, err
	}

	list := strings.Join(columns, ", ")
	insert, err := tx.PrepareContext(context.Background(), fmt.Sprintf(
		"INSERT OR IGNORE INTO %s (%s) VALUES (?%s)", table, list,
		strings.Repeat(", ?", len(columns)-1)))
	if err != nil {
		return 0, err
	}
	defer insert.Close()

	rows, err := old.QueryContext(context.Background(),
		fmt.Sprintf("SELECT %s FROM %s ORDER BY %s", list, table, order))
	if err != nil {
		return 0, err
	}
	defer rows.Close()

	// The columns of an older schema are not known, so their values have any type.
	values, into := make([]any, len(columns)), make([]any, len(columns))
	for i := range values {
		into[i] = &values[i]
	}

	for rows.Next() {
		if err := rows.Scan(into...); err != nil {
			return n, err
		}

		r, err := insert.ExecContext(context.Background(), values...)
		if err != nil {
			continue // the damage changed this row
		}
		if added, err := r.RowsAffected(); err == nil {
			n += int(added) // 0 or 1
		}
	}

	return n, rows.Err()
}

// sharedColumns returns the columns that a table has in both databases.
func sharedColumns(old *sql.DB, tx *sql.Tx, table string) ([]string, error) {
	names := func(q interface {
		QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
	},
	) (out []string, err error) {
		rows, err := q.QueryContext(context.Background(),
			"SELECT name FROM pragma_table_info(?)", table)
		if err != nil {
			return nil, err
		}
		defer rows.Close()

		for rows.Next() {
			var name string
			if err := rows.Scan(&name); err != nil {
				return nil, err
			}
			out = append(out, name)
		}
		return out, rows.Err()
	}

	has, err := names(old)
	if err != nil {
		return nil, err
	}
	wants, err := names(tx)
	if err != nil {
		return nil, err
	}

	var out []string
	for _, name := range wants {
		if slices.Contains(has, name) {
			out = append(out, name)
		}
	}

	// SQLite returns no columns for a missing table.
	if len(out) == 0 {
		return nil, fmt.Errorf("no table %s", table)
	}
	return out, nil
}

// openURI opens a database with one connection.
func openURI(path, query string) (*sql.DB, error) {
	name := url.URL{Scheme: "file", OmitHost: true, Path: path, RawQuery: query + connOptions}
	db, err := sql.Open("sqlite", name.String())
	if err == nil {
		db.SetMaxOpenConns(1)
	}
	return db, err
}

// removeDatabase removes a database that is not complete.
func removeDatabase(path string) {
	for _, end := range append(companions(), "-journal") {
		_ = os.Remove(path + end) // it is usually missing
	}
}

// moveDatabase renames a database and the files that belong to it.
func moveDatabase(from, to string) error {
	for _, end := range []string{"-wal", "-shm", ""} {
		if err := os.Rename(from+end, to+end); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}
