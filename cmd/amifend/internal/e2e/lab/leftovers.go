package lab

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
)

// Unique returns a name for a lab of this process, so that two test runs on one machine do not
// meet.
func Unique(what string) string { return fmt.Sprintf("e2e-%d-%s", os.Getpid(), what) }

// RemoveLeftovers takes down the labs of earlier test runs whose process is gone: it crashed, or
// its timeout killed it.
func RemoveLeftovers(ctx context.Context, scripts string) error {
	script := filepath.Join(scripts, "lab.sh")
	list, err := output(exec.CommandContext(ctx, script, "list"))
	if err != nil {
		return err
	}

	for name := range strings.FieldsSeq(list) {
		pid, ok := owner(name)
		if !ok || running(pid) {
			continue
		}
		if _, err := output(exec.CommandContext(ctx, script, "down", name)); err != nil {
			return err
		}
	}
	return nil
}

// owner returns the process in a name that Unique made, and whether it is one.
func owner(name string) (pid int, ok bool) {
	rest, ok := strings.CutPrefix(name, "e2e-")
	if !ok {
		return 0, false
	}
	number, _, ok := strings.Cut(rest, "-")
	if !ok {
		return 0, false
	}
	pid, err := strconv.Atoi(number)
	return pid, err == nil
}

// running reports whether pid is a test run like this one. A zombie has no program, and a pid may
// have been given anew.
func running(pid int) bool {
	self, err := os.Executable()
	if err != nil {
		return true // when in doubt, leave the lab alone
	}
	exe, err := os.Readlink(fmt.Sprintf("/proc/%d/exe", pid))
	return err == nil && strings.HasPrefix(filepath.Base(exe), filepath.Base(self))
}
