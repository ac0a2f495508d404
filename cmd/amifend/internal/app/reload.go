package app

import (
	"context"
	"fmt"
	"maps"
	"os"
	"os/signal"
	"reflect"
	"slices"
	"strings"
	"syscall"

	"github.com/amifend/amifend/cmd/amifend/internal/config"
	"github.com/amifend/amifend/cmd/amifend/internal/control"
	"github.com/amifend/amifend/firewall"
	"github.com/amifend/amifend/policy"
)

// mostServers is how many servers there may have been since the start: events name them by a number of 16 bits.
const mostServers = 1 << 16

// portSetter is a table whose SIP ports can change.
type portSetter interface {
	SetSIPPorts(ctx context.Context, ports firewall.SIPPorts) error
}

// Reload reads the config again. All that can fail is done before the first change, so a file that is not valid, or names
// what cannot be read, changes nothing. No connection that did not change is lost, and no score and no ban.
func (k *desk) Reload(ctx context.Context, by control.Peer) (control.Reloaded, error) {
	k.reloading.Lock()
	defer k.reloading.Unlock()
	tell(k.Reloading)
	defer tell(k.Ready)
	next, err := k.Options.Reload()
	if err != nil {
		return control.Reloaded{}, control.Errorf(control.CodeInvalidConfig, "the config is not valid, and nothing was changed:\n%s", err)
	}
	old := k.config.Load()
	plan, err := k.fleet.plan(next.Servers, func(s config.Server) (*session, error) { return k.session(s, k.watcher) })
	if err != nil {
		return control.Reloaded{}, control.Errorf(control.CodeInvalidConfig, "nothing was changed: %s", err)
	}
	if names := k.names(next.Servers); len(names) > mostServers {
		return control.Reloaded{}, control.Errorf(control.CodeFailed, "nothing was changed: there were too many servers since the start").
			Advise("systemctl restart amifend")
	}
	if what, do := k.cutOff(next); what != "" && !old.Dry() {
		return control.Reloaded{}, control.Errorf(control.CodeInvalidConfig, "nothing was changed: %s", what).Advise("%s", do)
	}
	ctx, cancel := outlasting(ctx) // who asked may go: half a config must not stay in force
	defer cancel()
	out := control.Reloaded{Changed: []string{}, Warnings: next.Warnings}
	merged := keepFixed(old, next, &out)
	if err := k.changePorts(ctx, old, merged, &out); err != nil {
		return control.Reloaded{}, err
	}
	if err := k.changePolicy(ctx, old, merged, &out); err != nil {
		return control.Reloaded{}, err
	}
	if err := k.changeServers(ctx, plan, &out); err != nil {
		return control.Reloaded{}, err
	}
	if !slices.Equal(old.Allow, merged.Allow) {
		out.Changed = append(out.Changed, "[allow] prefixes")
	}
	if !slices.Equal(old.Names, merged.Names) {
		out.Changed = append(out.Changed, "[allow] names")
	}
	k.config.Store(merged)
	k.relist()
	k.changeDeny(ctx, old, merged, &out)
	k.record(by, "reload", strings.Join(out.Changed, ", "), "")
	return out, nil
}

// keepFixed returns next with the old values where a change takes a restart, and notes which these are.
func keepFixed(old, next *config.Config, out *control.Reloaded) *config.Config {
	merged := *next
	fixed := func(name string, a, b any, keep func()) {
		if !reflect.DeepEqual(a, b) {
			out.Restart = append(out.Restart, name)
			keep()
		}
	}
	fixed("[policy] observe", old.Observe, next.Observe, func() { merged.Observe = old.Observe })
	fixed("[state]", old.State, next.State, func() { merged.State = old.State })
	fixed("[control]", old.Control, next.Control, func() { merged.Control = old.Control })
	fixed("[log]", old.Log, next.Log, func() { merged.Log = old.Log })
	f := next.Firewall
	f.SIPPorts = old.Firewall.SIPPorts
	fixed("[firewall] backend, table or max_bans", old.Firewall, f, func() {
		merged.Firewall = old.Firewall
		merged.Firewall.SIPPorts = next.Firewall.SIPPorts
	})
	if next.Policy.MaxBans != old.Policy.MaxBans { // it follows [firewall] max_bans, and max_sources must fit it
		merged.Policy.MaxBans, merged.Policy.MaxSources = old.Policy.MaxBans, old.Policy.MaxSources
	}
	return &merged
}

// changePorts puts new SIP ports into the kernel, then into the judge.
func (k *desk) changePorts(ctx context.Context, old, next *config.Config, out *control.Reloaded) error {
	ports := next.Firewall.SIPPorts
	if slices.Equal(old.Firewall.SIPPorts, ports) {
		return nil
	}
	if t, ok := k.table.(portSetter); ok {
		if err := t.SetSIPPorts(ctx, ports); err != nil {
			return control.Errorf(control.CodeFailed, "the kernel refuses the new sip_ports: %s", err).
				Advise("amifend check says what is missing")
		}
	}
	_, err := ask(ctx, k.judge.asks, askJudge, func() struct{} { k.judge.ineffective.sipPorts = ports; return struct{}{} })
	if err == nil {
		out.Changed = append(out.Changed, "[firewall] sip_ports")
	}
	return err
}

// changePolicy gives the engine new options.
func (k *desk) changePolicy(ctx context.Context, old, next *config.Config, out *control.Reloaded) error {
	if reflect.DeepEqual(old.Policy, next.Policy) {
		return nil
	}
	refused, err := ask(ctx, k.judge.asks, askJudge, func() error { return k.judge.tune(next.Policy) })
	if err != nil {
		return err
	}
	if refused != nil {
		return fmt.Errorf("change the policy: %w", refused)
	}
	out.Changed = append(out.Changed, "[policy]")
	return nil
}

// tune gives the engine new options: the judge's own goroutine alone may call it.
func (j *judge) tune(o policy.Options) error {
	verdicts, err := j.engine.Tune(j.clock.now(), o)
	if err != nil {
		return err
	}
	j.threshold, j.masked.weights, j.tally.weights = o.Threshold, o.Weights, o.Weights
	j.order(verdicts)
	return nil
}

// changeServers has the judge know new servers before their first event comes.
func (k *desk) changeServers(ctx context.Context, plan *fleetPlan, out *control.Reloaded) error {
	names := k.names(plan.servers)
	k.servers = names // also if nobody waits for the answer: what the judge was told must stay the beginning of what it is told next
	if _, err := ask(ctx, k.judge.asks, askJudge, func() struct{} { k.judge.name(names); return struct{}{} }); err != nil {
		return err
	}
	for _, name := range slices.Sorted(maps.Keys(plan.fresh)) {
		s := plan.fresh[name]
		s.translator.server = uint16(slices.Index(names, name))
		out.Changed = append(out.Changed, "server "+name)
	}
	for _, name := range plan.gone {
		out.Changed = append(out.Changed, "server "+name+" (gone)")
	}
	k.fleet.change(plan)
	return nil
}

// changeDeny puts new deny lists into the kernel, less what must never be banned by the new lists.
func (k *desk) changeDeny(ctx context.Context, old, next *config.Config, out *control.Reloaded) {
	if slices.Equal(old.Deny, next.Deny) {
		return
	}
	out.Changed = append(out.Changed, "[deny]")
	_, err := k.watcher.Snapshot(ctx) // so that what is newly allowed is known before what is newly denied
	if err == nil {
		err = k.denier.await(ctx, k.denier.denyLists(next.Deny))
	} else {
		k.denier.denyLists(next.Deny)
	}
	if err != nil {
		out.Warnings = append(out.Warnings, "the new [deny] lists are not in the kernel yet, amifend goes on trying: "+err.Error())
	}
}

// names are the names of all servers that there ever were, in the order of their numbers, and the new ones behind.
func (k *desk) names(servers []config.Server) []string {
	names := slices.Clone(k.servers)
	for _, s := range servers {
		if !slices.Contains(names, s.Name) {
			names = append(names, s.Name)
		}
	}
	return names
}

// name takes over the names of servers, of which there are only ever more.
func (j *judge) name(servers []string) {
	j.servers, j.ineffective.servers, j.masked.servers = servers, servers, servers
	j.tally.servers, j.tally.sums.servers = servers, servers
	j.masked.votes = append(j.masked.votes, make([]vote, len(servers)-len(j.masked.votes))...)
}

// catchHangups catches SIGHUP from now on, which would end the process: it may come while amifend starts, and counts then.
func catchHangups(o Options) (caught <-chan os.Signal, stop func()) {
	if o.Reload == nil {
		return nil, func() {}
	}
	c := make(chan os.Signal, 1)
	signal.Notify(c, syscall.SIGHUP)
	return c, func() { signal.Stop(c) }
}

// hangups reloads at each SIGHUP, until ctx ends.
func (k *desk) hangups(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-k.hangup:
			out, err := k.Reload(ctx, control.Peer{UID: uint32(os.Getuid())})
			if err != nil {
				k.Log.Error("the config was not reloaded: what was goes on", "err", err)
				continue
			}
			k.Log.Info("the config was reloaded", "changed", out.Changed, "restart", out.Restart)
			for _, w := range out.Warnings {
				k.Log.Warn(w)
			}
		}
	}
}
