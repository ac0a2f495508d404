package operate

import (
	"context"
	"os"

	"github.com/amifend/amifend/cmd/amifend/internal/control"
)

// Backup returns an open file that holds a copy of the journal. What was decided before the call is
// in it. The caller closes the file.
func (s *Service) Backup(ctx context.Context) (*os.File, error) {
	ctx, cancel := Outlasting(ctx)
	defer cancel()

	// A journal that cannot be written now is older than what is in force.
	if !s.isOnDisk(ctx, false) {
		return nil, control.Errorf(control.CodeFailed,
			"the journal is not written yet, so a backup would miss bans").Advise("amifend status")
	}

	f, err := s.Journal.Copy(ctx)
	if err != nil {
		return nil, control.Errorf(control.CodeFailed, "%s", err).
			Advise("see whether the disk of the journal has room for a copy: amifend status")
	}
	return f, nil
}
