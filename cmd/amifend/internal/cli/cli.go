// Package cli is amifend's command line. One struct defines all commands and flags, and each
// command is a thin layer over the package that does the work.
package cli

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"time"

	systemd "github.com/coreos/go-systemd/v22/daemon"
	"golang.org/x/sys/unix"

	"github.com/amifend/amifend/cmd/amifend/internal/config"
	"github.com/amifend/amifend/cmd/amifend/internal/control"
	"github.com/amifend/amifend/cmd/amifend/internal/daemon"
	"github.com/amifend/amifend/cmd/amifend/internal/delivery"
	"github.com/amifend/amifend/cmd/amifend/internal/journald"
)

// Commands are amifend's commands.
type Commands struct {
	Init       Init       `cmd:"" help:"Set amifend up on this machine, or take that back."`
	Run        Run        `cmd:"" help:"Run the daemon."`
	Check      Check      `cmd:"" help:"Check the config, every PBX and the firewall."`
	Status     Status     `cmd:"" help:"Show status: servers, firewall, and what needs attention."`
	Bans       Bans       `cmd:"" help:"List the bans."`
	Ban        Ban        `cmd:"" help:"Ban addresses."`
	Unban      Unban      `cmd:"" help:"Lift bans."`
	Explain    Explain    `cmd:"" help:"Explain why an address is banned, or what would ban it."`
	Report     Report     `cmd:"" help:"${reportHelp}"`
	Top        Top        `cmd:"" help:"Show who fails most: sources, accounts or servers."`
	Alerts     Alerts     `cmd:"" help:"List alerts: suspicious events that do not lead to a ban."`
	Notify     Notify     `cmd:"" help:"List the targets of notifications, or test them."`
	Allow      Allow      `cmd:"" help:"Exempt addresses from bans, or list those that are."`
	Import     Import     `cmd:"" help:"Import the bans of another tool."`
	Export     Export     `cmd:"" help:"Export all bans for another machine."`
	Enforce    Enforce    `cmd:"" help:"End observing: ban from now on, on trial at first."`
	Keep       Keep       `cmd:"" help:"Keep the bans of a trial, and end it."`
	Reconcile  Reconcile  `cmd:"" help:"Compare the kernel with the journal, and repair it."`
	Backup     Backup     `cmd:"" help:"Copy the journal to a file, also while the daemon runs."`
	Restore    Restore    `cmd:"" help:"Put a backup in the place of the journal."`
	Reload     Reload     `cmd:"" help:"Make the daemon read its config again."`
	Flush      Flush      `cmd:"" help:"Remove every ban from the kernel, without the daemon."`
	Events     Events     `cmd:"" help:"Follow the security events."`
	Demo       Demo       `cmd:"" help:"Show amifend at work on two simulated PBXs."`
	Replay     Replay     `cmd:"" help:"${replayHelp}"`
	Completion Completion `cmd:"" help:"Print the completion for a shell."`
	Man        Man        `cmd:"" help:"Write the man pages."`
	Version    Show       `cmd:"" help:"Print the version."`
}

// ErrTold is returned by a command that failed and has already said why.
var ErrTold = errors.New("failed")

// IsUsage reports whether err is a mistake in the command line or in the config.
func IsUsage(err error) bool {
	var bad *config.Error
	var wrong usageError
	code := control.CodeOf(err)
	return errors.As(err, &bad) || errors.As(err, &wrong) || code == control.CodeBadRequest ||
		code == control.CodeInvalidConfig
}

// configFlag is the flag of the commands that read the config.
type configFlag struct {
	Config string `default:"/etc/amifend/config.toml" placeholder:"FILE" type:"path" help:"${configHelp}"`
}

// load reads the config. A file that cannot be read is reported like one that is not valid, since
// the user corrects both in the same place. right is the advice for lack of the right to read it.
func (f configFlag) load(right string) (*config.Config, error) {
	c, err := config.Load(f.Config)
	if err == nil || IsUsage(err) {
		return c, err
	}
	return nil, unreadable(f.Config, err, right)
}

// unreadable returns the error of a config that cannot be read. right is the advice for lack of the
// right to read it.
func unreadable(path string, err error, right string) error {
	text := err.Error()
	if cause, ok := errors.AsType[*fs.PathError](err); ok {
		text = "cannot be read: " + cause.Err.Error()
	}
	if errors.Is(err, fs.ErrPermission) {
		text += "; " + right
	}

	if errors.Is(err, fs.ErrNotExist) && path == defaultConfig {
		text += "; sudo amifend init makes one, or name yours with --config"
	}

	return &config.Error{File: path, Problems: []config.Problem{{Text: text}}}
}

// Run is `amifend run`.
type Run struct {
	configFlag
	Trial span `placeholder:"TIME" help:"${runTrialHelp}"`
}

// Help returns the detailed help.
func (*Run) Help() string {
	return `With --trial a mistake in a new config does not last. All bans that are made in the trial,
those of operators too, end with it whatever happens to amifend. After that it bans nobody, and logs the
bans that it would make. Run amifend keep, during the trial or later, to give the bans their whole time and to
end the trial. Bans that are older than the trial stay. The [deny] lists, which have no end, wait
for amifend keep. Each start with --trial begins a new trial.

    amifend run --trial 10m --config /etc/amifend/config.toml`
}

// Run runs the daemon until it is stopped.
func (r *Run) Run(ctx context.Context, v Version) error {
	c, err := r.load(serviceReads(r.Config))
	if err != nil {
		return err
	}

	if r.Trial > 0 && c.Dry() {
		return usageError("--trial: this config bans nobody ([policy] observe = true, or " +
			"[firewall] backend = \"log\"), so there is nothing to try")
	}

	watchdog, err := systemd.SdWatchdogEnabled(false)
	if err != nil {
		return fmt.Errorf("read the watchdog's time from the environment: %w", err)
	}

	// What is sent to targets of [[notify]] goes by this transport. See package delivery.
	delivery.Confine()
	return daemon.Run(ctx, daemon.Options{
		Trial: time.Duration(r.Trial), Config: c, Version: string(v), Log: newLog(c.Log),
		Reload: r.reload, Reloading: reloading,
		Ready:    func() { notify(systemd.SdNotifyReady) },
		Stopping: func() { notify(systemd.SdNotifyStopping) },
		Status:   func(line string) { notify("STATUS=" + line) },
		Watchdog: watchdog,
		Alive:    func() { notify(systemd.SdNotifyWatchdog) },
	})
}

// serviceReads is the advice for a config that the user of the service cannot read.
func serviceReads(path string) string {
	return "the group of the service must be able to read it: chown root:amifend " + path +
		"; chmod 640 " + path
}

// notifyTime limits how long a report to systemd may take.
const notifyTime = time.Second

// notify reports a state to systemd, if that started the daemon (sd_notify(3)). A systemd that does
// not read must not stop the daemon, so a report that takes too long is left out. The library's
// SdNotify would wait.
func notify(state string) {
	socket := os.Getenv("NOTIFY_SOCKET")
	if socket == "" {
		return
	}

	conn, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: socket, Net: "unixgram"})
	if err != nil {
		return // nobody listens
	}
	defer conn.Close()
	_ = conn.SetWriteDeadline(time.Now().Add(notifyTime))
	_, _ = conn.Write([]byte(state))
}

// reloading reports to systemd that the config is read again. Units with Type=notify-reload need
// the time.
func reloading() {
	var now unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &now); err != nil {
		return // not reached: every Linux has this clock
	}
	notify(fmt.Sprintf("%s\nMONOTONIC_USEC=%d", systemd.SdNotifyReloading, now.Nano()/1000))
}

// newLog returns a log to standard error: text on a terminal, lines with fields if journald reads
// it, otherwise JSON.
func newLog(c config.Log) *slog.Logger {
	if c.Format == "auto" && journald.Connected() {
		return slog.New(journald.New(c.Level))
	}

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
