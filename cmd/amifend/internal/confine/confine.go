// Package confine takes rights from the running process that a daemon does not need: whoever takes
// over the process, by a hole in a parser or in a library, gets no more than what is left.
//
// The systemd unit does the same and more. This works without it too: in a container, under another
// service manager, or started by hand.
package confine

import (
	"errors"
	"fmt"
	"slices"

	"github.com/landlock-lsm/go-landlock/landlock"
	ll "github.com/landlock-lsm/go-landlock/landlock/syscall"
	"golang.org/x/sys/unix"
)

// Report describes how the process is confined.
type Report struct {
	Landlock int      // the version of the kernel's Landlock; 0: it is not in force
	Writes   []string // the directories that may still be written, with Landlock
	Error    string   // what could not be done; "": nothing

	NoNewPrivs   bool
	Seccomp      bool     // a filter of system calls is in force: the unit's, or the container's
	Capabilities []string // that are in effect, such as "net_admin"
}

// The rights of Landlock by which a process changes anything or starts programs. What is not listed
// is not restricted: reading, and the network.
const (
	ownFiles landlock.AccessFSSet = ll.AccessFSWriteFile | ll.AccessFSTruncate |
		ll.AccessFSRemoveFile | ll.AccessFSMakeReg | ll.AccessFSMakeSock

	restricted = ownFiles | ll.AccessFSExecute | ll.AccessFSRemoveDir | ll.AccessFSMakeDir |
		ll.AccessFSMakeChar | ll.AccessFSMakeBlock | ll.AccessFSMakeFifo | ll.AccessFSMakeSym |
		ll.AccessFSRefer | ll.AccessFSIoctlDev
)

// Apply confines the process for the rest of its life. It keeps CAP_NET_ADMIN, and as root also
// what it needs for files of the service's user. It gains no rights by executing, and where the
// kernel has Landlock, it executes nothing, and writes below the directories only. They must exist.
//
// Apply does what is possible. What is not is in the report, and no error: a daemon that is less
// confined still has to ban.
func Apply(dirs []string) Report {
	var problems []error
	if err := dropCapabilities(); err != nil {
		problems = append(problems, fmt.Errorf("drop capabilities: %w", err))
	}
	if err := ll.AllThreadsPrctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		problems = append(problems, fmt.Errorf("set no_new_privs: %w", err))
	}

	dirs = slices.Compact(slices.Sorted(slices.Values(dirs)))
	version, err := restrictFiles(dirs)
	if err != nil {
		problems = append(problems, fmt.Errorf("restrict writing and executing: %w", err))
	}

	// What is in force is read from the kernel, not concluded from what was called.
	r, err := read("/proc/self/status")
	if err != nil {
		problems = append(problems, err)
	}
	r.Writes = []string{}
	if r.Landlock = version; version > 0 {
		r.Writes = dirs
	}
	if err := errors.Join(problems...); err != nil {
		r.Error = err.Error()
	}
	return r
}

// restrictFiles puts Landlock in force, and returns its version; 0: the kernel has none.
func restrictFiles(dirs []string) (version int, err error) {
	version, err = ll.LandlockGetABIVersion()
	if err != nil || version == 0 {
		return 0, nil //nolint:nilerr // a kernel without it, or a container that forbids it
	}

	// Each version knows more rights than the one before, and best effort leaves out those that the
	// kernel does not know.
	config := landlock.Config{HandledAccessFS: restricted}.BestEffort()
	var rules []landlock.Rule
	for _, dir := range dirs {
		rules = append(rules, landlock.PathAccess(ownFiles, dir))
	}
	if err := config.RestrictPaths(rules...); err != nil {
		return 0, err
	}
	return version, nil
}
