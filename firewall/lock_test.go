package firewall

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"runtime"
	"strings"
	"testing"

	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"

	"github.com/amifend/amifend/firewall/firewalltest"
)

func TestLock(t *testing.T) {
	ns := firewalltest.New(t)
	lockIn := func(ns *firewalltest.NS, table string) (lock io.Closer, err error) {
		ns.Do(t, func() error {
			lock, err = Lock(table)
			return nil
		})
		return lock, err
	}

	held, err := lockIn(ns, "amifend")
	if err != nil {
		t.Fatal(err)
	}
	_, err = lockIn(ns, "amifend")
	if !errors.Is(err, ErrLocked) || !strings.Contains(err.Error(),
		fmt.Sprintf("pid %d ", os.Getpid())) || !strings.Contains(err.Error(), "@amifend-amifend") {
		t.Errorf("second lock: %v, want ErrLocked with our pid and the socket", err)
	}

	// A lock is of one table in one namespace.
	for name, other := range map[string]struct {
		ns    *firewalltest.NS
		table string
	}{"another table": {ns, "other"}, "another namespace": {firewalltest.New(t), "amifend"}} {
		lock, err := lockIn(other.ns, other.table)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		lock.Close()
	}

	if err := held.Close(); err != nil {
		t.Fatal(err)
	}
	again, err := lockIn(ns, "amifend")
	if err != nil {
		t.Fatalf("after the release: %v", err)
	}

	again.Close()
}

// Any user can hold the socket. If the process of that user cannot work on the table, the socket is
// not a lock.
func TestLockHeldByAnyone(t *testing.T) {
	if os.Geteuid() != 0 {
		if os.Getenv("CI") == "true" {
			t.Fatal("needs root")
		}
		t.Skip("needs root, to be another user")
	}

	const anyone, service = 4000003, 4000004
	ns := firewalltest.New(t)
	var held io.Closer
	done := make(chan error)

	go func() {
		// Never unlocked: the thread has another user now, and ends with the goroutine.
		runtime.LockOSThread()
		done <- func() (err error) {
			if err = netns.Set(netns.NsHandle(ns.FD())); err != nil {
				return err
			}
			if _, _, errno := unix.RawSyscall(unix.SYS_SETRESUID, anyone, anyone,
				anyone); errno != 0 {
				return errno
			}

			held, err = net.Listen("unix", "@amifend-amifend")
			return err
		}()
	}()

	if err := <-done; err != nil {
		t.Fatal(err)
	}
	defer held.Close()

	// Another user ignores the holder, but the holder's own user does not.
	for euid, free := range map[int]bool{service: true, anyone: false} {
		ns.Do(t, func() error {
			lock, err := lockAs("amifend", euid)
			if (err == nil) != free || err != nil && !errors.Is(err, ErrLocked) {
				t.Errorf("as uid %d: %v", euid, err)
			}
			if err == nil {
				return lock.Close()
			}

			return nil
		})
	}
}
