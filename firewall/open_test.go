package firewall

import (
	"errors"
	"net/netip"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/amifend/amifend/firewall/firewalltest"
)

func TestOpenTellsAllBadOptions(t *testing.T) {
	_, err := Open(Options{
		Table: "no good", MaxBans: -1, Poll: -time.Second,
		Ports: Ports{SIP: PortRanges{{UDP, 2, 1}, {0, 1, 1}}, WS: PortRanges{{UDP, 8088, 8089}}},
		Allow: []netip.Prefix{{}},
	})
	if err == nil {
		t.Fatal("no error")
	}

	for _, want := range []string{
		`table name "no good"`, "max bans -1", "poll interval", "2-1/udp", "8088-8089/udp: want TCP",
		"Protocol(0)", "allowlist: invalid prefix",
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("error does not say %q:\n%v", want, err)
		}
	}
}

// envUnprivileged makes this test binary try Open without any capability.
const envUnprivileged = "FIREWALL_TEST_UNPRIVILEGED"

func TestOpenWithoutTheCapability(t *testing.T) {
	if os.Getenv(envUnprivileged) != "" {
		_, err := Open(Options{})
		if !errors.Is(err, ErrPermission) || !strings.Contains(err.Error(),
			"AmbientCapabilities=CAP_NET_ADMIN") {
			t.Errorf("Open: %v, want ErrPermission", err)
		}
		return
	}

	ns := firewalltest.New(t)
	ns.Do(t, func() error {
		// In a user namespace of its own without a mapping, the process has no right on this
		// network namespace.
		cmd := exec.Command("/proc/self/exe", "-test.run=^TestOpenWithoutTheCapability$")
		cmd.Env = append(os.Environ(), envUnprivileged+"=1", "FIREWALLTEST_INSIDE=yes")
		cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWUSER}

		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Errorf("%v\n%s", err, out)
		}
		return nil
	})
}

func TestOpenLeavesNothingBehind(t *testing.T) {
	ns := firewalltest.New(t)
	before := openFiles(t)
	for range 10 {
		table, err := Open(Options{NetNS: ns.FD()})
		if err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(table.Close(), table.Close()); err != nil {
			t.Fatal(err)
		}
	}

	if after := openFiles(t); after > before {
		t.Errorf("%d open files before, %d after", before, after)
	}
	if out := ns.NFT(t, "list", "ruleset"); out != "" {
		t.Errorf("the ruleset is not empty:\n%s", out)
	}
}

// The library would panic on such a descriptor, later.
func TestOpenRefusesHighDescriptors(t *testing.T) {
	ns := firewalltest.New(t)
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	if limit.Cur < 1100 {
		if os.Getenv("CI") == "true" {
			t.Fatalf("at most %d open files", limit.Cur)
		}
		t.Skipf("at most %d open files", limit.Cur)
	}

	// Take all descriptors that select can watch.
	for range 1024 {
		f, err := os.Open("/dev/null")
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
	}

	table, err := Open(Options{NetNS: ns.FD()})
	if err == nil {
		table.Close()
		t.Fatal("no error")
	}
	if !strings.Contains(err.Error(), "open the firewall before other files") {
		t.Errorf("Open: %v", err)
	}
}

func openFiles(t *testing.T) int {
	t.Helper()
	files, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(files)
}

func TestKernelErrorsSayWhatToDo(t *testing.T) {
	for _, tt := range []struct {
		errno syscall.Errno
		want  error
	}{
		{syscall.EPERM, ErrPermission},
		{syscall.EOPNOTSUPP, ErrUnsupported},
		{syscall.EPROTONOSUPPORT, ErrUnsupported},
	} {
		if err := kernelError("do it", tt.errno); !errors.Is(err, tt.want) ||
			!errors.Is(err, tt.errno) {
			t.Errorf("%v: %v", tt.errno, err)
		}
	}

	if err := kernelError("do it", syscall.ENOMEM); errors.Is(err, ErrPermission) ||
		errors.Is(err, ErrUnsupported) || !errors.Is(err, syscall.ENOMEM) {
		t.Errorf("ENOMEM: %v", err)
	}
}

// Root without the right is in a container; "run as root" would not help there.
func TestPermissionAdvice(t *testing.T) {
	root, user := permissionAdvice(0), permissionAdvice(1000)
	if !strings.Contains(root, "--cap-add NET_ADMIN") || !strings.Contains(root, "--network host") ||
		strings.Contains(root, "run as root") {
		t.Errorf("to root: %s", root)
	}
	if !strings.Contains(user, "run as root") || !strings.Contains(user, "AmbientCapabilities") {
		t.Errorf("to a user: %s", user)
	}
}
