package cli

import (
	"context"
	"crypto/sha256"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/amifend/amifend/cmd/amifend/internal/control"
	"github.com/amifend/amifend/cmd/amifend/internal/screen"
	"github.com/amifend/amifend/cmd/amifend/internal/setup"
)

// putBackAfter is the time from the end of a trial until its line of the config is put back. The
// trial begins a moment later than the command, and nothing depends on the order: the daemon
// observes again by itself.
const putBackAfter = 3 * time.Second

// putBackLook is the time between two looks for whether a trial was kept.
const putBackLook = 200 * time.Millisecond

// putBackUnit returns the name of the units of systemd that end a trial with a config.
func putBackUnit(config string) string {
	sum := sha256.Sum256([]byte(config))
	return fmt.Sprintf("amifend-enforce-%x", sum[:4])
}

// startTimer has systemd put the line back after a time, whatever becomes of the caller and of its
// terminal. It returns the name of the timer, "" if systemd does not run this machine.
func startTimer(ctx context.Context, config string, after time.Duration) (string, error) {
	control, run := systemctl(), systemdRun()
	if control == nil || run == "" {
		return "", nil
	}
	self, err := os.Executable()
	if err != nil {
		return "", fmt.Errorf("find this program: %w", err)
	}

	// Units that are left of an earlier trial would be in the way.
	unit := putBackUnit(config)
	stopTimer(ctx, config)
	_ = control(ctx, "reset-failed", unit+".service")

	// The unit is that of a program that is there for a second, so it needs no limits of its own.
	out, err := exec.CommandContext(ctx, run, "--quiet", "--unit="+unit,
		fmt.Sprintf("--on-active=%d", int(after.Seconds()+1)), "--timer-property=AccuracySec=1s",
		"--description=amifend: put observe = true back unless the trial was kept",
		self, "enforce", "--put-back", "--config", config).CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("systemd-run, which ends the trial: %w: %s", err,
			strings.TrimSpace(string(out)))
	}
	return unit + ".timer", nil
}

// systemdRun returns the path of systemd-run, "" if there is none.
func systemdRun() string {
	path, err := exec.LookPath("systemd-run")
	if err != nil {
		return ""
	}
	return path
}

// stopTimer stops the timer of a trial with a config, if there is one. A timer that fires all the
// same finds nothing to do.
func stopTimer(ctx context.Context, config string) {
	if control := systemctl(); control != nil {
		_ = control(ctx, "stop", putBackUnit(config)+".timer")
	}
}

// putBack is `amifend enforce --put-back`: it ends a trial that nobody has kept, as far as the config
// is concerned.
func (c *Enforce) putBack(ctx context.Context) error {
	done, err := setup.EndTrial(c.Config)
	if err != nil {
		return initError(err)
	}
	if done.Began.IsZero() {
		_, err := fmt.Println("nothing is to be put back: there was no trial, or it was kept")
		return err
	}

	// A daemon that does not run reads the config when it starts.
	if client, err := (daemonFlags{Config: c.Config}).client(); err == nil {
		_, err = client.Reload(ctx)
		if err != nil && control.CodeOf(err) != "" {
			PrintError(err, false, screen.Auto)
		}
	}

	_, err = fmt.Printf("Nobody has kept the trial of %s: the config says to observe.\n%s",
		done.Began.Local().Format(stamp), done.Diff)
	return err
}

// waitForKeep waits in place of a timer until the trial is kept or over, and then puts the line back.
// It does so early if ctx ends.
func (c *Enforce) waitForKeep(ctx context.Context, began, end time.Time) error {
	for ctx.Err() == nil && time.Now().Before(end) {
		t, err := setup.ReadTrial(c.Config)
		if err != nil {
			return initError(err)
		}

		// The record is gone when the trial is kept, and another one when a new trial began.
		if t == nil || !t.Began.Equal(began) {
			return nil
		}
		sleep(ctx, putBackLook)
	}

	return c.putBack(context.WithoutCancel(ctx))
}

// sleep waits for a time, or until ctx ends.
func sleep(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}

// outliveTerminal keeps the process alive when its terminal goes, until it is done.
func outliveTerminal() { signal.Ignore(syscall.SIGHUP, syscall.SIGPIPE) }
