package daemon

import (
	"context"
	"math/rand/v2"

	"github.com/amifend/amifend/cmd/amifend/internal/config"
	"github.com/amifend/amifend/cmd/amifend/internal/enforce"
	"github.com/amifend/amifend/cmd/amifend/internal/judge"
	"github.com/amifend/amifend/cmd/amifend/internal/limiter"
	"github.com/amifend/amifend/cmd/amifend/internal/protect"
	"github.com/amifend/amifend/cmd/amifend/internal/sensor"
	"github.com/amifend/amifend/cmd/amifend/internal/stream"
	"github.com/amifend/amifend/policy"
)

// This file makes the parts that are off without the kernel's table.

// newSensor returns the kernel sensor. It needs the kernel's table, so a dry run has none.
func newSensor(
	s *shared, table enforce.WatchedTable, engine *judge.Judge, fleet *stream.Fleet,
	watcher *protect.Watcher,
) *sensor.Sensor {
	c := s.options.Config
	o := sensor.Options{
		Group: c.Sensor.Group, NetNS: s.options.NetNS, Sessions: fleet.Sessions, Watcher: watcher,
		Hasher: engine.Hasher(), Seed: rand.Uint64(), Witness: s.witness, Out: s.events,
		Alerts: s.alerts, Clock: s.clock, Log: s.options.Log,
	}

	// A nil pointer in an interface is not nil.
	kernel, ok := table.(*enforce.Kernel)
	switch {
	case !c.Sensor.Enabled:
		o.Off = "[sensor] enabled = false"
	case !ok:
		o.Off = "amifend does not touch the kernel: it is a dry run"
	default:
		o.Table = kernel
	}
	return sensor.New(o)
}

// newLimiter returns the limiter for strangers. It needs the kernel's table, as the sensor does.
func newLimiter(
	s *shared, table enforce.WatchedTable, engine **judge.Judge,
) *limiter.Limiter {
	c := s.options.Config
	o := limiter.Options{
		Drop: c.Limiter.Mode == config.LimiterOn, Clock: s.clock, Log: s.options.Log,
		Proved: func(ctx context.Context) ([]policy.Proof, error) { return (*engine).Proved(ctx) },
	}

	kernel, ok := table.(*enforce.Kernel)
	switch {
	case !c.Limiter.Enabled():
		o.Off = `[limiter] mode = "off"`
	case !ok:
		o.Off = "amifend does not touch the kernel: it is a dry run"
	default:
		o.Table = kernel
	}
	return limiter.New(o)
}
