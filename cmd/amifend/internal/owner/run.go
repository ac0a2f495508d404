package owner

import (
	"context"
	"log/slog"
	"time"

	"github.com/amifend/amifend/cmd/amifend/internal/clock"
)

// restartPause is the pause before a part that ended is started again.
const restartPause = time.Second

// KeepRunning runs a part of the daemon until ctx ends. When the part ends before, KeepRunning logs
// it and starts the part again after a second, so that the other parts of the daemon go on.
func KeepRunning(ctx context.Context, log *slog.Logger, what string, run func() error) {
	for {
		err := run()
		if ctx.Err() != nil {
			return
		}

		log.Error(what+" ended: starting it again", "err", err)
		clock.Sleep(ctx, restartPause)
	}
}
