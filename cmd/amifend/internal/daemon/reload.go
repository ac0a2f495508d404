package daemon

import (
	"context"
	"fmt"
	"os"
	"reflect"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/amifend/amifend/cmd/amifend/internal/allowlist"
	"github.com/amifend/amifend/cmd/amifend/internal/config"
	"github.com/amifend/amifend/cmd/amifend/internal/control"
	"github.com/amifend/amifend/cmd/amifend/internal/denials"
	"github.com/amifend/amifend/cmd/amifend/internal/enforce"
	"github.com/amifend/amifend/cmd/amifend/internal/feed"
	"github.com/amifend/amifend/cmd/amifend/internal/judge"
	"github.com/amifend/amifend/cmd/amifend/internal/metrics"
	"github.com/amifend/amifend/cmd/amifend/internal/operate"
	"github.com/amifend/amifend/cmd/amifend/internal/protect"
	"github.com/amifend/amifend/cmd/amifend/internal/stream"
)

// reloader puts a new config in force while the daemon runs.
type reloader struct {
	*shared
	fleet     *stream.Fleet
	judge     *judge.Judge
	enforcer  *enforce.Enforcer
	denier    *enforce.Denier
	denials   *denials.Keeper
	feeder    *enforce.Feeder
	keeper    *feed.Keeper
	watcher   *protect.Watcher
	allowlist *allowlist.Keeper
	metrics   *metrics.Server

	mu      sync.Mutex // one reload at a time
	servers []string   // names of all servers since the start, by number

	restart atomic.Pointer[[]string] // keys of the file that wait for a restart; nil: none
	hanging atomic.Int32             // goroutines that read the config
}

// command returns the reload that operators may ask for; nil if the config cannot be read again.
func (r *reloader) command() func(context.Context, control.Peer) (control.Reloaded, error) {
	if r.options.Reload == nil {
		return nil
	}
	return r.Reload
}

// serveHangups reloads at each SIGHUP, until ctx ends.
func (r *reloader) serveHangups(ctx context.Context, hangup <-chan os.Signal) {
	log := r.options.Log
	for {
		select {
		case <-ctx.Done():
			return
		case <-hangup:
		}

		out, err := r.Reload(ctx, control.Peer{UID: uint32(os.Getuid())})
		if err != nil {
			log.Error("the config was not reloaded: what was goes on", "err", err)
			continue
		}

		log.Info("the config was reloaded", "changed", out.Changed, "restart", out.Restart)
		for _, w := range out.Warnings {
			log.Warn(w)
		}
	}
}

// Reload reads the config again. All that can fail is done before the first change, so a file that
// is not valid, or names what cannot be read, changes nothing. No score, no ban and no connection
// to an unchanged server is lost.
func (r *reloader) Reload(
	ctx context.Context, by control.Peer,
) (out control.Reloaded, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()

	// systemd learns that the reload may take a while, and when it is over, even if it failed.
	r.options.Reloading()
	defer func() {
		r.options.Status(statusText(r.restartNeeded(), err))
		r.options.Ready()
	}()

	if r.turned() {
		return control.Reloaded{}, errTurning()
	}

	old := r.live.Load()
	next, plan, err := r.prepare(old)
	if err != nil {
		return control.Reloaded{}, err
	}

	// From here on only the kernel, or a judge that hangs, can make it fail. Half a config must not
	// stay in force because the one who asked has gone.
	ctx, cancel := operate.Outlasting(ctx)
	defer cancel()

	out = control.Reloaded{
		Changed: []string{}, Warnings: next.Warnings, Restart: needRestart(old, next),
	}
	r.restart.Store(&out.Restart)
	merged := keepFixed(old, next)

	// The kernel may refuse the ports, so they come first: then nothing else has changed.
	if err := r.changePorts(ctx, old, merged, &out); err != nil {
		return control.Reloaded{}, err
	}
	if err := r.changePolicy(ctx, old, merged, &out); err != nil {
		return control.Reloaded{}, err
	}
	if err := r.changeServers(ctx, plan, withNew(r.servers, next.Servers), &out); err != nil {
		return control.Reloaded{}, err
	}

	// This run goes on as it is until changeObserve ends it.
	observe := merged.Observe
	merged.Observe = old.Observe

	// Relist reads the new allowlist from the config in force. The deny lists spare what it allows.
	r.live.Store(merged)
	r.changeAllow(ctx, old, merged, &out)
	r.changeDeny(ctx, old, merged, &out)
	r.changeMetrics(old, merged, &out)
	r.changeNotify(old, merged, &out)
	r.changeGeo(old, merged, &out)
	r.changeReport(old, merged, &out)
	r.changeFeeds(old, merged, &out)
	r.changeLimiter(old, merged, &out)

	r.tellRestart(out.Restart)
	operate.Record(r.journal, by, "reload", strings.Join(out.Changed, ", "), "")
	r.changeObserve(merged, observe, by, &out)
	return out, nil
}

// changeObserve begins to ban, or to observe. It comes last, since it ends this run. The turn has a
// record of its own in the journal.
func (r *reloader) changeObserve(
	old *config.Config, observe bool, by control.Peer, out *control.Reloaded,
) {
	if old.Observe == observe {
		return
	}
	out.Changed = append(out.Changed, "[policy] observe")

	next := *old
	next.Observe = observe
	r.turn(turn{config: &next, by: by, what: fmt.Sprintf("observe = %t", observe)})
}

// changePorts puts new ports into the kernel, then into the judge.
func (r *reloader) changePorts(
	ctx context.Context, old, next *config.Config, out *control.Reloaded,
) error {
	var changed []string
	if !slices.Equal(old.Firewall.SIPPorts, next.Firewall.SIPPorts) {
		changed = append(changed, "[firewall] sip_ports")
	}
	if !slices.Equal(old.Firewall.WSPorts, next.Firewall.WSPorts) {
		changed = append(changed, "[firewall] ws_ports")
	}
	if changed == nil {
		return nil
	}

	// The kernel comes first: the judge must not expect that a port is covered before it is.
	refused, err := r.enforcer.SetPorts(ctx, next.Firewall.Ports())
	if err != nil {
		return operate.Refusal(err)
	}
	if refused != nil {
		return control.Errorf(control.CodeFailed,
			"the kernel refuses the new %s: %s", strings.Join(changed, " and "), refused).
			Advise("amifend check says what is missing")
	}

	if err := r.judge.SetPorts(ctx, next.Firewall.Ports()); err != nil {
		return operate.Refusal(err)
	}
	out.Changed = append(out.Changed, changed...)
	return nil
}

// changePolicy gives the engine new options.
func (r *reloader) changePolicy(
	ctx context.Context, old, next *config.Config, out *control.Reloaded,
) error {
	if reflect.DeepEqual(old.Policy, next.Policy) {
		return nil
	}

	refused, err := r.judge.Tune(ctx, next.Policy)
	if err != nil {
		return operate.Refusal(err)
	}
	if refused != nil {
		return fmt.Errorf("change the policy: %w", refused)
	}
	out.Changed = append(out.Changed, "[policy]")
	return nil
}

// changeServers has the judge know new servers before their first event comes, then changes the
// sessions.
func (r *reloader) changeServers(
	ctx context.Context, plan *stream.Plan, names []string, out *control.Reloaded,
) error {
	// The judge may get these names although nobody waits for its answer in the end. So the next
	// reload must begin with them.
	r.servers = names
	if err := r.judge.SetServers(ctx, names); err != nil {
		return operate.Refusal(err)
	}

	for _, name := range plan.Changed() {
		out.Changed = append(out.Changed, "server "+name)
	}
	for _, name := range plan.Gone() {
		out.Changed = append(out.Changed, "server "+name+" (gone)")
	}

	r.fleet.Change(plan)
	return nil
}

// withNew returns the names of all servers that there ever were, in the order of their numbers, and
// the new ones behind.
func withNew(known []string, servers []config.Server) []string {
	names := slices.Clone(known)
	for _, s := range servers {
		if !slices.Contains(names, s.Name) {
			names = append(names, s.Name)
		}
	}
	return names
}

// changeAllow puts the allowlist of the config in force, also one that did not change: the names in it
// may have other addresses.
func (r *reloader) changeAllow(
	ctx context.Context, old, next *config.Config, out *control.Reloaded,
) {
	if !slices.Equal(old.Allow, next.Allow) {
		out.Changed = append(out.Changed, "[allow] prefixes")
	}
	if !slices.Equal(old.Names, next.Names) {
		out.Changed = append(out.Changed, "[allow] names")
	}

	r.allowlist.Relist()
	note, refused := operate.PutInForce(ctx, r.watcher, r.judge, r.enforcer)
	if refused != nil {
		note = refused.Error()
	}
	if note != "" {
		out.Warnings = append(out.Warnings, "[allow]: "+note)
	}
}

// changeDeny puts new deny lists into the kernel, less what must never be banned by the new config.
func (r *reloader) changeDeny(
	ctx context.Context, old, next *config.Config, out *control.Reloaded,
) {
	if slices.Equal(old.Deny, next.Deny) {
		return
	}
	out.Changed = append(out.Changed, "[deny]")

	// What is newly allowed must be known before what is newly denied.
	_, err := r.watcher.Snapshot(ctx)
	if err == nil {
		err = r.watcher.Refresh()
	}
	if refused := r.denier.SetLists(ctx, next.Deny); err == nil {
		err = refused
	}
	if err != nil {
		out.Warnings = append(out.Warnings,
			"the new [deny] lists are not in the kernel yet, amifend goes on trying: "+err.Error())
	}
}

// changeMetrics gives the page of the metrics another place or password.
func (r *reloader) changeMetrics(old, next *config.Config, out *control.Reloaded) {
	if old.Metrics.Equal(next.Metrics) {
		return
	}
	r.metrics.Change(next.Metrics)
	out.Changed = append(out.Changed, "[metrics]")
}

// changeNotify gives the notifier new targets. It does not wait.
func (r *reloader) changeNotify(old, next *config.Config, out *control.Reloaded) {
	if reflect.DeepEqual(old.Notify, next.Notify) {
		return
	}
	r.notifier.SetTargets(next.Notify)
	out.Changed = append(out.Changed, "[[notify]]")
}

// changeGeo gives the names of addresses new files. It does not wait for them to be read.
func (r *reloader) changeGeo(old, next *config.Config, out *control.Reloaded) {
	if old.Geo.Equal(next.Geo) {
		return
	}
	r.atlas.Set(next.Geo)
	if !slices.Equal(old.Geo.Expected, next.Geo.Expected) {
		r.logins.Expect(next.Geo.Expected)
	}
	out.Changed = append(out.Changed, "[geo]")
}

// changeReport changes when the weekly report is sent. It does not wait.
func (r *reloader) changeReport(old, next *config.Config, out *control.Reloaded) {
	if old.Report == next.Report {
		return
	}
	r.notifier.SetWeekly(next.Report.Weekly)
	out.Changed = append(out.Changed, "[report]")
}

// changeFeeds gives the keeper of the feeds new ones. It does not wait.
func (r *reloader) changeFeeds(old, next *config.Config, out *control.Reloaded) {
	if reflect.DeepEqual(old.Feeds, next.Feeds) {
		return
	}
	r.keeper.SetFeeds(next.Feeds)
	out.Changed = append(out.Changed, "[[feed]]")
}

// changeLimiter has the limiter drop, or only count. It does not wait.
func (r *reloader) changeLimiter(old, next *config.Config, out *control.Reloaded) {
	if old.Limiter == next.Limiter {
		return
	}
	r.limiter.SetDrop(next.Limiter.Mode == config.LimiterOn)
	out.Changed = append(out.Changed, "[limiter] mode")
}
