package judge

import (
	"context"

	"github.com/amifend/amifend/cmd/amifend/internal/owner"
	"github.com/amifend/amifend/firewall"
	"github.com/amifend/amifend/policy"
)

// Tune gives the engine new options. refused is the engine's error, err that it does not answer.
func (j *Judge) Tune(ctx context.Context, o policy.Options) (refused, err error) {
	return owner.Do(ctx, j.calls, func() error { return j.tune(o) })
}

func (j *Judge) tune(o policy.Options) error {
	verdicts, err := j.engine.Tune(j.clock.Now(), o)
	if err != nil {
		return err
	}

	j.policy = o
	j.hidden.weights = o.Weights
	j.hourly.weights = o.Weights
	j.carryOut(verdicts)
	return nil
}

// SetServers replaces the names of the servers by number. The new list must begin with the old one.
func (j *Judge) SetServers(ctx context.Context, names []string) error {
	_, err := owner.Do(ctx, j.calls, func() struct{} {
		j.setServers(names)
		return struct{}{}
	})
	return err
}

func (j *Judge) setServers(names []string) {
	j.servers = names
	j.hidden.grow(len(names))
}

// SetPorts changes the ports that the scopes sip and stream cover.
func (j *Judge) SetPorts(ctx context.Context, ports firewall.Ports) error {
	_, err := owner.Do(ctx, j.calls, func() struct{} {
		j.ineffective.ports = ports
		return struct{}{}
	})
	return err
}
