package operate

import "context"

// isWritten waits until the journal has written all that it was handed, so that what a command
// decided outlasts a crash right after it. It returns false if that takes too long; the status
// shows why.
func (s *Service) isWritten(ctx context.Context) bool {
	if s.Journal == nil {
		return true
	}

	ctx, cancel := context.WithTimeout(ctx, diskTime)
	defer cancel()
	return s.Journal.Flush(ctx) == nil
}

// isOnDisk is like isWritten, but for what a crash must not undo. It includes what the engine was
// told to forget, and takes the room that is reserved for that on a full disk. saved means that the
// judge has handed that over already.
func (s *Service) isOnDisk(ctx context.Context, saved bool) bool {
	if s.Journal == nil {
		return true
	}

	ctx, cancel := context.WithTimeout(ctx, diskTime)
	defer cancel()

	// The journal may have no room for the judge's block before it has written another one.
	for {
		if !saved {
			var err error
			if saved, err = s.Judge.Save(ctx); err != nil {
				return false
			}
		}

		// The call also makes room: what was queued is written when it returns.
		if s.Journal.SyncLifts(ctx) != nil {
			return false
		}
		if saved {
			return true
		}
	}
}

// joined returns two notes as one.
func joined(a, b string) string {
	switch {
	case a == "":
		return b
	case b == "":
		return a
	}
	return a + "; " + b
}
