package daemon

import (
	"time"

	"github.com/amifend/amifend/cmd/amifend/internal/config"
	"github.com/amifend/amifend/cmd/amifend/internal/control"
	"github.com/amifend/amifend/cmd/amifend/internal/judge"
	"github.com/amifend/amifend/cmd/amifend/internal/operate"
	"github.com/amifend/amifend/cmd/amifend/internal/stream"
)

// This file does what a reload does before its first change: all that can fail.

const (
	// readTime limits how long a reload waits for the files of the config. Large deny lists take a
	// second.
	readTime = 10 * time.Second
	// mostHanging limits how many reloads may wait for files for ever.
	mostHanging = 4
)

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
