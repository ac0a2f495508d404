package app

import (
	"log/slog"
	"time"

	"github.com/amifend/amifend/ami"
	"github.com/amifend/amifend/cmd/amifend/internal/config"
)

// changed tells how the session is: up, lost, or what keeps it from working and what to do. It is called by the
// session, once for each change.
func (s *session) changed(c ami.Change) {
	if c.Phase == ami.PhaseConnected {
		attrs := []any{slog.String("asterisk_ami", c.Version), slog.String("login", string(c.Auth)), slog.Bool("tls", c.TLS.Enabled)}
		if c.TLS.Enabled {
			attrs = append(attrs, slog.Bool("certificate_verified", !c.TLS.Insecure))
		}
		if c.Gap > 0 {
			attrs = append(attrs, slog.String("gap", c.Gap.Round(time.Millisecond).String()), slog.Uint64("gaps", s.Status().Gaps))
		}
		s.log.Info("AMI session is up", attrs...)
		return
	}
	attrs := []any{
		slog.String("problem", c.Problem.String()), slog.Any("err", c.Err),
		slog.String("do", config.Advice(c.Problem)), slog.String("retry", c.Retry.Round(time.Millisecond).String()),
	}
	if c.Lost {
		s.log.Warn("AMI session is lost: events may be missed until it is back", attrs...)
		return
	}
	s.log.Warn("AMI session cannot be made", attrs...)
}
