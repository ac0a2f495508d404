package journal

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"strings"
)

// This file makes a new database of what can still be read of a damaged one. Nothing is trusted
// beyond what the tables of a new database accept.

// newEnd is the end of the name of a database that is being made, to be renamed when it is whole.
const newEnd = ".new"

// companions are the ends of the names of a database and of the files that belong to it.
func companions() []string { return []string{"", "-wal", "-shm"} }

// tables are the tables of a database, with the column that their rows are ordered by. The clock
// comes first: without it, the times in the others would mean nothing.
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

// salvage copies what can be read of a database into a new one. It returns false if nothing can be
// read. Then there is no new one.
func salvage(from, to string) (out salvaged, ok bool) {
	out.rows = make(map[string]int)
	removeDatabase(to)
	err := guard(func() error {
		old, err := openURI(from, "mode=ro")
		if err != nil {
			return err
		}
		defer old.Close()

		f, err := createNew(to)
		if err != nil {
			return err
		}
		f.Close()
		fresh, err := openURI(to, "mode=rw")
		if err != nil {
			return err
		}
		defer fresh.Close()

		conn, err := fresh.Conn(context.Background())
		if err != nil {
			return err
		}
		defer conn.Close()
		if _, err := conn.ExecContext(context.Background(),
			"PRAGMA auto_vacuum = INCREMENTAL"); err != nil {
			return err
		}
		if err := migrate(conn, migrations); err != nil {
			return err
		}
		return out.copy(old, conn)
	})

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
			// What stands behind the damage can be read from the other end. Rows that were copied
			// already are refused.
			more, _ := copyRows(old, tx, t.name, t.order+" DESC")
			n += more
			out.broken = append(out.broken, t.name)
		}
		out.rows[t.name] = n
	}
	return tx.Commit()
}

// copyRows copies the rows of a table up to the first one that cannot be read. Columns that the new
// table does not have are left out.
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
			continue // a row that no table of ours could hold
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
		for _, h := range has {
			if h == name {
				out = append(out, name)
			}
		}
	}
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

// removeDatabase removes a database that was not finished.
func removeDatabase(path string) {
	for _, end := range append(companions(), "-journal") {
		_ = os.Remove(path + end) // it is usually missing
	}
}

// moveDatabase renames a database and what belongs to it.
func moveDatabase(from, to string) error {
	for _, end := range []string{"-wal", "-shm", ""} {
		if err := os.Rename(from+end, to+end); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}
