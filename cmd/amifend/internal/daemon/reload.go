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
	"time"

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

const (
	// readTime limits how long a reload waits for the files of the config. Large deny lists take a
	// second.
	readTime = 10 * time.Second
	// mostHanging limits how many reloads may wait for files for ever.
	mostHanging = 4
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

	if !slices.Equal(old.Allow, merged.Allow) {
		out.Changed = append(out.Changed, "[allow] prefixes")
	}
	if !slices.Equal(old.Names, merged.Names) {
		out.Changed = append(out.Changed, "[allow] names")
	}

	// This run goes on as it is until changeObserve ends it.
	observe := merged.Observe
	merged.Observe = old.Observe

	// Relist reads the new allowlist from the config in force. The deny lists spare what it allows.
	r.live.Store(merged)
	r.allowlist.Relist()
	note, refused := operate.PutInForce(ctx, r.watcher, r.judge, r.enforcer)
	if refused != nil {
		note = refused.Error()
	}
	if note != "" {
		out.Warnings = append(out.Warnings, "[allow]: "+note)
	}
	r.changeDeny(ctx, old, merged, &out)
	if !old.Metrics.Equal(merged.Metrics) {
		r.metrics.Change(merged.Metrics)
		out.Changed = append(out.Changed, "[metrics]")
	}
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

// prepare reads the config and does all that can fail. It changes nothing.
func (r *reloader) prepare(old *config.Config) (*config.Config, *stream.Plan, error) {
	next, plan, err := r.readInTime()
	if err != nil {
		return nil, nil, err
	}

	// A trial decides until it is kept or over, whatever the file says meanwhile.
	if r.onTrial() && !next.Observe {
		next.Warnings = append(next.Warnings, "the trial goes on, although the config does not say "+
			"observe = true any more: amifend keep ends it")
	}
	if r.onTrial() {
		next.Observe = old.Observe
	}
	if next.Observe && next.Unkept != nil {
		next.Warnings = append(next.Warnings, unkeptText)
	}

	// Whoever reloads by SSH must not be locked out by a list.
	bans := !next.Observe && old.Firewall.Backend != config.BackendLog
	if what, do := operate.CutOff(next, r.denials.List(), r.watcher.Current(), r.admins); what != "" && bans {
		return nil, nil, control.Errorf(control.CodeInvalidConfig, "nothing was changed: %s", what).
			Advise("%s", do)
	}
	if bans && old.Observe {
		if err := canBan(r.options, old); err != nil {
			return nil, nil, err
		}
	}

	return next, plan, nil
}

// readInTime is read with a limit: a file system that hangs must not make this reload and all later
// ones wait. The goroutine that reads is then left behind, and ends when the file system answers.
func (r *reloader) readInTime() (*config.Config, *stream.Plan, error) {
	if r.hanging.Load() >= mostHanging {
		return nil, nil, control.Errorf(control.CodeFailed,
			"nothing was changed: %d earlier reloads still wait for the files of the config",
			mostHanging).Advise("repair the file system that holds them, then restart amifend")
	}

	type answer struct {
		config *config.Config
		plan   *stream.Plan
		err    error
	}
	done := make(chan answer, 1)
	known := r.servers
	r.hanging.Add(1)
	go func() {
		defer r.hanging.Add(-1)
		c, plan, err := r.read(known)
		done <- answer{c, plan, err}
	}()

	select {
	case a := <-done:
		return a.config, a.plan, a.err
	case <-time.After(readTime):
		return nil, nil, control.Errorf(control.CodeFailed,
			"nothing was changed: the config and the files that it names could not be read within %s",
			readTime).Advise("see whether their file systems answer; then run amifend reload again")
	}
}

// read reads the config and all files that it names, and prepares the sessions. known has the names
// of all servers since the start.
func (r *reloader) read(known []string) (*config.Config, *stream.Plan, error) {
	next, err := r.options.Reload()
	if err != nil {
		return nil, nil, control.Errorf(control.CodeInvalidConfig,
			"the config is not valid, and nothing was changed:\n%s", err)
	}

	// Numbers of servers that are gone are not used again: the engine still knows them.
	names := withNew(known, next.Servers)
	if len(names) > judge.MostServers {
		return nil, nil, control.Errorf(control.CodeFailed,
			"nothing was changed: there were too many servers since the start").
			Advise("systemctl restart amifend")
	}

	plan, err := r.fleet.Plan(next.Servers, names)
	if err != nil {
		return nil, nil, control.Errorf(control.CodeInvalidConfig, "nothing was changed: %s", err)
	}
	return next, plan, nil
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
