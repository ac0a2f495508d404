package operate

import "context"

// WatchMinutes is watchMinutes, for the tests.
func (s *Service) WatchMinutes(ctx context.Context) { s.watchMinutes(ctx) }
