package diagnose

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/google/nftables"
	ll "github.com/landlock-lsm/go-landlock/landlock/syscall"
	"golang.org/x/sys/unix"
)

// programTime limits how long a program may take that is asked.
const programTime = 15 * time.Second

// run returns what a program of the system prints. Its environment is empty but for the language.
func run(ctx context.Context, program string, args ...string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, programTime)
	defer cancel()

	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Env = []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C.UTF-8"}
	out, err := cmd.Output()
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		err = fmt.Errorf("%s: %w: %s", program, err, bytes.TrimSpace(exit.Stderr))
	}
	return out, err
}

// kernel returns what the machine is. Of /proc and /etc it reads what says nothing about its owner.
func kernel() ([]byte, error) {
	var b bytes.Buffer
	var name unix.Utsname
	if err := unix.Uname(&name); err != nil {
		return nil, err
	}
	text := func(field []byte) string { return unix.ByteSliceToString(field) }
	fmt.Fprintf(&b, "kernel %s %s %s\n", text(name.Release[:]), text(name.Version[:]),
		text(name.Machine[:]))
	landlock, err := ll.LandlockGetABIVersion()
	fmt.Fprintf(&b, "landlock %d (%v)\n", landlock, err)

	// A file that is missing is a fact, too.
	for _, path := range []string{
		"/etc/os-release", "/proc/meminfo", "/proc/loadavg", "/proc/uptime", "/proc/sys/fs/file-max",
		"/proc/sys/net/netfilter/nf_conntrack_count", "/proc/sys/net/netfilter/nf_conntrack_max",
		"/proc/sys/net/core/rmem_max", "/proc/sys/net/core/wmem_max", "/proc/pressure/cpu",
		"/proc/pressure/memory", "/proc/pressure/io", "/sys/kernel/security/lsm",
	} {
		content, err := os.ReadFile(path)
		if err != nil {
			content = []byte(err.Error())
		}
		fmt.Fprintf(&b, "\n== %s\n%s\n", path, bytes.TrimSpace(content))
	}
	return b.Bytes(), nil
}

// table returns the table of amifend without its elements, and the names of all tables: another
// firewall may drop or accept first.
func table(ctx context.Context, name string) ([]byte, error) {
	all, err := run(ctx, "nft", "list", "tables")
	if err != nil {
		return nil, err
	}
	own, err := run(ctx, "nft", "--terse", "--stateless", "list", "table", "inet", name)
	return slices.Concat([]byte("== tables\n"), all, []byte("\n== table\n"), own), err
}

// elements counts the elements of the sets.
func elements(_ context.Context, name string) ([]byte, error) {
	c, err := nftables.New()
	if err != nil {
		return nil, err
	}
	t := &nftables.Table{Family: nftables.TableFamilyINet, Name: name}
	sets, err := c.GetSets(t)
	if err != nil {
		return nil, err
	}

	var b bytes.Buffer
	for _, s := range sets {
		list, err := c.GetSetElements(s)
		if err != nil {
			return b.Bytes(), err
		}
		fmt.Fprintf(&b, "%-16s %d\n", s.Name, len(list))
	}
	return b.Bytes(), nil
}

// stateFiles lists the files of the journal.
func stateFiles(dir string) ([]byte, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}

	var b bytes.Buffer
	var fs unix.Statfs_t
	if err := unix.Statfs(dir, &fs); err == nil {
		fmt.Fprintf(&b, "file system %#x: %d of %d bytes free, %d of %d inodes\n", fs.Type,
			fs.Bavail*uint64(fs.Bsize), fs.Blocks*uint64(fs.Bsize), fs.Ffree, fs.Files)
	}
	for _, e := range entries {
		st, err := e.Info()
		if err != nil {
			continue // it has just been removed
		}
		owner := "?"
		if sys, ok := st.Sys().(*syscall.Stat_t); ok {
			owner = fmt.Sprintf("%d:%d", sys.Uid, sys.Gid)
		}
		fmt.Fprintf(&b, "%s %s %10d %s %s\n", st.Mode(), owner, st.Size(),
			st.ModTime().UTC().Format(time.RFC3339), e.Name())
	}
	return b.Bytes(), nil
}

// unit returns properties of the service. Its environment is not among them.
func unit(ctx context.Context) ([]byte, error) {
	return run(ctx, "systemctl", "show", "amifend.service", "--no-pager", "--property="+strings.Join(
		[]string{
			"ActiveState", "SubState", "Result", "NRestarts", "ExecMainStartTimestamp",
			"ExecMainStatus", "ExecMainCode", "StatusText", "FragmentPath", "DropInPaths", "User",
			"CapabilityBoundingSet", "MemoryCurrent", "MemoryPeak", "MemoryMax", "TasksCurrent",
			"TasksMax", "CPUUsageNSec", "WatchdogUSec", "UnitFileState",
		}, ","))
}

// mostLines is how many lines of the log are looked at.
const mostLines = 2000

// logLines returns the last errors and warnings in journald. Lines that are about accounts are
// counted only.
func logLines(ctx context.Context) ([]byte, error) {
	out, err := run(ctx, "journalctl", "--quiet", "--unit=amifend.service", "--priority=warning",
		"--output=json", fmt.Sprint("--lines=", mostLines))
	if err != nil {
		return nil, err
	}

	var b bytes.Buffer
	left := 0
	for in := bufio.NewScanner(bytes.NewReader(out)); in.Scan(); {
		// A field that is not text is a list of bytes, so all are any.
		var fields map[string]any
		if json.Unmarshal(in.Bytes(), &fields) != nil {
			continue
		}
		if line, ok := logLine(fields); ok {
			fmt.Fprintln(&b, line)
		} else {
			left++
		}
	}
	fmt.Fprintf(&b, "(%d lines about sources and accounts are left out)\n", left)
	return b.Bytes(), nil
}

// logLine returns a line of the log, unless it may hold the name of an account.
func logLine(fields map[string]any) (line string, ok bool) {
	for _, field := range []string{"ACCOUNT", "EVIDENCE", "SOURCE", "KIND", "USERS", "REASON"} {
		if _, ok := fields[field]; ok {
			return "", false
		}
	}
	message, ok := fields["MESSAGE"].(string)
	stamp, _ := fields["__REALTIME_TIMESTAMP"].(string)
	at := "?"
	if micros, err := strconv.ParseInt(stamp, 10, 64); err == nil {
		at = time.UnixMicro(micros).UTC().Format(time.RFC3339)
	}
	return fmt.Sprintf("%s <%v> %s", at, fields["PRIORITY"], message), ok
}
