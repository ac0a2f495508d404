package sandbox

import (
	"errors"
	"net"
	"os"
	"strings"
	"syscall"
	"testing"
)

// envInside marks this test binary as the program in the sandbox. Its value is the network
// namespace of the host.
const envInside = "SANDBOX_TEST_INSIDE"

func TestCommand(t *testing.T) {
	here, err := os.Readlink("/proc/self/ns/net")
	if err != nil {
		t.Fatal(err)
	}
	if outside := os.Getenv(envInside); outside != "" {
		inside(t, here, outside)
		return
	}

	cmd := Command(t.Context(), "/proc/self/exe", "-test.run=^TestCommand$", "-test.v")
	var out strings.Builder
	cmd.Env, cmd.Stdout, cmd.Stderr = append(os.Environ(), envInside+"="+here), &out, &out

	if err := cmd.Start(); err != nil {
		if os.Getenv("CI") != "true" {
			t.Skip(Explain(err))
		}
		t.Fatal(Explain(err))
	}

	if err := cmd.Wait(); err != nil || !strings.Contains(out.String(), "--- PASS: TestCommand") {
		t.Errorf("inside: %v\n%s", err, &out)
	}
}

func inside(t *testing.T, here, outside string) {
	if os.Getuid() != 0 || os.Getgid() != 0 {
		t.Errorf("uid %d, gid %d, want root", os.Getuid(), os.Getgid())
	}
	if here == outside {
		t.Error("the network namespace is the host's")
	}
	if err := RaiseLoopback(); err != nil {
		t.Fatal(err)
	}

	ifaces, err := net.Interfaces()
	if err != nil || len(ifaces) != 1 ||
		ifaces[0].Flags&(net.FlagUp|net.FlagLoopback) != net.FlagUp|net.FlagLoopback {
		t.Errorf("interfaces %v, %v; want lo alone, up", ifaces, err)
	}
}

func TestExplain(t *testing.T) {
	for errno, want := range map[syscall.Errno]string{
		syscall.EPERM:  "kernel.unprivileged_userns_clone",
		syscall.ENOSPC: "user.max_user_namespaces", syscall.EINVAL: "CONFIG_USER_NS",
		syscall.ENOENT: "no such file",
	} {
		if err := Explain(errno); !errors.Is(err, errno) || !strings.Contains(err.Error(), want) {
			t.Errorf("Explain(%v) = %v, want it to say %s", errno, err, want)
		}
	}
}
