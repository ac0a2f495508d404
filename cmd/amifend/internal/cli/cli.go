// Package cli is amifend's command line: one struct defines every command and flag, and each
// command is a thin layer over the package that does the work.
package cli

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"
	"golang.org/x/sys/unix"

	"github.com/amifend/amifend/cmd/amifend/internal/app"
	"github.com/amifend/amifend/cmd/amifend/internal/config"
	"github.com/amifend/amifend/cmd/amifend/internal/control"
)

// Commands are amifend's commands.
type Commands struct {
	Run        Run        `cmd:"" help:"Run the daemon: listen, judge, ban."`
	Check      Check      `cmd:"" help:"Check the config, every PBX, the firewall and who is never banned."`
	Status     Status     `cmd:"" help:"Tell how the daemon is: servers, firewall, and what needs a look."`
	Bans       Bans       `cmd:"" help:"List who is banned now."`
	Ban        Ban        `cmd:"" help:"Ban an address."`
	Unban      Unban      `cmd:"" help:"Lift bans."`
	Explain    Explain    `cmd:"" help:"Tell why an address is banned, or how far it is from that."`
	Report     Report     `cmd:"" help:"Tell what happened: bans, alerts, and who failed how often; also of log files."`
	Top        Top        `cmd:"" help:"Tell who fails most: sources, accounts or servers."`
	Alerts     Alerts     `cmd:"" help:"List what bans nobody, and you should know."`
	Allow      Allow      `cmd:"" help:"Have an address never banned, or list who is not."`
	Import     Import     `cmd:"" help:"Take over the bans of another tool."`
	Export     Export     `cmd:"" help:"Write all bans for another machine."`
	Keep       Keep       `cmd:"" help:"Keep the bans of amifend run --trial, and go on as usual."`
	Reconcile  Reconcile  `cmd:"" help:"Compare the kernel with the journal now, and repair what differs."`
	Reload     Reload     `cmd:"" help:"Have the daemon read its config again."`
	Flush      Flush      `cmd:"" help:"Take every ban out of the kernel, without the daemon."`
	Events     Events     `cmd:"" help:"Follow the security events as they are decoded."`
	Demo       Demo       `cmd:"" help:"Show amifend at work on two played PBXs. Touches nothing on this machine."`
	Replay     Replay     `cmd:"" help:"Judge captures and log files as the daemon would have, and tell whom it would have banned."`
	Completion Completion `cmd:"" help:"Print the completion of a shell."`
	Man        Man        `cmd:"" help:"Write the man pages."`
	Version    Show       `cmd:"" help:"Print the version."`
}

// Version is the program's version.
type Version string

// ErrTold is returned by a command that failed and has already said why.
var ErrTold = errors.New("failed")

// IsUsage tells whether err is the user's to mend in the command line or in the config.
func IsUsage(err error) bool {
	var bad *config.Error
	var wrong usageError
	code := control.CodeOf(err)
	return errors.As(err, &bad) || errors.As(err, &wrong) || code == control.CodeBadRequest ||
		code == control.CodeInvalidConfig
}

// configFlag is the flag that every command with a config has.
type configFlag struct {
	Config string `default:"/etc/amifend/config.toml" placeholder:"FILE" type:"path" help:"The config file (${default})."`
}

// load reads the config. A file that cannot be read is one that is not valid: the user mends both
// in the same place.
func (f configFlag) load() (*config.Config, error) {
	c, err := config.Load(f.Config)
	if err == nil || IsUsage(err) {
		return c, err
	}
	return nil, unreadable(f.Config, err,
		"it must belong to who runs amifend, under systemd: chown amifend: "+f.Config)
}

// unreadable makes a usage error of one for which a config cannot be read, with what to do for want
// of the right.
func unreadable(path string, err error, right string) error {
	text := err.Error()
	var cause *fs.PathError
	if errors.As(err, &cause) {
		text = "cannot be read: " + cause.Err.Error()
	}
	if errors.Is(err, fs.ErrPermission) {
		text += "; " + right
	}

	if errors.Is(err, fs.ErrNotExist) && path == defaultConfig {
		text += "; begin with examples/quickstart/config.toml (README.md, Install it), or name " +
			"yours with --config"
	}

	return &config.Error{File: path, Problems: []config.Problem{{Text: text}}}
}

// Run is `amifend run`.
type Run struct {
	configFlag
	Trial span `placeholder:"TIME" help:"Let the bans that are made end after a time, such as 10m, unless amifend keep is said till then."`
}

// Help is the detailed help.
func (*Run) Help() string {
	return `With --trial nothing that is wrong in a new config lasts. The bans that are made in that time, also those of operators, end with it,
whatever happens to amifend; from then on it only watches, and logs whom it would ban. amifend keep, said in the trial or
after it, gives the bans their whole time and has amifend go on as without --trial. Bans that are older than the trial are
not touched. The [deny] lists, which have no end, wait for amifend keep. Each start with --trial begins a new one.

    amifend run --trial 10m --config /etc/amifend/config.toml`
}

// Run runs the daemon until it is told to stop.
func (r *Run) Run(ctx context.Context, v Version) error {
	c, err := r.load()
	if err != nil {
		return err
	}

	if r.Trial > 0 && c.Dry() {
		return usageError("--trial: this config bans nobody ([policy] observe = true, or " +
			"[firewall] backend = \"log\"), so there is nothing to try")
	}

	return app.Run(ctx, app.Options{
		Trial: time.Duration(r.Trial), Config: c, Version: string(v), Log: newLog(c.Log),
		Reload: r.reload,
		Ready: func() {
			notify(daemon.SdNotifyReady)
		}, Reloading: reloading, Stopping: func() { notify(daemon.SdNotifyStopping) },
	})
}

// notify tells systemd, when that is who started us, how the daemon is (sd_notify(3)).
func notify(state string) {
	_, _ = daemon.SdNotify(false, state) // without systemd there is nobody to tell
}

// reloading tells that the config is read again. Since when, units with Type=notify-reload want to
// know.
func reloading() {
	var now unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &now); err != nil {
		return // cannot be: every Linux has it
	}
	notify(fmt.Sprintf("%s\nMONOTONIC_USEC=%d", daemon.SdNotifyReloading, now.Nano()/1000))
}

// newLog logs to standard error: text for a person at a terminal, JSON for a journal.
func newLog(c config.Log) *slog.Logger {
	options := &slog.HandlerOptions{Level: c.Level}
	text := c.Format == "text"
	if c.Format == "auto" {
		st, err := os.Stderr.Stat()
		text = err == nil && st.Mode()&os.ModeCharDevice != 0
	}

	if text {
		return slog.New(slog.NewTextHandler(os.Stderr, options))
	}
	return slog.New(slog.NewJSONHandler(os.Stderr, options))
}

// Show is `amifend version`.
type Show struct{}

// Run prints the version.
func (Show) Run(v Version) error {
	_, err := fmt.Println("amifend " + string(v))
	return err
}
