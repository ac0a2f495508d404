package journal

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
)

// A journal belongs to one nftables table: the one with its bans. A dry run has a journal of its
// own, because none of its bans may come into force.

// ErrOther is returned for the journal of another table.
var ErrOther = errors.New("it has the bans of another nftables table")

// ownerKey is the key of the row of state that names the owner.
const ownerKey = "owner"

// ownerObserved is the owner of a dry run's journal.
const ownerObserved = "observed"

// owner returns the name of the journal's owner, "" for any.
func (o *Options) owner() string {
	switch {
	case o.Observed:
		return ownerObserved
	case o.Table == "":
		return ""
	}
	return "inet " + o.Table
}

// lock returns the name of the lock file. A dry run has its own, so that it can share the directory
// with a daemon that bans.
func (o *Options) lock() string {
	if o.Observed {
		return "observed.lock"
	}
	return "lock"
}

// belong returns an error unless the database belongs to owner. A new database is given to it.
func (s *store) belong(owner string) error {
	if owner == "" {
		return nil
	}

	// A new database has no owner yet.
	var has string
	err := s.conn.QueryRowContext(context.Background(),
		"SELECT CAST(value AS TEXT) FROM state WHERE key = ?", []byte(ownerKey)).Scan(&has)
	switch {
	case errors.Is(err, sql.ErrNoRows) && s.readOnly:
		return nil
	case errors.Is(err, sql.ErrNoRows):
		return s.write(func() error {
			_, err := s.do("state", []byte(ownerKey), []byte(owner))
			return err
		})
	case err != nil:
		return fmt.Errorf("read the owner: %w", err)
	case has != owner:
		return fmt.Errorf("%w: it is of %q, this is %q; give each a [state] directory of its "+
			"own, or move the file away to begin anew", ErrOther, has, owner)
	}

	return nil
}
