package journal

import (
	"errors"
	"fmt"
	"os"
	"strconv"
)

// keptFile returns the name of the copy that is kept of a database when a newer amifend changes its
// schema, so that there is a way back.
func keptFile(path string, version int) string { return path + ".schema" + strconv.Itoa(version) }

// keepOld keeps a copy of the database as it is, before its schema is changed. Without room there
// is no copy: an upgrade must not fail because of that.
func (s *store) keepOld(version int) {
	if version == 0 || version == len(migrations) {
		return
	}

	to := keptFile(s.path, version)
	removeDatabase(to)
	if err := os.WriteFile(to, nil, 0o600); err != nil {
		return
	}
	if _, err := s.exec("VACUUM INTO ?", to); err != nil {
		removeDatabase(to)
	}
}

// wayBack adds to the error of a newer database what the operator can do.
func (s *store) wayBack(err error) error {
	if !errors.Is(err, ErrNewer) {
		return err
	}

	kept := keptFile(s.path, len(migrations))
	if _, missing := os.Stat(kept); missing == nil {
		return fmt.Errorf("%w: update amifend again; or go back to the journal as it was "+
			"before the upgrade: amifend restore %s", err, kept)
	}
	return fmt.Errorf("%w: update amifend again; or restore a backup of this version: "+
		"amifend restore FILE; or move the file away to begin anew", err)
}
