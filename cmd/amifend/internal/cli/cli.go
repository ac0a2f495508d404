// Package cli implements amifend's command line. The struct [Commands] defines all commands and
// flags. Each command is a thin layer over the package that does the work.
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

	"github.com/alecthomas/kong"
	systemd "github.com/coreos/go-systemd/v22/daemon"
	"golang.org/x/sys/unix"

	"github.com/amifend/amifend/cmd/amifend/internal/config"
	"github.com/amifend/amifend/cmd/amifend/internal/control"
	"github.com/amifend/amifend/cmd/amifend/internal/daemon"
	"github.com/amifend/amifend/cmd/amifend/internal/delivery"
	"github.com/amifend/amifend/cmd/amifend/internal/journal"
	"github.com/amifend/amifend/cmd/amifend/internal/journald"
	"github.com/amifend/amifend/cmd/amifend/internal/screen"
	"github.com/amifend/amifend/firewall"
)

// Commands defines amifend's commands, for kong.
type Commands struct {
	Color screen.When `enum:"auto,always,never" default:"auto" placeholder:"WHEN" help:"${colorHelp}"`

	Status  Status  `cmd:"" group:"look" help:"Show status: servers, firewall, and what needs attention."`
	Bans    Bans    `cmd:"" group:"look" help:"List the bans."`
	Explain Explain `cmd:"" group:"look" help:"Explain why an address is banned, or what would ban it."`
	Report  Report  `cmd:"" group:"look" help:"${reportHelp}"`
	Top     Top     `cmd:"" group:"look" help:"Show live what happens, or who fails most."`
	Alerts  Alerts  `cmd:"" group:"look" help:"List alerts: suspicious events that do not lead to a ban."`
	Events  Events  `cmd:"" group:"look" help:"Follow the security events."`
	Limited Limited `cmd:"" group:"look" help:"List the strangers that the limiter limits, or would limit."`

	Ban   Ban   `cmd:"" group:"act" help:"Ban addresses."`
	Unban Unban `cmd:"" group:"act" help:"Lift bans."`
	Allow Allow `cmd:"" group:"act" help:"Exempt addresses from bans, or list those that are."`
	Deny  Deny  `cmd:"" group:"act" help:"Drop prefixes of any length, or list those that are."`
	Undo  Undo  `cmd:"" group:"act" help:"Undo your last ban, unban, allow or deny."`

	Init    Init    `cmd:"" group:"setup" help:"Set amifend up on this machine, or take that back."`
	Run     Run     `cmd:"" group:"setup" help:"Run the daemon."`
	Check   Check   `cmd:"" group:"setup" help:"Check the config, every PBX and the firewall."`
	Audit   Audit   `cmd:"" group:"setup" help:"Show what an attacker would find at the PBXs."`
	Notify  Notify  `cmd:"" group:"setup" help:"List the targets of notifications, or test them."`
	Feed    Feed    `cmd:"" group:"setup" help:"List the feeds of public lists, or accept a list."`
	Reload  Reload  `cmd:"" group:"setup" help:"Make the daemon read its config again."`
	Enforce Enforce `cmd:"" group:"setup" help:"End observing: ban from now on, on trial at first."`
	Keep    Keep    `cmd:"" group:"setup" help:"Keep the bans of a trial, and end it."`
	Import  Import  `cmd:"" group:"setup" help:"Import the bans of another tool."`

	Reconcile Reconcile `cmd:"" group:"care" help:"Compare the kernel with the journal, and repair it."`
	Backup    Backup    `cmd:"" group:"care" help:"Copy the journal to a file, also while the daemon runs."`
	Restore   Restore   `cmd:"" group:"care" help:"Put a backup in the place of the journal."`
	Flush     Flush     `cmd:"" group:"care" help:"Remove every ban from the kernel, without the daemon."`
	Diagnose  Diagnose  `cmd:"" group:"care" help:"Write a support bundle without secrets."`
	Export    Export    `cmd:"" group:"care" help:"Export all bans for another machine."`

	Demo   Demo   `cmd:"" group:"try" help:"Show amifend at work on two simulated PBXs."`
	Replay Replay `cmd:"" group:"try" help:"${replayHelp}"`

	Completion Completion `cmd:"" group:"more" help:"Print the completion for a shell."`
	Man        Man        `cmd:"" group:"more" help:"Write the man pages."`
	Words      Words      `cmd:"" hidden:"" help:"List words for the completion of a shell."`
	Version    Show       `cmd:"" group:"more" help:"Print the version."`
}

// Groups returns the groups of the commands, in the order of the help.
func Groups() []kong.Group {
	return []kong.Group{
		{Key: "look", Title: "Look:"},
		{Key: "act", Title: "Act:"},
		{Key: "setup", Title: "Set up and run:"},
		{Key: "care", Title: "Maintain:"},
		{Key: "try", Title: "Try without a PBX:"},
		{Key: "more", Title: "More:"},
	}
}

// Screen returns the screen of standard output.
func (c *Commands) Screen() screen.Screen { return screen.Of(os.Stdout, c.Color, os.Getenv) }

// IsUsage reports whether err comes from a mistake in the command line or in the config.
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

// load reads the config. A file that cannot be read gives the same type of error as one that is not
// valid, because the user corrects both in the same place. right is the advice if the user lacks
// the right to read it.
func (f configFlag) load(right string) (*config.Config, error) {
	c, err := config.Load(f.Config)
	if err == nil || IsUsage(err) {
		return c, err
	}
	return nil, unreadable(f.Config, err, right)
}

// unreadable returns the error for a config that cannot be read. right is the advice if the user
// lacks the right to read it.
func unreadable(path string, err error, right string) error {
	// The operation and the path are in the error already.
	text := err.Error()
	if cause, ok := errors.AsType[*fs.PathError](err); ok {
		text = "cannot be read: " + cause.Err.Error()
	}
	if errors.Is(err, fs.ErrPermission) {
		text += "; " + right
	}

	// Without any config, the user has just installed amifend.
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
	return `With --trial a mistake in a new config does not last. All bans that are made in the
trial, those of operators too, end with it, even if amifend crashes. After the trial amifend bans
nobody, and logs the bans that it would make. To end the trial and give its bans their whole time,
run amifend keep, during the trial or later. Bans that are older than the trial stay. The [deny]
lists, which have no end, wait for amifend keep. Each start with --trial begins a new trial.

    amifend run --trial 10m --config /etc/amifend/config.toml`
}

// Run runs the daemon until ctx ends.
func (r *Run) Run(ctx context.Context, v Version) error {
	c, err := r.load(serviceReads(r.Config))
	if err != nil {
		return err
	}

	// Without bans, the user would wait in vain for the trial to show anything.
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
	err = daemon.Run(ctx, daemon.Options{
		Trial: time.Duration(r.Trial), Config: c, Version: string(v), Log: newLog(c.Log),
		Reload: r.reload, Reloading: reloading,
		Ready:    func() { notify(systemd.SdNotifyReady) },
		Stopping: func() { notify(systemd.SdNotifyStopping) },
		Status:   func(line string) { notify("STATUS=" + line) },
		Watchdog: watchdog, Confine: true,
		Alive: func() { notify(systemd.SdNotifyWatchdog) },
	})

	// The user has started the service already, or has two configs with one directory or one table.
	if errors.Is(err, journal.ErrLocked) || errors.Is(err, firewall.ErrLocked) {
		return control.Errorf(control.CodeFailed, "%s", err).
			Advise("amifend status shows the one that runs, systemctl stop amifend ends it; a second " +
				"one on this machine needs a [state] directory and a [firewall] table of its own")
	}
	return err
}

// serviceReads returns the advice for a config that the user of the service cannot read.
func serviceReads(path string) string {
	return "the group of the service must be able to read it: chown root:amifend " + path +
		"; chmod 640 " + path
}

// notifyTime is the longest time that a report to systemd may take.
const notifyTime = time.Second

// notify reports a state to systemd, if systemd started the daemon (sd_notify(3)). If systemd does
// not read, the daemon must go on, so a report that takes too long is dropped. SdNotify of the
// library would wait.
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

// reloading reports to systemd that the config is read again. A unit with Type=notify-reload also
// needs the time of the reload.
func reloading() {
	var now unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &now); err != nil {
		return // not reached: every Linux has this clock
	}
	notify(fmt.Sprintf("%s\nMONOTONIC_USEC=%d", systemd.SdNotifyReloading, now.Nano()/1000))
}

// newLog returns a log to standard error. With the format "auto" it writes text to a terminal,
// lines with fields to journald, and JSON otherwise.
func newLog(c config.Log) *slog.Logger {
	// journald stores the fields of such lines, and the priority.
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
