// Package sandbox runs a program in a private user and network namespace, where an unprivileged
// user is root: it can have interfaces and nftables of its own, and cannot touch the host's.
package sandbox

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"syscall"

	"golang.org/x/sys/unix"
)

// Command returns the command of exec.CommandContext, in new user and network namespaces; the
// caller's user and group appear as root in it. Standard streams are the caller's. Starting it
// fails where the kernel or the distribution forbids unprivileged user namespaces: Explain says
// how.
//
// A program that runs itself again names /proc/self/exe.
func Command(ctx context.Context, name string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags:  unix.CLONE_NEWUSER | unix.CLONE_NEWNET,
		UidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}},
		Pdeathsig:   unix.SIGKILL,
	}

	return cmd
}

// Explain adds advice for an administrator to an error of starting a Command.
func Explain(err error) error {
	switch {
	case errors.Is(err, unix.EPERM), errors.Is(err, unix.EACCES), errors.Is(err, unix.ENOSPC):
		return fmt.Errorf("make a user namespace: %w "+
			"(look at the sysctls kernel.unprivileged_userns_clone, "+
			"kernel.apparmor_restrict_unprivileged_userns and user.max_user_namespaces)", err)
	case errors.Is(err, unix.EINVAL), errors.Is(err, unix.ENOSYS):
		return fmt.Errorf("make a user namespace: %w (the kernel has none: CONFIG_USER_NS)", err)
	}
	return err
}

// RaiseLoopback sets the interface lo up in the namespace of the calling thread: a new one has it
// down.
func RaiseLoopback() error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("raise loopback: %w", err)
	}
	defer unix.Close(fd)

	ifr, err := unix.NewIfreq("lo")
	if err != nil {
		return fmt.Errorf("raise loopback: %w", err)
	}
	ifr.SetUint16(unix.IFF_UP)

	if err := unix.IoctlIfreq(fd, unix.SIOCSIFFLAGS, ifr); err != nil {
		return fmt.Errorf("raise loopback: %w", err)
	}
	return nil
}
