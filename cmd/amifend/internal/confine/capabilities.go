package confine

import (
	"bufio"
	"fmt"
	"os"
	"strconv"
	"strings"
	"unsafe"

	"golang.org/x/sys/unix"
	"kernel.org/pub/linux/libs/security/libcap/psx"
)

// names are those of the capabilities that amifend may keep (capabilities(7)). Others are shown by
// number.
var names = map[int]string{
	unix.CAP_CHOWN: "chown", unix.CAP_DAC_OVERRIDE: "dac_override", unix.CAP_FOWNER: "fowner",
	unix.CAP_NET_ADMIN: "net_admin",
}

// wanted returns the capabilities to keep: that for nftables. Root also keeps those by which it
// uses and gives away files of the service's user, so that an amifend that was started by hand
// leaves nothing that the service cannot open.
func wanted(euid int) uint64 {
	keep := uint64(1) << unix.CAP_NET_ADMIN
	if euid == 0 {
		keep |= 1<<unix.CAP_CHOWN | 1<<unix.CAP_DAC_OVERRIDE | 1<<unix.CAP_FOWNER
	}
	return keep
}

// dropCapabilities drops all capabilities but the wanted ones, in all threads.
func dropCapabilities() error {
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData
	if err := unix.Capget(&header, &data[0]); err != nil {
		return err
	}

	// Under the unit there is nothing to drop, and its filter forbids the call.
	keep := wanted(os.Geteuid())
	excess := false
	for i := range data {
		part := uint32(keep >> (32 * i))
		excess = excess || data[i].Permitted&^part != 0
		data[i].Permitted &= part
		data[i].Effective &= part
		data[i].Inheritable = 0 // it executes nothing
	}
	if !excess {
		return nil
	}

	//nolint:gosec // the kernel reads both structures during the call
	_, _, errno := psx.Syscall3(unix.SYS_CAPSET, uintptr(unsafe.Pointer(&header)),
		uintptr(unsafe.Pointer(&data[0])), 0)
	if errno != 0 {
		return errno
	}
	return nil
}

// read reads from a file like /proc/self/status how a process is confined.
func read(path string) (r Report, err error) {
	f, err := os.Open(path)
	if err != nil {
		return r, fmt.Errorf("read how the process is confined: %w", err)
	}
	defer f.Close()

	r.Capabilities = []string{}
	for in := bufio.NewScanner(f); in.Scan(); {
		key, value, _ := strings.Cut(in.Text(), ":")
		switch value = strings.TrimSpace(value); key {
		case "NoNewPrivs":
			r.NoNewPrivs = value == "1"
		case "Seccomp":
			r.Seccomp = value == "2"
		case "CapEff":
			set, err := strconv.ParseUint(value, 16, 64)
			if err != nil {
				return r, fmt.Errorf("read the capabilities: %w", err)
			}
			r.Capabilities = capabilityNames(set)
		}
	}
	return r, nil
}

// capabilityNames returns the names of a set of capabilities.
func capabilityNames(set uint64) []string {
	out := []string{}
	for i := range 64 {
		if set>>i&1 == 0 {
			continue
		}
		name := names[i]
		if name == "" {
			name = strconv.Itoa(i)
		}
		out = append(out, name)
	}
	return out
}
