package daemon

import (
	"context"
	"time"

	"github.com/amifend/amifend/cmd/amifend/internal/audit"
	"github.com/amifend/amifend/cmd/amifend/internal/audit/probe"
	"github.com/amifend/amifend/cmd/amifend/internal/control"
)

// auditTime limits how long the PBXs are looked at for a weekly report. Those that are left then are
// named in it.
const auditTime = 90 * time.Second

// weekly returns the report of the last seven days, with what an attacker would find. A goroutine of
// the notifier calls it, so that no other part of the daemon waits for a PBX.
func (d *daemon) weekly(ctx context.Context) (control.Report, error) {
	r, err := d.service.Weekly(ctx)
	if err != nil {
		return r, err
	}

	// The daemon has no right to read the PBX's configuration. The result says so.
	found, err := audit.Run(ctx, audit.Options{
		Config: d.live.Load(), Daemon: d.service, Ports: probe.DefaultPorts(),
		NetNS: d.options.NetNS, Time: auditTime,
	})
	if err != nil {
		return r, err
	}
	summary := audit.Summarize(found)
	r.Audit = &summary
	return r, nil
}
