package journal

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
)

// A journal belongs to one table of the firewall, since the bans in it are to be there; a dry run
// has a journal of its own, since nothing in it may ever come into force.

// ErrOther says that the journal is another table's.
var ErrOther = errors.New("it has the bans of another nftables table")

// ownerKey is the key, among the rows of state, of whom the journal belongs to.
const ownerKey = "owner"

// ownerObserved is the owner of a journal whose bans are in no table.
const ownerObserved = "observed"

func (o *Options) owner() string {
	switch {
	case o.Observed:
		return ownerObserved
	case o.Table == "":
		return ""
	}
	return "inet " + o.Table
}

// lock is the name of the lock: one of each sort may use a directory.
func (o *Options) lock() string {
	if o.Observed {
		return "observed.lock"
	}
	return "lock"
}

// belong makes sure that the database is the owner's. A new one becomes it.
func (s *store) belong(owner string) error {
	if owner == "" {
		return nil
	}

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
			"own, or move the file away to begin anew",
			ErrOther, has, owner)
	}

	return nil
}
