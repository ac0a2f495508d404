package journal

import (
	"errors"
	"fmt"
	"os"
	"strconv"
)

// keptFile returns the name of the copy of a database that was made before a newer amifend changed
// its schema. With it an operator can go back to the older amifend.
func keptFile(path string, version int) string { return path + ".schema" + strconv.Itoa(version) }

// keepOld copies the database before its schema is changed. If there is no room for a copy, there
// is none, because an upgrade must not fail for that.
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

// wayBack adds advice to the error about a database that a newer amifend wrote.
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
